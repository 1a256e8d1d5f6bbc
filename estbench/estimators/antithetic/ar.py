"""AR, augment-REINFORCE: REINFORCE for categorical variables with respect to the exponentials that z is made of."""

from __future__ import annotations

from torch import Tensor

from estbench.draws import MAIN, Draw
from estbench.estimators.base import CATEGORICAL, Facts
from estbench.options import dataclass


@dataclass(frozen=True)
class Ar:
    """f(z) (1 − K w), w = e/Σe, z = argmin(log w − θ) (Yin, Yue & Zhou 2019)."""

    @property
    def facts(self) -> Facts:
        """Unbiased: its mean given z is reinforce, which has less variance."""
        return Facts(
            "antithetic",
            distributions=CATEGORICAL,
            f=1,
            exact="smooth",
            noise=(MAIN,),
            sources=("yin2019arsm",),
            identities=("its mean given z is reinforce",),
        )

    def rows(self, draw: Draw) -> Tensor:
        """f(z) (1 − K w); 1 − π in its place, as in some code, is for one class only, and biased."""
        e = draw.noise()
        K = draw.distribution.classes
        return draw.lift(draw.fz) * (1 - K * e / e.sum(-1, keepdim=True))
