"""DARN's estimator, also the ½-estimator: REINFORCE with the first-order expansion of f in place of f."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import LINKS, Facts, Node, Vjp
from estbench.options import dataclass


@dataclass(frozen=True)
class Darn(Node):
    """g_d·(z_d − c_d) s(z_d), variable by variable; one sum over all variables would not be exact on quadratics.

    centre  half: c = ½, or 1/K; mean: c = p, or π
    """

    centre: Literal["half", "mean"] = "half"

    @property
    def facts(self) -> Facts:
        """Biased: f is replaced by its linear part at the sample. Exact on quadratics (Bernoulli, centre=half)."""
        return Facts(
            "straight-through",
            links=LINKS,
            unbiased=False,
            df=1,
            node=True,
            sources=("gregor2014", "gu2016"),
            identities=("Bernoulli, centre=half: zgr, draw by draw; unbiased on quadratics",),
        )

    def vjp(self, draw: Draw) -> tuple[Tensor, Vjp]:
        """z, and g_d·(z_d − c_d) s(z_d)."""
        d, s = draw.distribution, draw.score
        centred = draw.deviation if self.centre == "mean" else draw.z - 1 / d.classes
        return draw.z, lambda g: draw.dot(g, centred) * s
