"""ARSM: augment-REINFORCE-swap-merge, ARS averaged over the reference class."""

from __future__ import annotations

from torch import Tensor

from estbench.draws import MAIN, Draw
from estbench.estimators.base import CATEGORICAL, Count, Facts
from estbench.estimators.shared.swaps import f_all_swapped
from estbench.options import dataclass


@dataclass(frozen=True)
class Arsm:
    """Component m: Σ_j (f^{m⇌j} − mean_m′ f^{m′⇌j}) (1/K − w_j), w = e/Σe (Yin, Yue & Zhou 2019).

    f^{m⇌j} is f at argmin(log w − θ) of w with its entries m and j swapped, in every variable; f^{j⇌j} = f(z).
    """

    @property
    def facts(self) -> Facts:
        """Unbiased: it is the mean of ars over its reference class."""
        return Facts(
            "antithetic",
            distributions=CATEGORICAL,
            f=Count("K(K − 1)/2 + 1", lambda _, K: K * (K - 1) // 2 + 1),
            exact="none",
            noise=(MAIN,),
            sources=("yin2019arsm",),
            identities=("the mean of ars over j", "K = 2: arm with u = w₁, draw by draw"),
        )

    def rows(self, draw: Draw) -> Tensor:
        """Σ_j (f^{m⇌j} − mean_m′ f^{m′⇌j}) (1/K − w_j)."""
        e, K = draw.noise(), draw.distribution.classes
        f = f_all_swapped(draw.problem, e, draw.fz)  # [j, m, R, N]
        return (1 / K - e / e.sum(-1, keepdim=True)) @ f.sub_(f.mean(1, keepdim=True)).permute(2, 3, 0, 1).contiguous()
