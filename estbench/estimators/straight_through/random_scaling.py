"""Uniform random scaling: the difference f(1) − f(0) as f′ at a uniform point between 0 and 1."""

from __future__ import annotations

import torch
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import BERNOULLI, LINKS, Count, Facts, Node, Vjp
from estbench.options import dataclass

_UNIFORM = "random_scaling/u"


@dataclass(frozen=True)
class RandomScaling(Node):
    """p_i q_i ∂f/∂z_i at z with z_i := u_i, u_i uniform: E f′(u) = f(1) − f(0) (Pervez et al. 2020; core of FouST).

    joint  all variables at u at once, at the price of one ∇f
    """

    joint: bool = False

    @property
    def facts(self) -> Facts:
        """Unbiased one variable at a time; jointly only where f is a sum over the variables."""
        return Facts(
            "straight-through",
            links=LINKS,
            distributions=BERNOULLI,
            unbiased=not self.joint,
            df=1 if self.joint else Count("D", lambda D, _: D),
            node=self.joint,
            evaluates_relaxed=True,
            exact="smooth",
            noise=(_UNIFORM,),
            sources=("pervez2020",),
            identities=("joint: unbiased on separable f", "no variance on linear f"),
        )

    def breakpoints(self, problem: object) -> dict[str, list[Tensor]]:
        """None: it is smooth in its uniforms."""
        del problem
        return {_UNIFORM: [torch.empty(0)]}

    def vjp(self, draw: Draw) -> tuple[Tensor, Vjp]:
        """u, and p q g: of all variables at once."""
        return draw.uniform(_UNIFORM, draw.problem.D), draw.distribution.mean_jac

    def rows(self, draw: Draw) -> Tensor:
        """p q ∂f/∂z_i at z with z_i := u_i for each i in turn, or at u."""
        if self.joint:
            return super().rows(draw)
        d, D = draw.distribution, draw.problem.D
        u = draw.uniform(_UNIFORM, D)
        g, one_at_u = torch.empty_like(u), draw.z.clone()
        for i in range(D):
            one_at_u[..., i] = u[..., i]
            g[..., i] = draw.problem.df(one_at_u)[..., i]
            one_at_u[..., i] = draw.z[..., i]
        return d.mean_jac(g)
