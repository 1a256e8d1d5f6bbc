"""Implicit maximum likelihood: the sample against the sample at logits moved down the gradient."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import Facts
from estbench.options import dataclass


@dataclass(frozen=True)
class Imle:
    """(z − z′)/λ, z at the noisy logits x, z′ at x − λ ∇f(z) of the same noise (Niepert et al. 2021, algorithm 1).

    The noise is logistic or Gumbel, so that z ~ p (perturb-and-MAP of independent variables is exact sampling).

    step  λ, the step to the target distribution, which the paper tunes for each task. One variable: in mean
          [(σ(φ) − σ(φ − λ f′(1)))₊ − (σ(φ − λ f′(0)) − σ(φ))₊]/λ; λ → 0: p q [max(f′(1), 0) + min(f′(0), 0)]
    """

    step: Annotated[float, Field(gt=0)] = 1.0

    @property
    def facts(self) -> Facts:
        """Biased: a difference over a step of λ in the logits. On linear f, λ → 0 makes it exact."""
        return Facts(
            "perturbation",
            unbiased=False,
            df=1,
            exact="none",
            noise=("main",),
            sources=("niepert2021",),
            identities=("linear f: in mean → the true gradient as step → 0",),
        )

    def rows(self, draw: Draw) -> Tensor:
        """(z − z′)/λ; without 1/λ, as in the reference code, the mean grows with λ."""
        x, lam = draw.x, self.step
        return (draw.z - draw.distribution.hard(x - lam * draw.dfz)) / lam
