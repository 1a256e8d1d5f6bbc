"""Wrong on purpose: joint estimators unbiased at one number of samples and at no other, and rows that are coupled.

They are plug-ins, as anybody's are, so that what takes up a plug-in takes up these.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass
from torch import Tensor

from estbench.draws import Draw, over_samples
from estbench.estimators.antithetic.arms import Arms
from estbench.estimators.antithetic.carms import Carms
from estbench.estimators.base import Facts
from estbench.estimators.control_variate.double_cv import DoubleCv
from estbench.estimators.rao_blackwell.stratified import Stratified
from estbench.estimators.score_function.rloo import Rloo


def covariance(draw: Draw, N: int) -> Tensor:
    """Σ_n (f(z_n) − f̄) s(z_n): of mean (N − 1) ∇E f."""
    return Rloo().joint(draw, N) * (N - 1)


@dataclass(frozen=True)
class OverHalfN:
    """2/N Σ_n (f_n − f̄) s(z_n): right at N = 2."""

    right_at: ClassVar[int] = 2
    facts: ClassVar[Facts] = Facts("score function", f=1, min_samples=2)

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """In mean 2 − 2/N gradients."""
        return covariance(draw, samples) * 2 / samples


@dataclass(frozen=True)
class Undivided:
    """Σ_n (f_n − f̄) s(z_n): right at N = 2."""

    right_at: ClassVar[int] = 2
    facts: ClassVar[Facts] = Facts("score function", f=1, min_samples=2)

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """In mean N − 1 gradients."""
        return covariance(draw, samples)


@dataclass(frozen=True)
class DividedTwice:
    """1/(N − 1)² Σ_n (f_n − f̄) s(z_n): right at N = 2."""

    right_at: ClassVar[int] = 2
    facts: ClassVar[Facts] = Facts("score function", f=1, min_samples=2)

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """In mean 1/(N − 1) gradients."""
        return covariance(draw, samples) / (samples - 1) ** 2


@dataclass(frozen=True)
class Halved:
    """1/2 Σ_n (f_n − f̄) s(z_n): right at N = 3, and wrong at the smallest N."""

    right_at: ClassVar[int] = 3
    facts: ClassVar[Facts] = Facts("score function", f=1, min_samples=2)

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """In mean (N − 1)/2 gradients."""
        return covariance(draw, samples) / 2


@dataclass(frozen=True)
class Summed:
    """Σ_n f(z_n) s(z_n): right at N = 1."""

    right_at: ClassVar[int] = 1
    facts: ClassVar[Facts] = Facts("score function", f=1)

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """In mean N gradients."""
        return over_samples((draw.lift(draw.fz) * draw.score)[:, :samples])


@dataclass(frozen=True)
class WrongCorrection(DoubleCv):
    """`DoubleCv` at a = 1, but 2/N of the correction J(p) mean ∇f taken off, not all of it: right at N = 2."""

    right_at: ClassVar[int] = 2

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """In mean 1 gradient and (1 − 2/N) J(p) E ∇f."""
        correction = draw.distribution.mean_jac(over_samples(draw.dfz[:, :samples]) / samples)
        return DoubleCv(a=1.0).joint(draw, samples) + (1 - 2 / samples) * correction


@dataclass(frozen=True)
class StratifiedSum(Stratified):
    """`Stratified`, not divided by N: right at N = 1, and no exact moments to say so."""

    right_at: ClassVar[int] = 1

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """In mean N gradients."""
        return Stratified().joint(draw, samples) * samples


@dataclass(frozen=True)
class ArmsOverHalfN(Arms):
    """`Arms` with 2/N for 1/(N − 1): right at N = 2, and no exact moments to say so."""

    right_at: ClassVar[int] = 2

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """In mean 2 − 2/N gradients."""
        return Arms().joint(draw, samples) * (samples - 1) * 2 / samples


@dataclass(frozen=True)
class CarmsOverHalfN(Carms):
    """`Carms` with 2/N for 1/(N − 1): right at N = 2, and no exact moments to say so."""

    right_at: ClassVar[int] = 2

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """In mean 2 − 2/N gradients."""
        return Carms().joint(draw, samples) * (samples - 1) * 2 / samples


@dataclass(frozen=True)
class EarlierBaseline:
    """(f(z_n) − f(z_{n−1})) s(z_n), and f(z_1) s(z_1): unbiased at every N, but its rows are no independent ones."""

    facts: ClassVar[Facts] = Facts("score function", f=1)

    def rows(self, draw: Draw) -> Tensor:
        """Every row but the first depends on the one before it."""
        f = draw.fz.clone()
        f[:, 1:] -= draw.fz[:, :-1]
        return draw.lift(f) * draw.score


WRONG = (
    OverHalfN,
    Undivided,
    DividedTwice,
    Halved,
    Summed,
    WrongCorrection,
    StratifiedSum,
    ArmsOverHalfN,
    CarmsOverHalfN,
)
