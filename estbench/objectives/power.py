"""A power of the distance to a target: non-quadratic, as in the polynomial programming of ReinMax."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from estbench.distributions import Factorised
from estbench.objectives.base import BOTH, Reduction, over_variables, separable_expectation
from estbench.options import dataclass


@dataclass(frozen=True)
class Power:
    """f(v) = Σ_d |v_d − target|^exponent (Liu et al. 2023, section 5.1, with exponents 1.5, 2 and 3)."""

    target: float = 0.45
    exponent: Annotated[float, Field(ge=1)] = 3.0
    reduction: Reduction = "sum"

    on: ClassVar[Literal["values"]] = "values"
    distributions: ClassVar[frozenset[str]] = BOTH

    def value(self, v: Tensor) -> Tensor:
        """Σ_d |v_d − t|^c."""
        return over_variables((v - self.target).abs_().pow_(self.exponent), self.reduction)

    def grad(self, v: Tensor) -> Tensor:
        """c |v_d − t|^(c − 1) sign(v_d − t)."""
        c = self.exponent if self.reduction == "sum" else self.exponent / v.shape[-1]
        a = v - self.target
        return a.abs().pow_(self.exponent - 1).mul_(a.sign_()).mul_(c)

    def expectation(self, distribution: Factorised) -> Tensor:
        """Σ_d Σ_k P(z_d = k) |v_k − t|^c."""
        return separable_expectation(
            (distribution.levels - self.target).abs() ** self.exponent, distribution, self.reduction
        )
