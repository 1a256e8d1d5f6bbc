"""Bengio, Léonard and Courville's stochastic times smooth unit."""

from __future__ import annotations

import torch
from torch import Tensor

from estbench.draws import MAIN, Draw
from estbench.estimators.base import BERNOULLI, LINKS, Facts, Node, Vjp
from estbench.options import dataclass
from estbench.problem import Problem


@dataclass(frozen=True)
class BengioSts(Node):
    """h = b √p with b ~ Bernoulli(√p), so that E h = p; f′(h) b ½ p′/√p (Bengio, Léonard & Courville 2013).

    With the sigmoid ½ p′/√p is ½ √p q.
    """

    @property
    def facts(self) -> Facts:
        """Biased: half the true gradient even on linear f, as the gradient passes through the smooth factor only."""
        return Facts(
            "straight-through",
            links=LINKS,
            distributions=BERNOULLI,
            unbiased=False,
            df=1,
            node=True,
            evaluates_relaxed=True,
            exact="smooth",
            noise=(MAIN,),
            sources=("bengio2013",),
            identities=("mean at D = 1: ½ p q f′(√p)",),
        )

    def breakpoints(self, problem: Problem) -> dict[str, list[Tensor]]:
        """Where b jumps: u = √p."""
        return {MAIN: [problem.independent.mean.sqrt()]}

    def vjp(self, draw: Draw) -> tuple[Tensor, Vjp]:
        """h, and g b ½ p′/√p."""
        d = draw.distribution
        p, q = d.align(d.mean), d.align(d.q)
        b = (draw.noise() < p.sqrt()).to(p.dtype)
        return b * torch.sqrt(p), lambda g: d.chain(g * b * (p.sqrt() * q / 2))
