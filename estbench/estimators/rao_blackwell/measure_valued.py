"""The measure-valued gradient of categorical variables: weak derivatives between each class and the sample."""

from __future__ import annotations

from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import CATEGORICAL, Count, Facts
from estbench.estimators.shared.effects import effects
from estbench.options import dataclass


@dataclass(frozen=True)
class MeasureValued:
    """π_k [f(z_{−d}, e_k) − f(z)] for each variable d and class k (Mohamed et al. 2020, section 6).

    ∂π/∂θ_k = π_k (e_k − π) is π_k times the difference of two measures, one at class k, one the law of the sample.
    For Bernoulli variables the two measures sit at 1 and at 0, which is `leg`.
    """

    @property
    def facts(self) -> Facts:
        """Unbiased: `leg`, which costs the same, is its conditional expectation given the other variables."""
        return Facts(
            "Rao-Blackwell",
            distributions=CATEGORICAL,
            f=Count("D (K − 1) + 1", lambda D, K: D * (K - 1) + 1),
            centred=False,
            sources=("mohamed2020",),
            identities=("leg is its mean over z_d given the other variables",),
        )

    def rows(self, draw: Draw) -> Tensor:
        """π_k [f(z_{−d}, e_k) − f(z)]."""
        d = draw.distribution
        return d.align(d.mean) * effects(draw)
