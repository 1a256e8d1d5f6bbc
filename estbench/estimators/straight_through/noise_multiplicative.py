"""A noisy unit whose activation probability is multiplied by noise."""

from __future__ import annotations

import torch
from torch import Tensor

from estbench.distributions import Bernoulli
from estbench.draws import MAIN, Draw
from estbench.estimators.base import BERNOULLI, LINKS, Facts, Node, Vjp
from estbench.estimators.shared.noisy_unit import MAX_VARIABLES, Nodes, clustered, gradient
from estbench.options import dataclass
from estbench.problem import Problem


@dataclass(frozen=True)
class NoiseMultiplicative(Node):
    """f′(h) m p q, h = m p, m = −log u (after Bengio, Léonard & Courville 2013; that m is exponential is our choice).

    E h = p. What it estimates is ∇ E f(h), not ∇ E f(z).
    """

    @property
    def facts(self) -> Facts:
        """Unbiased for ∇ E f(h), as h is differentiated at fixed noise."""
        return Facts(
            "straight-through",
            links=LINKS,
            distributions=BERNOULLI,
            unbiased=False,
            df=1,
            node=True,
            evaluates_relaxed=True,
            max_variables=MAX_VARIABLES,
            exact="smooth",
            noise=(MAIN,),
            sources=("bengio2013",),
            identities=("unbiased on linear f",),
        )

    def vjp(self, draw: Draw) -> tuple[Tensor, Vjp]:
        """h, and g m p q."""
        d = draw.distribution
        h = torch.log(draw.noise()).neg_() * d.align(d.mean)
        return h, lambda g: d.chain(g * h * d.align(d.q))

    def reference(self, problem: Problem) -> Tensor:
        """∇ E f(h) by quadrature; at D = 1, E f(h) = ∫₀^∞ e^{−m} f(m p) dm."""
        return gradient(problem, self._nodes)

    def _nodes(self, d: Bernoulli, n: int) -> Nodes:
        """h = m p, exponential with mean p, of score (m − 1) p′/p."""
        u, _, weight = clustered(n)
        m = -torch.log(u)
        return Nodes(m * d.mean, weight, (m - 1) * d.scores[1])
