"""REINFORCE on a Latin hypercube of samples: stratified in every variable."""

from __future__ import annotations

import torch
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import LINKS, Facts
from estbench.options import dataclass

ORDER, WITHIN = "stratified/order", "stratified/within"


@dataclass(frozen=True)
class Stratified:
    """1/N Σ_n f(z_n) s(z_n), z_n by inverse CDF of u_nd = (τ_d(n) + v_nd)/N (McKay, Beckman & Conover 1979).

    v_nd are uniform and τ_d is an independent random permutation of 0 … N − 1 for every variable: every z_n has the law
    of a plain sample, and in each variable one sample lies in every stratum.
    """

    @property
    def facts(self) -> Facts:
        """Unbiased, as every sample by itself is a plain one; one permutation shared by all variables would not be."""
        return Facts(
            "Rao-Blackwell",
            links=LINKS,
            f=1,
            exact="none",
            noise=(ORDER, WITHIN),
            sources=("mckay1979",),
            identities=("N = 1: reinforce, in law",),
        )

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """1/N Σ_n f(z_n) s(z_n)."""
        d, D, N = draw.distribution, draw.problem.D, samples
        tau = draw.uniform(ORDER, D)[:, :N].argsort(1)  # [R, N, D]: for every variable 0 … N − 1 in random order
        u = (tau + draw.uniform(WITHIN, D)[:, :N]) / N
        u.clamp_(max=1 - torch.finfo(u.dtype).eps / 2)  # N − 1 + v can round to N
        z = d.inverse_cdf(u)
        return draw.total(draw.lift(draw.problem.f(z)) * d.score(z)) / N
