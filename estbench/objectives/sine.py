"""A sine of the sum of the variables: coupled, not a polynomial, and smooth."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from estbench.distributions import Factorised
from estbench.objectives.base import BOTH, over_variables
from estbench.options import dataclass


@dataclass(frozen=True)
class Sine:
    """f(v) = sin(ω Σ_d v_d + phase), ω = frequency."""

    frequency: float = 2.0
    phase: float = 0.3

    on: ClassVar[Literal["values"]] = "values"
    distributions: ClassVar[frozenset[str]] = BOTH

    def _angle(self, v: Tensor) -> Tensor:
        return over_variables(v) * self.frequency + self.phase

    def value(self, v: Tensor) -> Tensor:
        """sin(ω Σ v + phase)."""
        return self._angle(v).sin_()

    def grad(self, v: Tensor) -> Tensor:
        """ω cos(ω Σ v + phase), the same for every variable."""
        return self._angle(v).cos_().mul_(self.frequency).unsqueeze(-1).expand(v.shape)

    def expectation(self, distribution: Factorised) -> Tensor:
        """Im(e^{i phase} Π_d E e^{i ω v_d}): the characteristic function of a sum of independent variables."""
        turn = self.frequency * distribution.levels
        factor = torch.complex(distribution.marginals @ turn.cos(), distribution.marginals @ turn.sin())  # [D]
        return (torch.polar(turn.new_ones(()), turn.new_tensor(self.phase)) * factor.prod(-1)).imag
