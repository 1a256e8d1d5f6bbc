"""MVE(t): the straight-through estimator of least variance for a given bound on its bias."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from estbench.distributions import Bernoulli, Categorical
from estbench.distributions.tables import table
from estbench.draws import Draw, per_variable
from estbench.estimators.base import LINKS, Facts, Node, Vjp
from estbench.options import dataclass


@dataclass(frozen=True)
class Mve(Node):
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
        """Biased: differences of f are replaced by ∇f at the sample. Exact on linear f, at every t."""
        return Facts(
            "straight-through",
            links=LINKS,
            unbiased=False,
            df=1,
            node=True,
            sources=("hooper2026",),
            identities=("t = 0: ste", "unbiased on linear f, at t = ∞ on quadratics", "Bernoulli, t = ∞: zgr"),
        )

    def vjp(self, draw: Draw) -> tuple[Tensor, Vjp]:
        """z, and S_xᵀ g, its numerators and denominators divided by 1 + t = 1/u, v = t u: t may be infinite.

        As S_xᵀ 1 = 0, g may be centred at x: no digit is lost where π is almost one-hot, and J_x meets g_x = 0.
        """
        u = 1 / (1 + self.t)
        v = 1 - u
        d, z = draw.distribution, draw.z
        if isinstance(d, Bernoulli):  # two classes: what is solved for below has a closed form
            variance = d.align(d.variance)
            omega = 4 * v * variance / _positive(u + 4 * v * variance)
            factor = torch.lerp(variance, draw.deviation.abs() / 2, omega)
            return z, lambda g: d.chain(g * factor)
        pi, V = d.align(d.mean), d.align(_V(d, u, v))

        def of(g: Tensor) -> Tensor:
            a = (g - d.dot(g, z)) / (u + v * (pi + d.pick(z, d.mean)))
            of_V = a * (u + v * pi) - v * d.dot(a, pi) * z  # [R, N, D, i]
            return per_variable(of_V, V)

        return z, of


@table
def _V(d: Categorical, u: float, v: float) -> Tensor:
    """V, [*batch, D, K, K].

    Towards t = ∞ A becomes a Laplacian and V is free up to a constant row, which S_xᵀ g does not feel: V at the mode is
    set to 0.
    """
    exact = d.with_logits(d.logits.double())
    pi, one_hot = exact.mean.unsqueeze(-1), torch.eye(d.classes).to(exact.mean)  # [*batch, D, K, 1], [K, K]
    c = 1 / _positive(u + v * (pi + pi.mT))
    W = v * c * pi * pi.mT  # −A_ij for i ≠ j
    A = torch.diag_embed(u * (c @ pi).squeeze(-1) + W.sum(-1)) - W
    if u < 2**-50:
        A = A + pi * exact.mode.unsqueeze(-2) + torch.diag_embed((pi.squeeze(-1) == 0).to(pi))
    J = pi * torch.lerp(-pi.mT, exact.q.unsqueeze(-2), one_hot)  # row i: π_i times the score of class i
    V: Tensor = torch.linalg.solve(A, (u + v * pi) / _positive(u + 2 * v * pi) * J)
    return V.to(d.logits)


def _positive(t: Tensor) -> Tensor:
    """t ≥ 0, and what is 0 at t = ∞, where a class is impossible, a little more: all that it divides is 0 too."""
    return t.clamp(min=torch.finfo(t.dtype).tiny)
