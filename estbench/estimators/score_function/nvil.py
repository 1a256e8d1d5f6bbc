"""NVIL: REINFORCE with a learned baseline and, optionally, a normalised learning signal."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Self

import torch
from pydantic import Field
from torch import Tensor

from estbench.draws import MAIN, Draw
from estbench.estimators.base import LINKS, Facts
from estbench.estimators.shared.least_squares_in_pieces import in_pieces
from estbench.options import dataclass
from estbench.problem import Problem


@dataclass(frozen=True)
class Nvil:
    """(f(z) − b)/c · s(z), with b the mean of f over n_fit draws of its own (Mnih & Gregor 2014).

    The paper learns a baseline that depends on an observation; there is none here, so it is a constant.

    normalise  c = max(1, standard deviation of f), fitted too; the mean of the estimate is then the gradient over c
    """

    normalise: bool = False
    n_fit: Annotated[int, Field(ge=2)] = 4096
    b: Annotated[float, Field(exclude=True)] = 0.0
    c: Annotated[float, Field(exclude=True)] = 1.0

    @property
    def facts(self) -> Facts:
        """Unbiased but for the scale 1/c."""
        return Facts(
            "score function",
            links=LINKS,
            general=True,
            unbiased=not self.normalise,
            f=1,
            sources=("mnih2014",),
            identities=("normalise=false: reinforce[baseline=constant, value=b]",),
        )

    def rows(self, draw: Draw) -> Tensor:
        """(f(z) − b)/c · s(z)."""
        return draw.lift(draw.problem.difference(draw.fz, draw.fz.new_tensor(self.b)) / self.c) * draw.score

    def fit(self, problem: Problem, draw: Draw) -> Self:
        """b = f̄ and, with `normalise`, c = max(1, sd f) over the draw."""
        del problem
        f = torch.cat([piece.fz for piece in in_pieces(draw, (MAIN,))])
        b = (f[0, 0] + (f - f[0, 0]).mean()).item()  # of equal values it is that value
        return replace(self, b=b, c=max(1.0, f.std().item()) if self.normalise else 1.0)
