"""DisARM-SB: DisARM for categorical variables, each drawn by breaking a stick, class after class."""

from __future__ import annotations

from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import CATEGORICAL, Facts
from estbench.estimators.shared.trees import NODES, Order, disarm, sticks
from estbench.options import dataclass
from estbench.problem import Problem


@dataclass(frozen=True)
class DisarmSb:
    """(f(z) − f(z̃)) Σ_n h_n ∂α_n/∂θ on the tree that splits off one class after the other (Dong et al. 2021).

    z and z̃ follow antithetic uniforms of the K − 1 nodes; h_n is disarm at the nodes on both ways, half a score at
    those on one (`trees.disarm`).

    order  of the classes: ascending or descending probability, or their index; unbiased in any, ascending in the paper
    """

    order: Order = "ascending"

    @property
    def facts(self) -> Facts:
        """Unbiased, in any order: disarm at each node of the tree, which is a Bernoulli variable."""
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
        return sticks(problem.independent, self.order).breakpoints()

    def rows(self, draw: Draw) -> Tensor:
        """(f(z) − f(z̃)) Σ_n h_n ∂α_n/∂θ."""
        return disarm(draw, sticks(draw.distribution, self.order))
