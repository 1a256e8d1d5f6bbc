"""ARM, augment-REINFORCE-merge: f at a sample less f at its mirror image, times the uniform that both are made of."""

from __future__ import annotations

from torch import Tensor

from estbench.draws import MAIN, Draw
from estbench.estimators.base import BERNOULLI, LINKS, Facts
from estbench.options import dataclass


@dataclass(frozen=True)
class Arm:
    """(f(z₁) − f(z₂)) (u − ½), z₁ = 1[u > 1 − p], z₂ = 1[u < p] of the same u (Yin & Zhou 2019, theorem 1)."""

    @property
    def facts(self) -> Facts:
        """Unbiased: the mean over u and 1 − u of the unbiased f(1[u < p]) (1 − 2u). disarm integrates u out."""
        return Facts(
            "antithetic",
            links=LINKS,
            distributions=BERNOULLI,
            f=2,
            exact="smooth",
            noise=(MAIN,),
            sources=("yin2019arm",),
            identities=("ars and arsm at K = 2 with u = w₁, draw by draw", "its mean given z₁ and z₂ is disarm"),
        )

    def rows(self, draw: Draw) -> Tensor:
        """(f(z₁) − f(z₂)) (u − ½); z₁ is z of the mirrored 1 − u."""
        return draw.distribution.chain(draw.lift(draw.antithetic_difference) * (draw.noise() - 0.5))
