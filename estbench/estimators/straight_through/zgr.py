"""ZGR: the zero-temperature limit of Gumbel-Rao, half straight-through and half DARN."""

from __future__ import annotations

from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import LINKS, Facts, Node, Vjp
from estbench.options import dataclass


@dataclass(frozen=True)
class Zgr(Node):
    """½ [J(π) g + (g·(z − π)) s], s = z − π, variable by variable (Shekhovtsov 2023).

    Bernoulli: ½ q f′(1) where z = 1 and ½ p f′(0) where z = 0.
    """

    @property
    def facts(self) -> Facts:
        """Biased: differences of f are replaced by the mean of ∇f at both ends. Exact on quadratics."""
        return Facts(
            "straight-through",
            links=LINKS,
            unbiased=False,
            df=1,
            node=True,
            sources=("shekhovtsov2023",),
            identities=(
                "draw by draw: reinmax at τ = 1; Bernoulli: darn[centre=half] and smoothed stochastic_ad",
                "unbiased on quadratics",
                "in mean, gumbel_st and gumbel_rao as τ → 0",
            ),
        )

    def vjp(self, draw: Draw) -> tuple[Tensor, Vjp]:
        """z, and ½ [J(π) g + (g·(z − π)) s]."""
        d, s, deviation = draw.distribution, draw.score, draw.deviation
        return draw.z, lambda g: (d.dot(g, deviation) * s).add_(draw.mean_jac(g)).div_(2)
