"""Gapped straight-through: the backward softmax at logits pushed apart until the sampled class leads by a gap."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from estbench.distributions import Independent
from estbench.draws import Draw
from estbench.estimators.base import Facts, Node, Vjp
from estbench.options import dataclass


@dataclass(frozen=True)
class GappedSt(Node):
    """J(softmax(l/τ)) g/τ with l_k = max θ for the sampled class k, l_i = min(θ_i, max θ − gap) for the others.

    Bernoulli: σ(a/τ) σ(−a/τ) f′/τ, a = max((2z − 1) φ, gap). Fan et al. 2022.

    gap  a number (the paper's GST-1.0: 1), or p: −log(1 − P(z_d))/P(z_d) (GST-p)
    """

    temperature: Annotated[float, Field(gt=0)] = 1.0
    gap: Annotated[float, Field(gt=0)] | Literal["p"] = 1.0

    @property
    def facts(self) -> Facts:
        """Biased, even on linear f: the softmax is differentiated at other logits than those that were sampled from."""
        return Facts("straight-through", unbiased=False, df=1, node=True, sources=("fan2022",))

    def vjp(self, draw: Draw) -> tuple[Tensor, Vjp]:
        """z, and J(softmax(l/τ)) g/τ."""
        d = draw.distribution
        gap = d.pick(draw.z, _gap(d)) if self.gap == "p" else self.gap
        pushed = d.gapped(draw.z, gap)
        y = pushed.relax(self.temperature)
        return draw.z, lambda g: pushed.vjp(y, self.temperature, g)


def _gap(d: Independent) -> Tensor:
    """−log(1 − P)/P of each class: 1 at P = 0; at P = 1 as large a number as there is, which 0 can multiply."""
    return (-d.log_others / d.marginals).nan_to_num(1.0)
