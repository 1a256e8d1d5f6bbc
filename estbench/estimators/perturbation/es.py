"""Evolution strategies: one central difference along a Gaussian direction."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import Facts
from estbench.estimators.shared.central_difference import central_difference
from estbench.options import dataclass

DIRECTION = "es/direction"


@dataclass(frozen=True)
class Es:
    """[f(z(φ + σε, u)) − f(z(φ − σε, u))]/(2σ) · ε, all logits at once, ε ~ N(0, I), common noise u (Salimans 2017).

    sigma  σ, the scale of the perturbation: as it shrinks, the bias falls as σ² and the variance grows as 1/σ; the
           default is about the scale of the noise in x
    """

    sigma: Annotated[float, Field(gt=0)] = 1.0

    @property
    def facts(self) -> Facts:
        """Biased: its mean is the gradient of E f smoothed by N(0, σ² I) over the logits."""
        return Facts(
            "perturbation",
            unbiased=False,
            f=2,
            exact="none",
            noise=("main", DIRECTION),
            centred=False,
            sources=("salimans2017",),
            identities=("in mean → the true gradient as sigma → 0",),
        )

    def rows(self, draw: Draw) -> Tensor:
        """[f(z(φ + σε, u)) − f(z(φ − σε, u))]/(2σ) · ε."""
        epsilon: Tensor = torch.special.ndtri(draw.uniform(DIRECTION, *draw.distribution.event_shape))
        return draw.lift(central_difference(draw, self.sigma, epsilon)) * epsilon
