"""A product over the variables, parity among them: the effect of each variable depends on all others."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from estbench.distributions import Factorised
from estbench.objectives.base import BOTH, means
from estbench.options import dataclass


@dataclass(frozen=True)
class Product:
    """f(v) = Π_d (offset + slope v_d). The default is the conjunction Π v_d; `parity` is Π (1 − 2 v_d)."""

    offset: float = 0.0
    slope: float = 1.0

    on: ClassVar[Literal["values"]] = "values"
    distributions: ClassVar[frozenset[str]] = BOTH

    def value(self, v: Tensor) -> Tensor:
        """Π_d (a + b v_d)."""
        return (v * self.slope + self.offset).prod(-1)

    def grad(self, v: Tensor) -> Tensor:
        """b Π_{j ≠ d} (a + b v_j), by products from both ends: no division, as factors may be 0."""
        a = v * self.slope + self.offset
        one = torch.ones_like(a[..., :1])
        before = torch.cat((one, a[..., :-1]), -1).cumprod(-1)
        after = torch.cat((one, a[..., 1:].flip(-1)), -1).cumprod(-1).flip(-1)
        return before.mul_(after).mul_(self.slope)

    def expectation(self, distribution: Factorised) -> Tensor:
        """Π_d E(a + b v_d): the variables are independent."""
        return means(distribution.levels * self.slope + self.offset, distribution).prod(-1)
