"""Plug-ins, right and wrong, and little else: every worker that meets one imports this."""

from __future__ import annotations

from typing import Any

from pydantic.dataclasses import dataclass

from estbench.draws import Draw
from estbench.estimators.base import Facts


@dataclass(frozen=True)
class Faulty:
    """REINFORCE that raises what its option says."""

    text: str = "no"

    @property
    def facts(self) -> Facts:
        """None that matter."""
        return Facts("score function", exact="none")

    def rows(self, draw: Draw) -> Any:
        """Nothing."""
        del draw
        raise ArithmeticError(self.text)


@dataclass(frozen=True, kw_only=True)
class Needy(Faulty):
    """ĝ = c f(z) s(z)."""

    c: float


@dataclass(frozen=True)
class Other:
    """Neither an estimator nor an objective."""


@dataclass(frozen=True)
class Nan:
    """An objective that is NaN."""

    @property
    def on(self) -> str:
        """The ordinal values."""
        return "values"

    @property
    def distributions(self) -> frozenset[str]:
        """Both."""
        return frozenset({"bernoulli", "categorical"})

    def value(self, v: Any) -> Any:
        """NaN."""
        return v.sum(-1) * float("nan")


@dataclass(frozen=True)
class Sum(Nan):
    """An objective of one's own: f(v) = Σ v."""

    def value(self, v: Any) -> Any:
        """f(v)."""
        return v.sum(-1)


@dataclass(frozen=True)
class Raises(Nan):
    """An objective that raises."""

    def value(self, v: Any) -> Any:
        """KeyError."""
        raise KeyError(v.shape)


@dataclass(frozen=True)
class Wide(Nan):
    """An objective of the wrong shape."""

    def value(self, v: Any) -> Any:
        """Too many numbers."""
        return v
