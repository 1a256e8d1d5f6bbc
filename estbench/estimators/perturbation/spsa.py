"""Simultaneous perturbation: one central difference along a random sign vector."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import Facts
from estbench.estimators.shared.central_difference import central_difference
from estbench.options import dataclass

DIRECTION = "spsa/direction"


@dataclass(frozen=True)
class Spsa:
    """[f(z(φ + cΔ, u)) − f(z(φ − cΔ, u))]/(2c) · Δ, all logits at once, Δ_i = ±1, common noise u (Spall 1992).

    c  the size of the step: as it shrinks, the bias falls as c² and the variance grows as 1/c; the default is about
       the scale of the noise in x
    """

    c: Annotated[float, Field(gt=0)] = 1.0

    @property
    def facts(self) -> Facts:
        """Biased: its mean is the mean over Δ of the same central difference of E f."""
        return Facts(
            "perturbation",
            unbiased=False,
            f=2,
            exact="none",
            noise=("main", DIRECTION),
            centred=False,
            sources=("spall1992",),
            identities=("in mean → the true gradient as c → 0",),
        )

    def rows(self, draw: Draw) -> Tensor:
        """[f(z(φ + cΔ, u)) − f(z(φ − cΔ, u))]/(2c) · Δ."""
        v = draw.uniform(DIRECTION, *draw.distribution.event_shape)
        delta = torch.lt(v, 0.5, out=torch.empty_like(v)).mul_(2).sub_(1)
        return draw.lift(central_difference(draw, self.c, delta)) * delta
