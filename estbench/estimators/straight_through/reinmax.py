"""ReinMax: a second-order correction of straight-through."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import LINKS, SIGMOID, Facts, Node, Vjp
from estbench.options import dataclass


@dataclass(frozen=True)
class Reinmax(Node):
    """2 J((π_τ + z)/2) g − ½ J(π) g, π_τ = softmax(θ/τ) or σ(φ/τ), τ ≥ 1 (Liu et al. 2023, algorithm 2).

    Without any factor 1/τ: the temperature only flattens π in the first term.
    """

    temperature: Annotated[float, Field(ge=1)] = 1.0

    @property
    def facts(self) -> Facts:
        """Biased: differences of f are replaced by means of ∇f; at τ = 1 those at both ends, exact on quadratics."""
        return Facts(
            "straight-through",
            links=LINKS if self.temperature == 1 else SIGMOID,
            unbiased=False,
            df=1,
            node=True,
            sources=("liu2023",),
            identities=("τ = 1: zgr, draw by draw", "τ = 1: unbiased on quadratics"),
        )

    def vjp(self, draw: Draw) -> tuple[Tensor, Vjp]:
        """z, and 2 J((π_τ + z)/2) g − ½ J(π) g."""
        d, z = draw.distribution, draw.z

        def of(g: Tensor) -> Tensor:
            halfway = d.chain(d.tempered(self.temperature).jac_halfway(z, g))
            return halfway.mul_(2).sub_(draw.mean_jac(g), alpha=0.5)

        return z, of
