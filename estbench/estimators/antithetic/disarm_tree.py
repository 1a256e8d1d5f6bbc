"""DisARM-Tree: DisARM for categorical variables, each drawn along a balanced binary tree of its classes."""

from __future__ import annotations

from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import CATEGORICAL, Facts
from estbench.estimators.shared.trees import NODES, disarm, halves
from estbench.options import dataclass
from estbench.problem import Problem


@dataclass(frozen=True)
class DisarmTree:
    """(f(z) − f(z̃)) Σ_n h_n ∂α_n/∂θ on the tree that halves the range of classes again and again (Dong et al. 2021).

    z and z̃ follow antithetic uniforms of the K − 1 nodes; h_n is disarm at the nodes on both ways, half a score at
    those on one (`trees.disarm`). K need not be a power of 2.
    """

    @property
    def facts(self) -> Facts:
        """Unbiased: disarm at each node, a Bernoulli variable. Its law depends on how classes are numbered."""
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
        return halves(problem.independent).breakpoints()

    def rows(self, draw: Draw) -> Tensor:
        """(f(z) − f(z̃)) Σ_n h_n ∂α_n/∂θ."""
        return disarm(draw, halves(draw.distribution))
