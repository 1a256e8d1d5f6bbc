"""MVE(t): the straight-through estimator of least variance for a given bound on its bias."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from estbench.distributions import Bernoulli, Categorical
from estbench.draws import Draw
from estbench.estimators.base import Facts


@dataclass(frozen=True)
class Mve:
    """S_xᵀ g for the sampled class x, variable by variable (Hooper & Shekhovtsov 2026).

    Row i of S_x is [(1 + tπ_i) V_i − tπ_i V_x + t 1[i = x] J_x]/(1 + t(π_i + π_x)), J = diag π − ππᵀ, where V solves
    A V = diag((1 + tπ_i)/(1 + 2tπ_i)) J with A_ij = −tπ_iπ_j/(1 + t(π_i + π_j)) and
    A_ii = (1 + tπ_i) Σ_j π_j/(1 + t(π_i + π_j)) − tπ_i²/(1 + 2tπ_i). Bernoulli: (1 − ω) ste + ω zgr,
    ω = 4tpq/(1 + 4tpq).

    t  from 0, straight-through, to infinity, exact on quadratics
    """

    t: Annotated[float, Field(ge=0)] = 1.0

    @property
    def facts(self) -> Facts:
        """Biased, but exact on linear f at every t."""
        return Facts(
            "straight-through",
            unbiased=False,
            df=1,
            sources=("hooper2026",),
            identities=("t = 0: ste", "unbiased on linear f, at t = ∞ on quadratics", "Bernoulli, t = ∞: zgr"),
        )

    def rows(self, draw: Draw) -> Tensor:
        """S_xᵀ g, with numerators and denominators divided by 1 + t, so that t may be infinite: u = 1 − v."""
        u, v = 1 / (1 + self.t), 1 - 1 / (1 + self.t)
        d, z, g, s = draw.distribution, draw.z, draw.dfz, draw.score
        if isinstance(d, Bernoulli):
            w = 4 * v * d.variance / (u + 4 * v * d.variance)
            return g * torch.lerp(d.variance, s.abs() / 2, w)
        pi_x = d.pick(z, d.mean)
        a = g / (u + v * (d.mean + pi_x))
        rows_of_V = a * (u + v * d.mean) - v * d.dot(a, d.mean) * z
        return torch.einsum("rndi,dij->rndj", rows_of_V, _V(d, u, v)) + v * d.dot(a, z) * pi_x * s


@lru_cache(maxsize=64)
def _V(d: Categorical, u: float, v: float) -> Tensor:
    """V, [D, K, K], solved once per problem from A V = … with row i of both sides divided by π_i.

    Towards t = ∞ A becomes a Laplacian and V is free up to a constant row, which S_xᵀ g does not feel: V at the mode is
    set to 0.
    """
    exact = Categorical(d.logits.double())
    pi, eye = exact.mean, torch.eye(d.classes).to(exact.mean)
    c = 1 / (u + v * (pi.unsqueeze(-1) + pi.unsqueeze(-2)))  # [D, i, j]
    off = v * c * pi.unsqueeze(-2) * (1 - eye)  # −A_ij/π_i
    A = torch.diag_embed(u * (c @ pi.unsqueeze(-1)).squeeze(-1) / pi + off.sum(-1)) - off
    if u < 2**-50:
        A = A + exact.mode.unsqueeze(-2)
    J = exact.score(eye.unsqueeze(1)).transpose(0, 1)  # row i is e_i − π
    weight = (u + v * pi) / (u + 2 * v * pi)
    V: Tensor = torch.linalg.solve(A, weight.unsqueeze(-1) * J)
    return V.to(d.logits)
