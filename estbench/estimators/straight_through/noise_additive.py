"""The noisy rectifier: noise is added before a nonlinearity that has a derivative."""

from __future__ import annotations

import torch
from torch import Tensor

from estbench.distributions import Bernoulli
from estbench.draws import MAIN, Draw
from estbench.estimators.base import BERNOULLI, Facts, Node, Vjp
from estbench.estimators.shared.noisy_unit import MAX_VARIABLES, Nodes, clustered, gradient
from estbench.options import dataclass
from estbench.problem import Problem


@dataclass(frozen=True)
class NoiseAdditive(Node):
    """f′(h) 1[x > 0], h = max(0, x), x logistic with location φ (Bengio, Léonard & Courville 2013).

    The unit is active, h > 0, with probability p, and E h = softplus(φ). What it estimates is ∇ E f(h), not ∇ E f(z).
    """

    @property
    def facts(self) -> Facts:
        """Unbiased for ∇ E f(h), as h is differentiated at fixed noise."""
        return Facts(
            "straight-through",
            distributions=BERNOULLI,
            unbiased=False,
            df=1,
            node=True,
            evaluates_relaxed=True,
            max_variables=MAX_VARIABLES,
            exact="smooth",
            noise=(MAIN,),
            sources=("bengio2013",),
        )

    def vjp(self, draw: Draw) -> tuple[Tensor, Vjp]:
        """h, and g 1[x > 0]; x > 0 where z = 1."""
        return draw.x.clamp(min=0), lambda g: g * draw.z

    def reference(self, problem: Problem) -> Tensor:
        """∇ E f(h) by quadrature; at D = 1, E f(h) = q f(0) + ∫₀^∞ f(y) ρ(y − φ) dy, ρ = σ(1 − σ)."""
        return gradient(problem, self._nodes)

    def _nodes(self, d: Bernoulli, n: int) -> Nodes:
        """h = 0 of weight q and score −p; and h = φ − logit(u), of score 1 − 2u, for u from 0 to p."""
        logit, p, q, (t, rest, weight) = d.logits.squeeze(), d.mean.squeeze(), d.q.squeeze(), clustered(n)
        u, complement = p * t, q + p * rest  # u and 1 − u
        h = (logit - torch.log(u) + torch.log(complement)).clamp(min=0)
        atom = torch.stack((torch.zeros_like(p), q, -p)).unsqueeze(1)
        return Nodes(*torch.cat((atom, torch.stack((h, p * weight, complement - u))), 1))
