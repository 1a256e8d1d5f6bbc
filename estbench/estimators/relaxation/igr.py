"""Invertible Gaussian reparameterization: the relaxed sample is a squashed normal."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from estbench.distributions import Sigmoid
from estbench.draws import MAIN, Draw
from estbench.estimators.base import BERNOULLI, Facts


@dataclass(frozen=True)
class Igr:
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
            distributions=BERNOULLI,
            unbiased=False,
            df=1,
            off=True,
            exact="smooth",
            noise=(MAIN,),
            sources=("potapczynski2020",),
        )

    def rows(self, draw: Draw) -> Tensor:
        """y (1 − y) f′(y)/τ · dμ/dφ."""
        d, sigma, tau = draw.distribution, self.sigma, self.temperature
        quantile, dquantile = (t.to(d.logits) for t in normal_quantile(d.align(d.logits).double()))
        noisy = Sigmoid(sigma * (quantile - torch.special.ndtri(draw.noise())))
        y = noisy.relax(tau)
        return noisy.pull(y, draw.z, tau, draw.problem.df(y)) * (sigma * dquantile)


def normal_quantile(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Φ⁻¹(σ(φ)) and its derivative p q/n(Φ⁻¹(p)), from the smaller of p and q."""
    p, q = torch.sigmoid(logits), torch.sigmoid(-logits)
    quantile = torch.special.ndtri(torch.minimum(p, q)) * -torch.sign(logits)
    return quantile, p * q * math.sqrt(2 * math.pi) * torch.exp(quantile**2 / 2)
