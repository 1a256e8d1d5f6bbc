"""Hard concrete: a stretched and clipped binary concrete variable, with mass at 0 and at 1."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from estbench.draws import MAIN, Draw
from estbench.estimators.base import BERNOULLI, Facts, Node, Vjp
from estbench.options import dataclass
from estbench.problem import Problem


@dataclass(frozen=True)
class HardConcrete(Node):
    """(ζ − γ) y (1 − y)/τ · 1[0 < ȳ < 1] f′(h), y = σ(x/τ), ȳ = γ + (ζ − γ) y, h = min(1, max(0, ȳ)).

    Louizos, Welling & Kingma 2018, equations 10 and 11, with their temperature and stretch as defaults.

    temperature  τ
    gamma, zeta  γ < 0 and ζ > 1, the ends of the stretched interval
    """

    temperature: Annotated[float, Field(gt=0)] = 2 / 3
    gamma: Annotated[float, Field(lt=0)] = -0.1
    zeta: Annotated[float, Field(gt=1)] = 1.1

    @property
    def facts(self) -> Facts:
        """Biased: it is the gradient of E f(h), not of E f(z)."""
        return Facts(
            "relaxation",
            distributions=BERNOULLI,
            unbiased=False,
            df=1,
            node=True,
            evaluates_relaxed=True,
            exact="smooth",
            noise=(MAIN,),
            sources=("louizos2018",),
        )

    def vjp(self, draw: Draw) -> tuple[Tensor, Vjp]:
        """h, and (ζ − γ) y (1 − y)/τ · 1[0 < ȳ < 1] g."""
        y, stretch = draw.relaxed(self.temperature), self.zeta - self.gamma
        stretched = self.gamma + stretch * y.y
        h = stretched.clamp(0, 1)
        return h, lambda g: y.vjp(g).mul_(torch.eq(h, stretched)).mul_(stretch)

    def breakpoints(self, problem: Problem) -> dict[str, list[Tensor]]:
        """Where ȳ reaches 0 and 1: u = σ(φ − x) at x = τ logit(−γ/(ζ − γ)) and τ logit((1 − γ)/(ζ − γ))."""
        ends = (math.log(-self.gamma / self.zeta), math.log((1 - self.gamma) / (self.zeta - 1)))
        logits = problem.oracle.independent.logits
        return {MAIN: [torch.stack([torch.sigmoid(logits - self.temperature * x) for x in ends]).flatten()]}
