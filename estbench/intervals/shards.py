"""Shards: what every interval is made of, derived once from the moments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from math import inf, sqrt
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri, stdtrit

from estbench.errors import UsageError
from estbench.intervals.derived import MIN_SHARDS, ROUNDING, derived
from estbench.intervals.quadratic import QuadraticForm
from estbench.moments import Floats, Moments

NAN = float("nan")
_COLUMNS = 1024  # that a processor has at hand


class OutOfRange(ArithmeticError):  # noqa: N818 - it is an answer, not a failure
    """Why the metrics of a cell cannot be computed: they need powers of its estimates that are no float64."""


@contextmanager
def in_range() -> Iterator[None]:
    """Raise `OutOfRange`, and nothing else, where metrics leave the range of float64.

    Powers of estimates near 1e80 do. Whoever computes metrics of a cell does it within, and goes on with the others.
    """
    try:
        with np.errstate(over="raise"):
            yield
    except (ArithmeticError, ValueError, np.linalg.LinAlgError) as error:
        raise OutOfRange(
            f"its metrics are beyond the range of float64 ({type(error).__name__}): rescale the objective"
        ) from error


class Estimate(NamedTuple):
    """A number and the two ends of its interval; NaN where unknown."""

    value: float
    low: float
    high: float


UNKNOWN = Estimate(NAN, NAN, NAN)


@dataclass(frozen=True, eq=False)
class Shards:
    """S shards of R gradient estimates ĝ of P parameters in all, about the true gradient g (NaN where unknown).

    moments           the moments; shards without a finite estimate are left out
    non_finite        number of estimates left out, in all shards
    level             of the intervals
    rarest            expected number of the rarest class of any variable, or effect on f, among all samples; infinite
                      if not said
    rank              the number of parameters of the estimates: P, unless their records are kept `in_span` of a few
                      directions
    R, n [S]          number of estimates: in all, per shard
    g, m, b [P]       true gradient, mean, and bias b = m − g (NaN where g is unknown)
    d [S, P]          d_s = m_s − m
    var, skew [P]     per coordinate: variance (ddof 1; rounding counts as 0) and skewness m₃/m₂^{3/2}
    v                 trace Σ̂, the sum of `var`
    v_without [S]     v of all shards but one (jackknife)
    y1 [S]            Σ‖ĝ − g‖² of each shard (NaN where g is unknown)
    """

    moments: Moments
    non_finite: float
    level: float
    R: float
    n: Floats
    g: Floats
    m: Floats
    b: Floats
    d: Floats
    var: Floats
    skew: Floats
    v: float
    v_without: Floats
    y1: Floats
    rarest: float = inf
    rank: int = 0

    @classmethod
    def of(cls, moments: Moments, level: float = 0.95, rarest: float = inf, rank: int | None = None) -> Shards:
        """Derive all from the moments of equal shards (a little unequal where estimates are non-finite).

        `rarest` is what the logits say: R N times the smallest probability that a variable has for a class. `rank` is
        the number of parameters where the records are kept `in_span`.
        """
        return cls.of_each([moments], level, [rarest], [rank])[0]

    @classmethod
    def of_each(
        cls, cells: Sequence[Moments], level: float, rarest: Sequence[float], rank: Sequence[int | None]
    ) -> list[Shards]:
        """`of` for many cells: those of one shape are computed together, some of them at a time."""
        if not 0 < level < 1:
            raise UsageError(f"level: {level} is not a confidence level; give a number between 0 and 1, such as 0.95")
        kept, made = [_with_estimates(moments) for moments in cells], list[Shards]()
        for i, of in enumerate(derived(kept)):
            P = len(of.g) if (known := rank[i]) is None else known
            lost = float(cells[i].non_finite.sum())
            made.append(cls(kept[i], lost, level, **of._asdict(), rarest=rarest[i], rank=P))
        return made

    @property
    def in_span(self) -> bool:
        """Whether the coordinates are those of a few directions: lengths and angles are right, nothing else is."""
        return self.rank != len(self.g)

    @property
    def enough(self) -> bool:
        """Whether there are shards enough for intervals."""
        return len(self.n) >= MIN_SHARDS

    @property
    def t(self) -> float:
        """Two-sided quantile of Student's t with S − 1 degrees of freedom."""
        return student(len(self.n) - 1, (1 + self.level) / 2)

    @property
    def z(self) -> float:
        """Two-sided quantile of the normal law."""
        return normal((1 + self.level) / 2)

    @cached_property
    def true_norm(self) -> float:
        """‖g‖; NaN where g is unknown."""
        return float(np.linalg.norm(self.g))

    @cached_property
    def trace_square(self) -> float:
        """Estimate of trace Σ² within what trace Σ = v allows: [v²/P, v²]."""
        return self.relative_trace_square * self.v**2

    @cached_property
    def relative_trace_square(self) -> float:
        """Estimate of trace Σ²/v², within [1/P, 1]; NaN where v = 0. Its inverse counts degrees of freedom."""
        return within_bounds(self.products, len(self.n), 1.0, self.rank) if self.v > 0 else NAN

    @cached_property
    def products(self) -> Floats:
        """√(n_s n_t) d_s·d_t/v, [S, S], or as many products of coordinates, [P, P], if they are fewer; v > 0."""
        return products(self.n, self.d, sqrt(self.v))

    @cached_property
    def form(self) -> QuadraticForm:
        """The quadratic form T = ‖b‖² with V = Σ̂/R, v > 0."""
        scale = self.noise_of_mean(np.ones(len(self.n)))
        along = scale * (self.d @ self.b)
        if len(self.n) <= len(self.b):
            G = self.products * (self.v / ((len(self.n) - 1) * self.R))
        else:
            noise = self.noise_of_mean(self.d)
            G = noise @ noise.T
        return QuadraticForm.of_shards(float(self.b @ self.b), self.v / self.R, self.trace_square / self.R**2, G, along)

    @cached_property
    def of_cosine(self) -> tuple[float, float, float]:
        """Mean, variance (ddof 1; rounding counts as 0) and skewness of cos(ĝ, g); NaN where g is unknown or zero."""
        if not self.enough or not self.true_norm > 0:
            return NAN, NAN, NAN
        k, n, R = self.moments, self.n, self.R
        C = float(k.c1.sum()) / R
        d = k.c1 / n - C  # of each shard
        second = float((k.c2 + n * d**2).sum()) / R
        if second <= ROUNDING**2 * C**2:
            return C, 0.0, 0.0
        third = float((k.c3 + 3 * d * k.c2 + n * d**3).sum()) / R
        return C, second * R / (R - 1), third / second**1.5

    @cached_property
    def split(self) -> tuple[float, Floats, float, Floats, float]:
        """The mean along u = g/‖g‖ and across it: a, h, h₀, d_h and trV_h.

        a = m·u, h = m − au, h₀ = √max(0, ‖h‖² − trV_h), d_h [S, P] the part of d across u, trV_h its trace.
        """
        u = self.g / self.true_norm
        a = float(self.m @ u)
        h, d_h = self.m - a * u, self.d - np.outer(self.d @ u, u)
        trV_h = 0.0 if self.v == 0 else float(self.n @ np.einsum("sp,sp->s", d_h, d_h)) / ((len(self.n) - 1) * self.R)
        return a, h, sqrt(max(0.0, float(h @ h) - trV_h)), d_h, trV_h

    def variance_of_mean(self, x: Floats) -> float:
        """Variance of the mean over shards of x [S] (a mean per shard): Σ(x_s − x̄)²/(S(S−1)), weighted by n_s."""
        centred = x - self.n @ x / self.R
        return float(self.n @ centred**2) / ((len(self.n) - 1) * self.R)

    def noise_of_mean(self, d: Floats) -> Floats:
        """Scale deviations of shard means d [S, …] so that Σ_s x_s x_sᵀ estimates the covariance of the mean."""
        return (d.T * np.sqrt(self.n / ((len(self.n) - 1) * self.R))).T


