"""MuProp: the first-order Taylor expansion of f at the mean as a control variate."""

from __future__ import annotations

from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import LINKS, Facts
from estbench.options import dataclass


@dataclass(frozen=True)
class Muprop:
    """[f(z) − f(p) − ∇f(p)·(z − p)] s(z) + J(p) ∇f(p), all variables at their means p (or π) at once.

    The dot product runs over all variables. Gu et al. 2016.
    """

    @property
    def facts(self) -> Facts:
        """Unbiased: the mean of the linear term times s(z) is J(p) ∇f(p)."""
        return Facts(
            "score function",
            links=LINKS,
            f=2,
            df=1,
            evaluates_relaxed=True,
            sources=("gu2016",),
            identities=("no variance on linear f",),
        )

    def rows(self, draw: Draw) -> Tensor:
        """[f(z) − f(p) − g·(z − p)] s(z) + J(p) g, g = ∇f(p); every sample pays for its own f(p) and ∇f(p)."""
        d, s = draw.distribution, draw.score
        p = d.align(d.mean).expand(draw.z.shape)
        g = draw.problem.df(p)
        rest = draw.problem.difference(draw.fz, draw.problem.f(p)) - (g * draw.deviation).flatten(2).sum(-1)  # [R, N]
        return draw.lift(rest) * s + d.mean_jac(g)
