"""Estimators of users that make random numbers of their own, or fail on the way."""

from __future__ import annotations

import torch
from pydantic.dataclasses import dataclass

from estbench.draws import Draw
from estbench.estimators.base import Facts


@dataclass(frozen=True)
class Noisy:
    """f(z) s(z) and noise from the global generator of torch."""

    @property
    def facts(self) -> Facts:
        """Its facts do not say so."""
        return Facts("score function", f=1)

    def rows(self, draw: Draw) -> torch.Tensor:
        """f(z) s(z) + ε."""
        rows = draw.lift(draw.fz) * draw.score
        return rows + torch.randn(rows.shape, dtype=rows.dtype)


@dataclass(frozen=True)
class Falling:
    """As `ste` in one sample, until `slope`, which is annealed, falls to a tenth."""

    slope: float = 1.0

    @property
    def facts(self) -> Facts:
        """It depends on the samples alone."""
        return Facts("straight-through", df=1, unbiased=False)

    def rows(self, draw: Draw) -> torch.Tensor:
        """∇f(z)."""
        if self.slope < 0.2:
            raise ArithmeticError("too steep")
        return draw.problem.df(draw.z) * self.slope
