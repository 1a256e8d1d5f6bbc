"""ARMS: leave-one-out REINFORCE with N antithetic samples of Bernoulli variables."""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor

from estbench.distributions import Bernoulli
from estbench.draws import MAIN, Draw, over_samples
from estbench.estimators.base import BERNOULLI, LINKS, Facts
from estbench.estimators.shared.copula import both_below, cut, dirichlet, gaussian, parted
from estbench.options import dataclass


@dataclass(frozen=True)
class Arms:
    """ρ/(N − 1) Σ_n (f(z_n) − f̄) (z_n − p), ρ = pq/(p − P₁₁), P₁₁ = P(z_i = z_j = 1) (Dimitriev & Zhou 2021).

    The N samples come from one copula draw U over the sample axis per variable: z = 1[U < p] where p ≤ ½, else
    1[1 − U < p], so that the rarer value is drawn in the tail where the copula is most antithetic.

    copula  dirichlet: p − P₁₁ = m − max(0, 2 m^{1/(N−1)} − 1)^{N−1}, m = min(p, q); or gaussian: normals with
            correlation −1/(N − 1), p − P₁₁ an integral
    """

    copula: Literal["dirichlet", "gaussian"] = "dirichlet"

    @property
    def facts(self) -> Facts:
        """Unbiased: ρ makes up for the pairs z_i ≠ z_j that coupling makes more likely."""
        return Facts(
            "antithetic",
            links=LINKS,
            distributions=BERNOULLI,
            f=1,
            min_samples=2,
            symmetric=True,
            exact="none",
            noise=(MAIN,),
            sources=("dimitriev2021arms",),
            identities=("N = 2: disarm, draw by draw for one variable, else in law",),
        )

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """ρ/(N − 1) Σ_n (f_n − f̄) z_n: the p of z_n − p drops out of the sum."""
        N, d = samples, draw.distribution
        u = draw.noise()[:, :N]
        double = cast(Bernoulli, d.with_logits(d.logits.double()))  # all that it serves
        log_m = torch.minimum(double.log_mean, double.log_q)
        m = log_m.exp()
        if self.copula == "dirichlet":
            a = cut(log_m, N)
            rare = torch.gt(dirichlet(u), d.align(a).to(u), out=torch.empty_like(u))  # 1[U_n < m]
            rho = m * (1 - m) / (m - both_below(a, a, N))
        else:
            h = torch.special.ndtri(m)
            rare = torch.lt(gaussian(u), d.align(h).to(u), out=torch.empty_like(u))
            rho = m * (1 - m) / parted(h, N)
        z = rare.sub_(d.align(d.mode)).abs_()  # the rarer value is 0 where p > 1/2
        f = draw.problem.from_first(draw.problem.f(z))
        f = f - over_samples(f).unsqueeze(1) / N
        rho = torch.where(m > 0, rho, 0.0)  # where z is certain nothing moves
        return draw.total(draw.lift(f) * z) * (rho * double.canonical_slope / (N - 1)).to(z)
