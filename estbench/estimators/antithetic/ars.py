"""ARS: augment-REINFORCE-swap, AR with the swaps of one reference class as its baseline."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import one_hot

from estbench.draws import MAIN, Draw
from estbench.estimators.base import CATEGORICAL, Count, Facts
from estbench.estimators.shared.swaps import f_swapped
from estbench.options import dataclass


@dataclass(frozen=True)
class Ars:
    """Component m: (f^{m⇌j} − mean_m′ f^{m′⇌j}) (1 − K w_j), w = e/Σe, j uniform (Yin, Yue & Zhou 2019).

    f^{m⇌j} is f at argmin(log w − θ) of w with its entries m and j swapped, in every variable; f^{j⇌j} = f(z). One j
    serves all variables of a sample.
    """

    @property
    def facts(self) -> Facts:
        """Unbiased for every j, and so for a random one."""
        return Facts(
            "antithetic",
            distributions=CATEGORICAL,
            f=Count("K", lambda _, K: K),
            exact="none",
            noise=(MAIN, "ars/reference"),
            sources=("yin2019arsm",),
            identities=("K = 2: arm with u = w₁, draw by draw",),
        )

    def rows(self, draw: Draw) -> Tensor:
        """(f^{m⇌j} − mean_m′ f^{m′⇌j}) (1 − K w_j)."""
        e, K = draw.noise(), draw.distribution.classes
        j = one_hot((draw.uniform("ars/reference") * K).long(), K).to(e)  # [R, N, K]
        f = f_swapped(draw.problem, e, j)  # [R, N, K]
        f = draw.problem.difference(f, f[..., :1], trailing=1)
        w_j = (e @ j.unsqueeze(-1)) / e.sum(-1, keepdim=True)  # [R, N, D, 1]
        return (f - f.mean(-1, keepdim=True)).unsqueeze(-2) * (1 - K * w_j)
