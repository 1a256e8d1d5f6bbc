"""Local expectation gradients: every variable summed out given the others."""

from __future__ import annotations

from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import LINKS, Count, Facts
from estbench.estimators.shared.effects import effects
from estbench.options import dataclass


@dataclass(frozen=True)
class Leg:
    """p q [f(z_{−d}, 1) − f(z_{−d}, 0)], or J(π_d) f(z_{−d}, ·), for each variable d (Titsias & Lázaro-Gredilla 2015).

    For one layer of independent variables RAM (Tokui & Sato 2017), GO (Cong et al. 2019) and IndeCateR (De Smet et al.
    2023) are the same. It is straight-through with finite differences in place of ∇f.
    """

    @property
    def facts(self) -> Facts:
        """Unbiased: E ĝ_d is the conditional expectation of REINFORCE given the other variables, averaged over them."""
        return Facts(
            "Rao-Blackwell",
            links=LINKS,
            f=Count("D (K − 1) + 1", lambda D, K: D * (K - 1) + 1),
            sources=("titsias2015", "tokui2017", "cong2019", "desmet2023"),
            identities=("no variance on separable f, so none for one variable", "linear f: ste, draw by draw"),
        )

    def rows(self, draw: Draw) -> Tensor:
        """J(π_d) f(z_{−d}, ·); J takes no notice of a constant, so f may be counted from f(z)."""
        return draw.distribution.mean_jac(effects(draw))
