"""Double control variates: leave-one-out REINFORCE with a linear model of f in the sample and in the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Self

from pydantic import Field
from torch import Tensor

from estbench.draws import Draw, over_samples
from estbench.estimators.base import LINKS, Facts
from estbench.estimators.shared.least_squares import Coefficient, filled
from estbench.estimators.shared.least_squares_by_size import Fits, at_size, least_squares_by_size
from estbench.estimators.shared.summands import Minus, unless_rounding
from estbench.objectives.base import over_variables
from estbench.options import dataclass
from estbench.problem import Problem


@dataclass(frozen=True)
class DoubleCv:
    """1/(N − 1) Σ_n (v_n − v̄) s(z_n) − a J(p) mean_n ∇f(z_n), v_n = f(z_n) + a ḡ_n·(z_n − p), N ≥ 2.

    ḡ_n is the mean of ∇f over the *other* samples (Titsias & Shi 2022, section 3).

    a  a number, or fitted: of least variance on n_fit draws; unfitted 0, where the authors' code starts. It depends on
       N and f: −1 for linear f (no variance at all), nearer 0 otherwise
    """

    a: Coefficient = "fitted"
    n_fit: Annotated[int, Field(ge=32)] = 4096
    fitted: Annotated[Fits, Field(exclude=True)] = ((0.0,),)

    @property
    def facts(self) -> Facts:
        """Unbiased at any a: E ḡ_n·(z_n − p) s(z_n) = J(p) E ∇f, which is taken off again."""
        return Facts(
            "control variate",
            links=LINKS,
            f=1,
            df=1,
            min_samples=2,
            symmetric=True,
            sources=("titsias2022",),
            identities=("a = 0: rloo", "no variance on linear f at a = −1"),
        )

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """The estimate with the a fitted for this N, or the one given."""
        return double_cv(draw, samples, *filled([self.a], at_size(self.fitted, samples)))

    def fit(self, problem: Problem, draw: Draw) -> Self:
        """a by least squares for N = 2, 3, 4, 6, …, from the same samples."""
        if self.a != "fitted":
            return self
        return replace(
            self, fitted=least_squares_by_size(lambda d, N, a: problem.project(double_cv(d, N, *a)), draw, 1)
        )


def double_cv(draw: Draw, samples: int, a: float) -> Tensor:
    """The formula of `DoubleCv`, [R, D(, K)]."""
    N = samples
    given = [draw.problem.from_first(draw.fz[:, :N]), draw.dfz[:, :N], draw.score[:, :N], draw.deviation[:, :N]]

    def size() -> Tensor:
        return _estimate(draw, [t.abs() for t in given], abs(a), 1)

    return unless_rounding(draw, _estimate(draw, given, a, -1), size, N * draw.problem.numbers)


def _estimate(draw: Draw, given: Sequence[Tensor], a: float, minus: Minus) -> Tensor:
    """The same, [R, D(, K)]; f is less its first value."""
    f, g, s, deviation = given
    N, total = f.shape[1], over_samples(g)
    others = (total.unsqueeze(1) - g) / (N - 1)
    v = f + a * over_variables((others * deviation).flatten(2))
    covariance = over_samples(draw.lift(v + minus * over_samples(v).unsqueeze(1) / N) * s) / (N - 1)
    along = draw.distribution.mean_jac(total.unsqueeze(1) / N).squeeze(1)
    return covariance + minus * a * along
