"""StochasticAD: the change of f when a sample jumps from 0 to 1, weighted by the rate of such jumps as p grows."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import BERNOULLI, LINKS, Count, Facts, Node, Vjp
from estbench.estimators.shared.effects import effects
from estbench.options import dataclass


@dataclass(frozen=True)
class StochasticAd(Node):
    """1[z_i = 0] p_i (f(z^{i→1}) − f(z)) for each variable i (Arya et al. 2022).

    As p_i grows, z_i jumps only from 0 to 1: where z_i = 0, at the rate 1/q_i, and with the sigmoid dp/dφ = p q. Every
    jump is evaluated; the paper's pruning, which keeps one of them at random, is left out.

    variant  one-sided; smoothed: f′ in place of the jump, averaged over jumps from 0 to 1 and from 1 to 0:
             ½ q f′(z) where z = 1, ½ p f′(z) where z = 0
    """

    variant: Literal["one-sided", "smoothed"] = "one-sided"

    @property
    def facts(self) -> Facts:
        """One-sided: unbiased, as each jump is weighted by its rate. Smoothed: biased, but exact on quadratics."""
        one_sided = self.variant == "one-sided"
        return Facts(
            "perturbation",
            links=LINKS,
            distributions=BERNOULLI,
            unbiased=one_sided,
            f=Count("D + 1", lambda D, K: D + 1) if one_sided else 0,  # noqa: ARG005 - a count takes D and K
            df=0 if one_sided else 1,
            node=not one_sided,
            sources=("arya2022",),
            identities=("variant=smoothed: zgr, draw by draw",),
        )

    def vjp(self, draw: Draw) -> tuple[Tensor, Vjp]:
        """z, and g times ½ q (z = 1), ½ p (z = 0): the smoothed variant."""
        d, z = draw.distribution, draw.z
        return z, lambda g: d.chain(torch.lerp(d.align(d.mean) / 2, d.align(d.q) / 2, z) * g)

    def rows(self, draw: Draw) -> Tensor:
        """1[z_i = 0] p_i (f(z^{i→1}) − f(z)), or f′(z) times ½ q (z = 1), ½ p (z = 0)."""
        if self.variant != "one-sided":
            return super().rows(draw)
        d = draw.distribution
        return d.chain((1 - draw.z) * d.align(d.mean) * effects(draw))
