"""The toy of the ARSM paper: classes whose values differ so little that a noisy gradient cannot tell them apart."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from estbench.distributions import Factorised
from estbench.objectives.base import Reduction, over_variables
from estbench.options import dataclass


@dataclass(frozen=True)
class ArsmToy:
    """f(z) = Σ_d (0.5 + k_d/(K R)), k_d ∈ {1, …, K} the class of variable d (Yin, Yue & Zhou 2019, section 4.1)."""

    R: Annotated[float, Field(gt=0)] = 30.0
    reduction: Reduction = "sum"

    on: ClassVar[Literal["one-hot"]] = "one-hot"
    distributions: ClassVar[frozenset[str]] = frozenset({"categorical"})

    def _rewards(self, z: Tensor) -> Tensor:
        K = z.shape[-1]
        return 0.5 + (z.new_ones(K).cumsum(0)) / (K * self.R)

    def value(self, z: Tensor) -> Tensor:
        """Σ_d Σ_k z_dk (0.5 + k/(K R))."""
        return over_variables(z @ self._rewards(z), self.reduction)

    def grad(self, z: Tensor) -> Tensor:
        """0.5 + k/(K R)."""
        scale = 1.0 if self.reduction == "sum" else 1.0 / z.shape[-2]
        return (self._rewards(z) * scale).expand(z.shape)

    def expectation(self, distribution: Factorised) -> Tensor:
        """f(π): f is linear."""
        return self.value(distribution.mean)
