"""RODEO: leave-one-out REINFORCE with control variates made by a discrete Stein operator."""

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
class Rodeo:
    """mean_n {[f_n − mean_{j≠n}(f_j + a (A h_j)(z_j))] s(z_n) + b (A[h_n s])(z_n)}, N ≥ 2.

    A is the Stein operator of the Gibbs sampler, (A h)(z) = 1/D Σ_d [E h(z with z_d redrawn) − h(z)], with E A h = 0
    (Shi et al. 2022, section 3 and equation 11); h_n(y) = mean_{j≠n} [f_j + ∇f_j·(y − z_j)] is the linear model of f
    from the *other* samples. The paper learns a small network of h_n and 1; here the model itself is used, and the two
    coefficients, in which the estimate is linear, are fitted.

    a, b  numbers, or fitted: of least variance on n_fit draws; unfitted 0, where the authors' code starts
    """

    a: Coefficient = "fitted"
    b: Coefficient = "fitted"
    n_fit: Annotated[int, Field(ge=32)] = 4096
    fitted: Annotated[Fits, Field(exclude=True)] = ((0.0, 0.0),)

    @property
    def facts(self) -> Facts:
        """Unbiased at any a and b: each multiplies something of mean zero."""
        return Facts(
            "control variate",
            links=LINKS,
            f=1,
            df=1,
            min_samples=2,
            symmetric=True,
            sources=("shi2022",),
            identities=("a = b = 0: rloo",),
        )

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """The estimate with the a and b fitted for this N, or those given."""
        return rodeo(draw, samples, *filled([self.a, self.b], at_size(self.fitted, samples)))

    def fit(self, problem: Problem, draw: Draw) -> Self:
        """a and b by least squares for N = 2, 3, 4, 6, …, from the same samples."""
        given = [self.a, self.b]

        def estimate(groups: Draw, N: int, free: Sequence[float]) -> Tensor:
            return problem.project(rodeo(groups, N, *filled(given, free)))

        n = given.count("fitted")
        return replace(self, fitted=least_squares_by_size(estimate, draw, n)) if n else self


def rodeo(draw: Draw, samples: int, a: float, b: float) -> Tensor:
    """The formula of `Rodeo`, [R, D(, K)]; with h_n linear, A is written out: no other evaluation of f is needed."""
    N = samples
    f, g, z, s, deviation = draw.fz[:, :N], draw.dfz[:, :N], draw.z[:, :N], draw.score[:, :N], draw.deviation[:, :N]
    given = [f, draw.problem.from_first(f), g, z, s, deviation]

    def size() -> Tensor:
        return _sum(draw, [t.abs() for t in given], abs(a), abs(b), 1)

    return unless_rounding(draw, _sum(draw, given, a, b, -1), size, N * draw.problem.numbers) / N


def _sum(draw: Draw, given: Sequence[Tensor], a: float, b: float, minus: Minus) -> Tensor:
    """N times the estimate, [R, D(, K)]; e is f less its first value."""
    f, e, g, z, s, deviation = given
    d, D = draw.distribution, draw.problem.D
    g_others = others(g)  # ∇h_n, [R, N, D(, K)]
    h = others(f + minus * total(g * z)) + total(g_others * z)  # h_n(z_n), [R, N]
    along = total(g_others * deviation)  # Σ_d ∇h_n·(z_d − π_d)
    Ah = minus * along / D
    Ahs = (d.dot(g_others, deviation) * s + d.mean_jac(g_others) + minus * d.lift(along + h) * s) / D
    return over_samples(d.lift(e + minus * others(e + a * Ah)) * s + b * Ahs)


def others(t: Tensor) -> Tensor:
    """The mean over the other samples, for each: like t [R, N, …]."""
    return (over_samples(t).unsqueeze(1) - t) / (t.shape[1] - 1)


def total(t: Tensor) -> Tensor:
    """The sum over all variables and classes: [R, N, D(, K)] to [R, N]."""
    return over_variables(t.flatten(2))
