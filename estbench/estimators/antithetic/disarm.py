"""DisARM, also known as U2G: ARM with the uniforms integrated out."""

from __future__ import annotations

from typing import cast

from torch import Tensor

from estbench.distributions import Bernoulli
from estbench.draws import MAIN, Draw
from estbench.estimators.base import BERNOULLI, LINKS, Facts
from estbench.options import dataclass


@dataclass(frozen=True)
class Disarm:
    """½ (f(z₁) − f(z₂)) (z₁ − z₂) max(p, q), z₁ = 1[u > 1 − p], z₂ = 1[u < p] of the same u.

    In the paper's letters ½ (f(z₁) − f(z₂)) (−1)^{z₂} 1[z₁ ≠ z₂] σ(|φ|) (Dong et al. 2020; Yin et al. 2020 as U2G).
    """

    @property
    def facts(self) -> Facts:
        """Unbiased: it is the mean of arm given both samples. Without variance for one variable at p = ½."""
        return Facts(
            "antithetic",
            links=LINKS,
            distributions=BERNOULLI,
            f=2,
            exact="smooth",
            noise=(MAIN,),
            sources=("dong2020", "yin2020"),
            identities=(
                "the mean of arm given z₁ and z₂",
                "arms with N = 2, draw by draw for one variable, else in law",
                "no variance for one variable at p = ½",
            ),
        )

    def rows(self, draw: Draw) -> Tensor:
        """½ (f(z₁) − f(z₂)) (z₁ − z₂) σ(|φ|)."""
        d = cast(Bernoulli, draw.distribution)  # all that it serves
        return d.chain(draw.lift(draw.antithetic_difference) * (draw.antithetic - draw.z) * (d.p_of_mode / 2))
