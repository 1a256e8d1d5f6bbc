"""A linear function: its gradient is constant, so that the straight-through estimator is unbiased on it."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from estbench.distributions import Factorised
from estbench.errors import UsageError
from estbench.objectives.base import BOTH, Reduction, over_variables
from estbench.options import dataclass


@dataclass(frozen=True)
class Linear:
    """f(v) = Σ_d weights_d v_d; without weights, all are 1."""

    weights: tuple[float, ...] | None = None
    reduction: Reduction = "sum"

    on: ClassVar[Literal["values"]] = "values"
    distributions: ClassVar[frozenset[str]] = BOTH

    def _w(self, v: Tensor) -> Tensor:
        D = v.shape[-1]
        if self.weights is not None and len(self.weights) != D:
            raise UsageError(
                f"objective linear: {len(self.weights)} weights for {D} variables; give one weight a variable"
            )
        return v.new_ones(D) if self.weights is None else v.new_tensor(self.weights)

    def value(self, v: Tensor) -> Tensor:
        """Σ_d w_d v_d."""
        return over_variables(v * self._w(v), self.reduction)

    def grad(self, v: Tensor) -> Tensor:
        """w_d."""
        scale = 1.0 if self.reduction == "sum" else 1.0 / v.shape[-1]
        return (self._w(v) * scale).expand(v.shape)

    def expectation(self, distribution: Factorised) -> Tensor:
        """Σ_d w_d E v_d."""
        return self.value(distribution.marginals @ distribution.levels)
