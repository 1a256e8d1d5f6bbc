"""DisARM-IW: DisARM for categorical variables, by importance-weighted pairs of coupled classes."""

from __future__ import annotations

import torch
from torch import Tensor

from estbench.draws import Draw, per_variable
from estbench.estimators.base import CATEGORICAL, Facts
from estbench.estimators.shared.trees import NODES, sticks
from estbench.options import dataclass
from estbench.problem import Problem


@dataclass(frozen=True)
class DisarmIw:
    """½ (f(z) − f(z̃)) ω (e_z − e_z̃), ω = max(s_i, 1 − s_i) Π_{k<i} (1 − s_k)²/(1 − 2 s_k) (Dong et al. 2021).

    z and z̃ follow antithetic uniforms down the stick-breaking tree in ascending order of π and part at its node i; ω is
    the ratio of P(z) P(z̃) to the probability of the coupled pair.
    """

    @property
    def facts(self) -> Facts:
        """Unbiased in ascending order, as ω makes up for the coupling; elsewhere some s_k ≥ ½ leaves pairs out."""
        return Facts(
            "antithetic",
            distributions=CATEGORICAL,
            f=2,
            exact="smooth",
            noise=(NODES,),
            sources=("dong2021",),
            identities=("K = 2: disarm, in law",),
        )

    def breakpoints(self, problem: Problem) -> dict[str, list[Tensor]]:
        """u_n = s_n and 1 − s_n."""
        return sticks(problem.independent, "ascending").breakpoints()

    def rows(self, draw: Draw) -> Tensor:
        """½ (f(z) − f(z̃)) ω (e_z − e_z̃)."""
        tree = sticks(draw.distribution, "ascending")  # in other orders, which some code allows, it is biased
        z, z_twin = tree.coupled(draw)
        s, alpha = tree.s, tree.alpha
        passed = torch.sigmoid(-alpha) ** 2 / (1 - 2 * s)  # of node k < i
        omega = torch.sigmoid(alpha.abs())
        omega[..., 1:] *= passed[..., :-1].cumprod(-1)
        weight = per_variable(tree.parting(z, z_twin).abs_(), omega.unsqueeze(-1))
        difference = draw.problem.difference(draw.problem.f(z), draw.problem.f(z_twin))
        return draw.lift(difference / 2) * weight * (z - z_twin)