@lru_cache
def student(freedom: float, probability: float) -> float:
    """The quantile of Student's t; kept, as few are asked for often."""
    return float(stdtrit(freedom, probability))


@lru_cache
def normal(probability: float) -> float:
    """The quantile of the standard normal law; kept likewise."""
    return float(ndtri(probability))


def bounded_trace_square(n: Floats, d: Floats, trace: float, rank: int, unit: Floats | float = 1.0) -> float:
    """Estimate trace Σ² from shard means d [S, P], in `unit` [P], about their mean, within [trace²/rank, trace²]."""
    return within_bounds(products(n, d, unit), len(n), trace, rank)


def products(n: Floats, d: Floats, unit: Floats | float = 1.0) -> Floats:
    """√(n_s n_t) d_s·d_t of shard means d [S, P], in `unit` [P]: [S, S]; [P, P] of the same trace and norm if P < S."""
    if d.shape[1] >= len(n):
        return gram(n, d, unit)
    rows = np.sqrt(n)[:, None] * (d / unit)
    return rows.T @ rows


def gram(n: Floats, d: Floats, unit: Floats | float = 1.0) -> Floats:
    """√(n_s n_t) d_s·d_t of shard means d [S, P], in `unit` [P]: [S, S]."""
    root, (S, P) = np.sqrt(n)[:, None], d.shape
    found = np.zeros((S, S))
    for i in range(0, P, _COLUMNS):
        some = slice(i, i + _COLUMNS)
        rows = d[:, some] / (unit[some] if isinstance(unit, np.ndarray) else unit)
        rows *= root
        found += rows @ rows.T
    return found


def within_bounds(products: Floats, shards: int, trace: float, rank: int) -> float:
    """Estimate trace Σ² from `products`, within [trace²/rank, trace²].

    With κ = S − 1 and C = products/κ: κ²/((κ+2)(κ−1)) (‖C‖²_F − (tr C)²/κ), unbiased for normal d_s.
    """
    kappa = shards - 1
    C = products / kappa
    square = kappa**2 / ((kappa + 2) * (kappa - 1)) * (float((C**2).sum()) - float(C.trace()) ** 2 / kappa)
    return min(max(square, trace**2 / rank), trace**2)


def _with_estimates(m: Moments) -> Moments:
    keep = m.n > 0
    if keep.all():
        return m
    per_shard = [f.name for f in fields(m) if f.name != "exact_gradient"]
    return replace(m, **{name: getattr(m, name)[keep] for name in per_shard})
