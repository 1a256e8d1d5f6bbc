"""Gumbel-Softmax, the concrete relaxation: the pathwise gradient of the relaxed objective."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from estbench.draws import MAIN, Draw
from estbench.estimators.base import Facts, Node, Vjp
from estbench.options import dataclass


@dataclass(frozen=True)
class Gumbel(Node):
    """J(y) ∇f(y)/τ, y = softmax(x/τ) or σ(x/τ), x = logits + noise (Jang et al. 2017; Maddison et al. 2017)."""

    temperature: Annotated[float, Field(gt=0)] = 1.0

    @property
    def facts(self) -> Facts:
        """Biased: it is the gradient of E f(y), not of E f(z)."""
        return Facts(
            "relaxation",
            unbiased=False,
            df=1,
            node=True,
            evaluates_relaxed=True,
            exact="smooth",
            noise=(MAIN,),
            sources=("jang2017", "maddison2017"),
        )

    def vjp(self, draw: Draw) -> tuple[Tensor, Vjp]:
        """y, and J(y) g/τ."""
        relaxed = draw.relaxed(self.temperature)
        return relaxed.y, relaxed.vjp
