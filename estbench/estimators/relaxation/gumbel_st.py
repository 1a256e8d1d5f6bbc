"""Straight-through Gumbel-Softmax: forward the hard sample, backward the relaxed one of the same noise."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from estbench.draws import MAIN, Draw
from estbench.estimators.base import Facts, Node, Vjp
from estbench.options import dataclass


@dataclass(frozen=True)
class GumbelSt(Node):
    """J(y) ∇f(z)/τ, y = softmax(x/τ) or σ(x/τ), z the hard sample of the same x (Jang et al. 2017, section 2.2)."""

    temperature: Annotated[float, Field(gt=0)] = 1.0

    @property
    def facts(self) -> Facts:
        """Biased, even on linear f: J(y) is not the derivative of E z. Its mean is that of gumbel_rao."""
        return Facts(
            "relaxation",
            unbiased=False,
            df=1,
            node=True,
            exact="smooth",
            noise=(MAIN,),
            sources=("jang2017",),
            identities=("in mean gumbel_rao, for any number of inner draws", "in mean → zgr as τ → 0"),
        )

    def vjp(self, draw: Draw) -> tuple[Tensor, Vjp]:
        """z, and J(y) g/τ."""
        return draw.z, draw.relaxed(self.temperature).vjp
