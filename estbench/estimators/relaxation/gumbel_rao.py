"""Gumbel-Rao: straight-through Gumbel-Softmax, averaged over relaxed samples redrawn given the hard one."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import Facts, Node, Vjp
from estbench.options import dataclass


@dataclass(frozen=True)
class GumbelRao(Node):
    """1/M Σ_m J(y_m) ∇f(z)/τ, y_m = softmax(x̃_m/τ) or σ(x̃_m/τ), x̃_m redrawn given z (Paulus et al. 2021, section 4).

    temperature  τ
    inner        M, the redraws; 10, 100 or 1000 in the paper
    """

    temperature: Annotated[float, Field(gt=0)] = 1.0
    inner: Annotated[int, Field(ge=1)] = 10

    @property
    def facts(self) -> Facts:
        """Biased as gumbel_st is, with less variance."""
        return Facts(
            "relaxation",
            unbiased=False,
            df=1,
            node=True,
            exact="smooth",
            noise=tuple(f"redraw/{m}" for m in range(self.inner)),
            inner=self.inner,
            sources=("paulus2021",),
            identities=("in mean gumbel_st, for any inner", "in mean → zgr as τ → 0, as inner → ∞ draw by draw"),
        )

    def vjp(self, draw: Draw) -> tuple[Tensor, Vjp]:
        """z, and the mean of J(y_m) g/τ; x̃_m is held fixed: differentiating through it too shrinks the mean."""
        first, *others = (draw.relaxed(self.temperature, redraw=m) for m in range(self.inner))

        def mean(g: Tensor) -> Tensor:
            total = first.vjp(g)
            for relaxed in others:
                total += relaxed.vjp(g)
            return total / self.inner

        return draw.z, mean
