"""The noisy rectifier: noise is added before a nonlinearity that has a derivative."""

from __future__ import annotations

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from estbench.draws import MAIN, Draw
from estbench.estimators.base import BERNOULLI, Facts
from estbench.estimators.straight_through.noisy_unit import MAX_VARIABLES, Nodes, clustered, gradient
from estbench.problem import Problem


@dataclass(frozen=True)
class NoiseAdditive:
    """f′(h) 1[x > 0], h = max(0, x), x logistic with location φ (Bengio, Léonard & Courville 2013).

    The unit is active, h > 0, with probability p, and E h = softplus(φ). What it estimates is ∇ E f(h), not ∇ E f(z).
    """

    @property
    def facts(self) -> Facts:
        """Unbiased for the gradient of its own E f(h)."""
        return Facts(
            "straight-through",
            distributions=BERNOULLI,
            unbiased=False,
            df=1,
            off=True,
            max_variables=MAX_VARIABLES,
            exact="smooth",
            noise=(MAIN,),
            sources=("bengio2013",),
        )

    def rows(self, draw: Draw) -> Tensor:
        """f′(h) 1[x > 0]; x > 0 where z = 1."""
        return draw.problem.df(draw.x.clamp(min=0)) * draw.z

    def reference(self, problem: Problem) -> Tensor:
        """∇ E f(h): q f(0) + ∫₀^∞ f(y) ρ(y − φ) dy at D = 1, ρ = σ(1 − σ); by quadrature, from values of f alone."""
        return gradient(problem, self._nodes)

    def _nodes(self, logit: Tensor, n: int) -> Nodes:
        """h = 0 with its atom q and ∂ log q/∂φ = −p; h = φ − logit(u), u < p, with ∂ log ρ(h − φ)/∂φ = 1 − 2u."""
        p, (t, rest, weight) = torch.sigmoid(logit), clustered(n)
        u, complement = p * t, torch.sigmoid(-logit) + p * rest
        h = (logit - torch.log(u) + torch.log(complement)).clamp(min=0)
        atom = torch.stack((torch.zeros(()).to(p), torch.sigmoid(-logit), -p)).unsqueeze(1)
        return Nodes(*torch.cat((atom, torch.stack((h, p * weight, complement - u))), 1))
