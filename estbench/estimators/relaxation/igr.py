"""Invertible Gaussian reparametrisation: the relaxed sample is a squashed normal."""

from __future__ import annotations

from typing import Annotated, cast

import torch
from pydantic import Field
from torch import Tensor

from estbench.distributions import Bernoulli, Sigmoid
from estbench.draws import MAIN, Draw
from estbench.estimators.base import BERNOULLI, LINKS, Facts, Node, Vjp
from estbench.options import dataclass


@dataclass(frozen=True)
class Igr(Node):
    """y (1 − y) f′(y)/τ · dμ/dφ, y = σ((μ + σε)/τ), ε ~ N(0, 1), μ = σ Φ⁻¹(p), dμ/dφ = σ p q/n(Φ⁻¹(p)).

    n is the normal density; ε = −Φ⁻¹(u), so that P(y > ½) = p and y > ½ just where z = 1 (after Potapczynski et al.
    2020, whose softmax++ is the sigmoid at K = 2; there μ is the parameter, here the logit is).

    temperature  τ
    sigma        σ, the scale; only σ/τ matters
    """

    temperature: Annotated[float, Field(gt=0)] = 1.0
    sigma: Annotated[float, Field(gt=0)] = 1.0

    @property
    def facts(self) -> Facts:
        """Biased: it is the gradient of E f(y), not of E f(z)."""
        return Facts(
            "relaxation",
            links=LINKS,
            distributions=BERNOULLI,
            unbiased=False,
            df=1,
            node=True,
            evaluates_relaxed=True,
            exact="smooth",
            noise=(MAIN,),
            sources=("potapczynski2020",),
        )

    def vjp(self, draw: Draw) -> tuple[Tensor, Vjp]:
        """y, and y (1 − y) g/τ · dμ/dφ."""
        d, sigma, tau = draw.distribution, self.sigma, self.temperature
        double = cast(Bernoulli, d.with_logits(d.align(d.logits).double()))  # all that it serves
        quantile, dquantile = (t.to(d.logits) for t in double.normal_quantile)
        noisy = Sigmoid(sigma * (quantile - torch.special.ndtri(draw.noise())))
        y = noisy.relax(tau)
        return y, lambda g: noisy.vjp(y, tau, g) * (sigma * dquantile)
