"""Shards: what every interval is made of, derived once from the moments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import cached_property
from math import inf, sqrt
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri, stdtrit

from estbench.errors import UsageError
from estbench.moments import Floats, Moments

NAN = float("nan")
ROUNDING = 1e-13  # of their own size: estimates that vary by less, or lie nearer to g, differ by rounding alone: by 0
MIN_SHARDS = 3  # with fewer, trace(V²) has no estimate: every interval is unknown


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
    rarest            expected number of the rarest class of any variable among all samples; infinite if not said
    rank              the number of parameters of the estimates: P, unless their records are kept `in_span` of a few
                      directions
    R, n [S]          number of estimates: in all, per shard
    g, m, b [P]       true gradient, mean, and bias b = m − g (NaN where g is unknown)
    d [S, P]          d_s = m_s − m
    var, skew [P]     per coordinate: variance (ddof 1; rounding counts as 0) and skewness m₃/m₂^{3/2}
    v                 trace Σ̂, the sum of `var`
    v_without [S]     v of all shards but one (jackknife)
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
    rarest: float = inf
    rank: int = 0

    @classmethod
    def of(cls, moments: Moments, level: float = 0.95, rarest: float = inf, rank: int | None = None) -> Shards:
        """Derive all from the moments of equal shards (a little unequal where estimates are non-finite).

        `rarest` is what the logits say: R N times the smallest probability that a variable has for a class. `rank` is
        the number of parameters where the records are kept `in_span`.
        """
        if not 0 < level < 1:
            raise UsageError(f"level: {level} is not a confidence level; give a number between 0 and 1, such as 0.95")
        k = _with_estimates(moments)
        n, R, lost = k.n, float(k.n.sum()), float(moments.non_finite.sum())
        g = np.full(k.s1.shape[1], NAN) if k.exact_gradient is None else k.exact_gradient
        rank = len(g) if rank is None else rank
        if len(n) < MIN_SHARDS:
            none = np.full_like(g, NAN)
            return cls(k, lost, level, R, n, g, none, none, k.s1 * NAN, none, none, NAN, n * NAN, rarest, rank)
        m = k.s1.sum(0) / R
        b, d, within = m - g, k.s1 / n[:, None] - m, k.m2
        scatter = (within + n[:, None] * d**2).sum(0)  # [P] Σ(ĝ − m)²
        var = without_rounding(scatter / (R - 1), m)
        v = float(var.sum())
        if v == 0:
            b, d = unless_rounding(b, g), np.zeros_like(d)
        m = unless_cancelled(m, g, np.sqrt(var))
        # leaving a shard out takes its own scatter and its distance from the others: n_s R/(R − n_s) ‖d_s‖²
        rest = scatter.sum() - within.sum(1) - n * R / (R - n) * (d**2).sum(1)
        v_without = rest / (R - n - 1) if v > 0 else np.zeros_like(n)
        third = (k.m3 + 3 * d * within + n[:, None] * d**3).sum(0) / R
        skew = np.where(var > 0, third, 0.0) / np.where(var > 0, scatter / R, 1.0) ** 1.5
        return cls(k, lost, level, R, n, g, m, b, d, var, skew, v, v_without, rarest, rank)

    @property
    def in_span(self) -> bool:
        """Whether the coordinates are those of a few directions: lengths and angles are right, nothing else is."""
        return self.rank != len(self.g)

    @property
    def enough(self) -> bool:
        """Whether there are shards enough for intervals."""
        return len(self.n) >= MIN_SHARDS

    @cached_property
    def t(self) -> float:
        """Two-sided quantile of Student's t with S − 1 degrees of freedom."""
        return float(stdtrit(len(self.n) - 1, (1 + self.level) / 2))

    @cached_property
    def z(self) -> float:
        """Two-sided quantile of the normal law."""
        return float(ndtri((1 + self.level) / 2))

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
        return bounded_trace_square(self.n, self.d / sqrt(self.v), 1.0, self.rank) if self.v > 0 else NAN

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
        trV_h = 0.0 if self.v == 0 else float(self.n @ (d_h**2).sum(1)) / ((len(self.n) - 1) * self.R)
        return a, h, sqrt(max(0.0, float(h @ h) - trV_h)), d_h, trV_h

    def variance_of_mean(self, x: Floats) -> float:
        """Variance of the mean over shards of x [S] (a mean per shard): Σ(x_s − x̄)²/(S(S−1)), weighted by n_s."""
        centred = x - self.n @ x / self.R
        return float(self.n @ centred**2) / ((len(self.n) - 1) * self.R)

    def noise_of_mean(self, d: Floats) -> Floats:
        """Scale deviations of shard means d [S, …] so that Σ_s x_s x_sᵀ estimates the covariance of the mean."""
        return (d.T * np.sqrt(self.n / ((len(self.n) - 1) * self.R))).T


def unless_cancelled(m: Floats, g: Floats, sd: Floats) -> Floats:
    """The mean m of estimates [P]; what is left of a cancellation, beside sd and g alike, is 0 and has no direction."""
    return np.where((np.abs(m) <= 1e-14 * np.abs(m - g)) & (np.abs(m) <= 1e-16 * sd), 0.0, m)


def without_rounding(var: Floats, m: Floats) -> Floats:
    """The variances of the coordinates, 0 where that is rounding of estimates of mean m [P]."""
    square = m**2
    if var.sum() <= ROUNDING**2 * square.sum():
        return np.zeros_like(var)
    return np.where(var <= np.maximum(ROUNDING**2 * square, 1e-32 * square.sum()), 0.0, var)


def unless_rounding(b: Floats, g: Floats) -> Floats:
    """The bias b = E ĝ − g [P] of estimates that do not vary, 0 if it is rounding of theirs or of g."""
    size = max(float(np.linalg.norm(g)), float(np.linalg.norm(g + b)))
    return np.zeros_like(b) if np.linalg.norm(b) <= ROUNDING * size else b


def bounded_trace_square(n: Floats, d: Floats, trace: float, rank: int) -> float:
    """Estimate trace Σ² from shard means d [S, P] about their mean, within [trace²/rank, trace²].

    With κ = S − 1 and C_st = √(n_s n_t) d_s·d_t/κ: κ²/((κ+2)(κ−1)) (‖C‖²_F − (tr C)²/κ), unbiased for normal d_s.
    """
    rows = np.sqrt(n)[:, None] * d
    kappa = len(n) - 1
    C = (rows @ rows.T if len(n) <= d.shape[1] else rows.T @ rows) / kappa  # both have the same trace and norm
    square = kappa**2 / ((kappa + 2) * (kappa - 1)) * (float((C**2).sum()) - float(C.trace()) ** 2 / kappa)
    return min(max(square, trace**2 / rank), trace**2)


def _with_estimates(m: Moments) -> Moments:
    keep = m.n > 0
    per_shard = [f.name for f in fields(m) if f.name != "exact_gradient"]
    return replace(m, **{name: getattr(m, name)[keep] for name in per_shard})
