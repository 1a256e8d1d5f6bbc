"""CARMS: leave-one-out REINFORCE with N antithetic samples of categorical variables."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor
from torch.nn.functional import pad

from estbench.distributions import Independent
from estbench.distributions.tables import table
from estbench.draws import Draw, over_samples, per_variable
from estbench.estimators.base import CATEGORICAL, Facts
from estbench.estimators.shared.copula import both_below, cut, dirichlet
from estbench.options import dataclass


@dataclass(frozen=True)
class Carms:
    """1/(N(N − 1)) Σ_{i≠j} (f_i − f_j) r(z_i, z_j) (e_{z_i} − π), r(a, b) = π_a π_b/P(a, b) (Dimitriev & Zhou 2021).

    The N samples are the inverse CDF of one Dirichlet copula draw over the sample axis per variable, with the classes
    in one of K(K − 1)/2 orders, drawn uniformly per variable and estimate: a, all others by index, b for each a < b. So
    every two classes lie at opposite ends in one order, and P(a, b), the probability of the pair, is never 0.
    """

    @property
    def facts(self) -> Facts:
        """Unbiased: r turns the coupled pairs into independent ones; pairs of one class cancel."""
        return Facts(
            "antithetic",
            distributions=CATEGORICAL,
            f=1,
            min_samples=2,
            symmetric=True,
            exact="none",
            noise=("carms/copula", "carms/order"),
            sources=("dimitriev2021carms",),
            identities=("K = 2, N = 2: disarm, in law",),
        )

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """1/(N(N − 1)) [m ⊙ (r n) − n ⊙ (r m)], n_a = Σ_i 1[z_i = a], m_a = Σ_i f_i 1[z_i = a].

        This is the double sum, class by class; r being symmetric, all that π multiplies cancels.
        """
        N, (D, K) = samples, draw.distribution.event_shape
        lower, upper, r = _orders(draw.distribution, N)
        d = dirichlet(draw.uniform("carms/copula", D)[:, :N]).unsqueeze(-1)  # [R, N, D, 1]
        pick = (draw.uniform("carms/order", D, per_replicate=True) * (K * (K - 1) // 2)).long()  # [R, D]
        variable = torch.arange(lower.shape[1], device=pick.device).view(-1, D)  # [1, D], or [R, D]
        z, short = d.new_empty(2, draw.R, N, D, K)
        torch.gt(d, upper[pick, variable].unsqueeze(1), out=z)  # 1[U < R_c]
        z -= torch.gt(d, lower[pick, variable].unsqueeze(1), out=short)  # less 1[U < L_c]
        f = draw.problem.from_first(draw.problem.f(z))
        f = f - f.amin(1, keepdim=True)  # m ≥ 0: nothing cancels but in the last difference
        n, m = over_samples(z), over_samples(draw.lift(f) * z)
        rn, rm = (per_variable(sums.unsqueeze(1), r).squeeze(1) for sums in (n, m))
        return draw.cancelled(m * rn - n * rm, m * rn + n * rm, N * K) / (N * (N - 1))


@table
def _orders(distribution: Independent, N: int) -> tuple[Tensor, Tensor, Tensor]:
    """The d_n at the ends L_c, R_c of class c in the CDF of each order, `lower` and `upper` [M, D, K], and r [D, K, K].

    Of batched logits they are [M, R D, K] and [R, 1, D, K, K].

    P(a, b) is the mean over the orders of C(R_a, R_b) − C(L_a, R_b) − C(R_a, L_b) + C(L_a, L_b). It needs none of the
    smoothing or clipping of public code: the order from a to b alone gives π_a π_b at least, a bound for rounding.
    """
    K = distribution.classes
    pi = distribution.marginals.double().view(-1, K)
    rows = [[a, *(c for c in range(K) if c not in (a, b)), b] for a, b in combinations(range(K), 2)]
    orders = torch.tensor(rows, device=pi.device)  # [M, K]
    ordered = pi[:, orders].movedim(0, 1)  # [M, D, K]
    below, above = pad(ordered.cumsum(-1), (1, 0)), pad(ordered.flip(-1).cumsum(-1), (1, 0)).flip(-1)
    ends = cut(torch.where(below < above, below.log(), (-above).log1p()), N)  # [M, D, K + 1]
    position = orders.argsort(-1).unsqueeze(1).expand_as(ordered)  # of each class
    lower, upper = ends.gather(-1, position), ends.gather(-1, position + 1)
    P = torch.zeros(len(pi), K, K).to(pi)
    for L, R in zip(lower.unsqueeze(-1), upper.unsqueeze(-1), strict=True):  # [D, K, 1]
        mixed = both_below(L, R.mT, N)
        P += both_below(R, R.mT, N) + both_below(L, L.mT, N) - (mixed + mixed.mT)
    independent = pi.unsqueeze(-1) * pi.unsqueeze(-2)
    r = len(orders) / torch.fmax(P / independent, torch.ones_like(P))
    r.diagonal(dim1=1, dim2=2).zero_()
    r = distribution.align(r.view(*distribution.logits.shape, K))
    return lower.to(distribution.logits), upper.to(distribution.logits), r.to(distribution.logits)
