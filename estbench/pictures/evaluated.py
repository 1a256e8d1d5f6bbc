"""The objective whose derivative is 1, which notes the points at which an estimator evaluates it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from torch import Tensor

from estbench.objectives.base import BOTH


@dataclass(frozen=True, eq=False)
class Evaluated:
    """f(z) = z_1, of a Bernoulli variable the variable itself, of a one-hot one its first class.

    `points` are those at which f or ∇f has been evaluated, call by call.
    """

    points: list[Tensor] = field(default_factory=list)

    on: ClassVar[Literal["flat"]] = "flat"
    distributions: ClassVar[frozenset[str]] = BOTH

    def value(self, v: Tensor) -> Tensor:
        """z_1."""
        self.points.append(v.detach())
        return v[..., 0]

    def grad(self, v: Tensor) -> Tensor:
        """1 for z_1, and 0 for all others."""
        self.points.append(v.detach())
        g = v.new_zeros(v.shape)
        g[..., 0] = 1
        return g
