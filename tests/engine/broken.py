"""An estimator that returns no gradients, and little else: every worker that meets it imports this."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic.dataclasses import dataclass

from estbench.draws import Draw
from estbench.estimators.base import Facts

WRONG: dict[str, Callable[[Draw], Any]] = {
    "shape": lambda draw: draw.z[:1],
    "dtype": lambda draw: draw.z.float(),
    "nan": lambda draw: draw.z * float("nan"),
    "list": lambda draw: [draw],
    "raise": lambda draw: draw.R / 0,
}


@dataclass(frozen=True)
class Broken:
    """An estimator that is wrong in the way its option names."""

    how: Literal["shape", "dtype", "nan", "list", "raise"] = "raise"
    exact: Literal["z", "none"] = "none"

    @property
    def facts(self) -> Facts:
        """Nothing that is true."""
        return Facts("score function", exact=self.exact)

    def rows(self, draw: Draw) -> Any:
        """Whatever is wrong."""
        return WRONG[self.how](draw)
