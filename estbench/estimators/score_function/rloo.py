"""RLOO, leave-one-out REINFORCE: the baseline of a sample is the mean of f over the other samples."""

from __future__ import annotations

from torch import Tensor

from estbench.draws import Draw, over_samples
from estbench.estimators.base import LINKS, Facts
from estbench.options import dataclass


@dataclass(frozen=True)
class Rloo:
    """1/(N − 1) Σ_n (f(z_n) − f̄) s(z_n), N ≥ 2, f̄ the mean over all N samples."""

    @property
    def facts(self) -> Facts:
        """Unbiased: (f_n − f̄) N/(N − 1) is f_n less the mean of the others."""
        return Facts(
            "score function",
            links=LINKS,
            general=True,
            f=1,
            min_samples=2,
            symmetric=True,
            sources=("salimans2014", "mnih2016", "kool2019", "richter2020"),
            identities=("N = 2, one Bernoulli variable: ½ (f(1) − f(0)) 1[z₁ ≠ z₂]",),
        )

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """1/(N − 1) Σ_n (f_n − f̄) s(z_n); dividing by N, as some do, shrinks the mean by 1 − 1/N."""
        N = samples
        f, s = draw.problem.from_first(draw.fz[:, :N]), draw.score[:, :N]
        return draw.total(draw.lift(f - over_samples(f).unsqueeze(1) / N) * s) / (N - 1)
