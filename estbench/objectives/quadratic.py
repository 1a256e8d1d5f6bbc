"""Quadratic distance to a target, E[(z − 0.45)²]: the usual toy problem."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from estbench.distributions import Factorised
from estbench.objectives.base import BOTH, Reduction, over_variables, separable_expectation
from estbench.options import dataclass


@dataclass(frozen=True)
class Quadratic:
    """f(v) = Σ_d (v_d − target)² (Tucker et al. 2017, section 5.1; Grathwohl et al. 2018)."""

    target: float = 0.45
    reduction: Reduction = "sum"

    on: ClassVar[Literal["values"]] = "values"
    distributions: ClassVar[frozenset[str]] = BOTH

    def value(self, v: Tensor) -> Tensor:
        """Σ_d (v_d − t)²."""
        return over_variables((v - self.target).square_(), self.reduction)

    def grad(self, v: Tensor) -> Tensor:
        """2 (v_d − t)."""
        scale = 2.0 if self.reduction == "sum" else 2.0 / v.shape[-1]
        return (v - self.target).mul_(scale)

    def expectation(self, distribution: Factorised) -> Tensor:
        """Σ_d Σ_k P(z_d = k) (v_k − t)²."""
        return separable_expectation((distribution.levels - self.target) ** 2, distribution, self.reduction)
