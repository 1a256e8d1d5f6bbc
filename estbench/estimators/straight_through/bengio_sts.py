"""Bengio, Léonard and Courville's stochastic times smooth unit."""

from __future__ import annotations

from typing import cast

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from estbench.distributions import Bernoulli
from estbench.draws import MAIN, Draw
from estbench.estimators.base import BERNOULLI, LINKS, Facts
from estbench.problem import Problem


@dataclass(frozen=True)
class BengioSts:
    """h = b √p with b ~ Bernoulli(√p), so that E h = p; f′(h) b ½ p′/√p (Bengio, Léonard & Courville 2013).

    With the sigmoid ½ p′/√p is ½ √p q.
    """

    @property
    def facts(self) -> Facts:
        """Biased: half the truth even on linear f, as the gradient passes through the smooth factor only."""
        return Facts(
            "straight-through",
            links=LINKS,
            distributions=BERNOULLI,
            unbiased=False,
            df=1,
            off=True,
            exact="smooth",
            noise=(MAIN,),
            sources=("bengio2013",),
            identities=("mean at D = 1: ½ p q f′(√p)",),
        )

    def breaks(self, problem: Problem) -> dict[str, list[Tensor]]:
        """Where b jumps: u = √p."""
        return {MAIN: [problem.independent.mean.sqrt()]}

    def rows(self, draw: Draw) -> Tensor:
        """f′(h) b ½ p′/√p."""
        d = cast(Bernoulli, draw.distribution)  # all that it serves
        p = d.align(d.mean)
        b = (draw.noise() < p.sqrt()).to(p.dtype)
        half = torch.where(d.slope > 0, d.slope / d.mean.sqrt() / 2, 0.0)  # d√p/dφ; nothing moves where z is certain
        return draw.problem.df(b * torch.sqrt(p)) * b * d.align(half)
