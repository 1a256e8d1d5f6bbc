"""Shards: what every interval is made of, derived once from the power sums."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from math import inf
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri, stdtrit

from estbench.errors import UsageError
from estbench.moments import Floats, Moments

NAN = float("nan")
ROUNDING = 1e-12  # a variance below this multiple of the squared mean is rounding, hence zero
MIN_SHARDS = 3  # with fewer, trace(V²) has no estimate: every interval is unknown


class Estimate(NamedTuple):
    """A number and the two ends of its interval; NaN where unknown."""

    value: float
    low: float
    high: float


UNKNOWN = Estimate(NAN, NAN, NAN)


@dataclass(frozen=True, eq=False)
class Shards:
    """S shards of R gradient estimates ĝ of P parameters in all, about the true gradient g (NaN where unknown).

    moments           the power sums; shards without a finite estimate are left out
    non_finite        number of estimates left out, in all shards
    level             of the intervals
    rarest            expected number of the rarest class of any variable among all samples; infinite if not said
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

    @classmethod
    def of(cls, moments: Moments, level: float = 0.95, rarest: float = inf) -> Shards:
        """Derive all from the power sums of equal shards (a little unequal where estimates are non-finite).

        `rarest` is what the logits say: R N times the smallest probability that a variable has for a class.
        """
        if not 0 < level < 1:
            raise UsageError(f"level: {level} is not a confidence level; give a number between 0 and 1, such as 0.95")
        k = _with_estimates(moments)
        n, R, c, lost = k.n, float(k.n.sum()), k.shift, float(moments.non_finite.sum())
        if len(n) < MIN_SHARDS:
            none = np.full_like(c, NAN)
            g = c if k.known else none
            return cls(k, lost, level, R, n, g, none, none, k.s1 * NAN, none, none, NAN, n * NAN, rarest)
        delta = k.s1.sum(0) / R  # [P] mean of ĝ − c
        m, d = mean_about(c, delta), k.s1 / n[:, None] - delta
        within = k.s2 - k.s1**2 / n[:, None]  # [S, P] Σ(ĝ − m_s)²
        scatter = (within + n[:, None] * d**2).sum(0)  # [P] Σ(ĝ − m)²
        square = m**2 + delta**2  # the shift cancels: what is lost in rounding grows with both
        var = scatter / (R - 1)
        var = np.where(var <= np.maximum(ROUNDING * square, 1e-28 * square.sum()), 0.0, var)
        if var.sum() <= ROUNDING * square.sum():
            var = np.zeros_like(var)
        v = float(var.sum())
        # leaving a shard out takes its own scatter and its distance from the others: n_s R/(R − n_s) ‖d_s‖²
        rest = scatter.sum() - within.sum(1) - n * R / (R - n) * (d**2).sum(1)
        v_without = rest / (R - n - 1) if v > 0 else np.zeros_like(n)
        third = (k.s3.sum(0) - 3 * delta * k.s2.sum(0)) / R + 2 * delta**3
        resolved = var > 1e-9 * delta**2  # else the third moment is lost in rounding
        skew = np.where(resolved, third, 0.0) / np.where(resolved, scatter / R, 1.0) ** 1.5
        g, b = (c, delta) if k.known else (c * NAN, delta * NAN)
        return cls(k, lost, level, R, n, g, m, b, d, var, skew, v, v_without, rarest)

    @property
    def enough(self) -> bool:
        """Whether there are shards enough for intervals."""
        return len(self.n) >= MIN_SHARDS

    @property
    def t(self) -> float:
        """Two-sided quantile of Student's t with S − 1 degrees of freedom."""
        return float(stdtrit(len(self.n) - 1, (1 + self.level) / 2))

    @property
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
        return bounded_trace_square(self.n, self.d, self.v, rank=len(self.m))

    def variance_of_mean(self, x: Floats) -> float:
        """Variance of the mean over shards of x [S] (a mean per shard): Σ(x_s − x̄)²/(S(S−1)), weighted by n_s."""
        centred = x - self.n @ x / self.R
        return float(self.n @ centred**2) / ((len(self.n) - 1) * self.R)

    def noise_of_mean(self, d: Floats) -> Floats:
        """Scale deviations of shard means d [S, …] so that Σ_s x_s x_sᵀ estimates the covariance of the mean."""
        return (d.T * np.sqrt(self.n / ((len(self.n) - 1) * self.R))).T


def mean_about(shift: Floats, delta: Floats) -> Floats:
    """Add the mean of ĝ − c to the shift c; what is left of a cancellation is 0, not rounding with a direction."""
    m = shift + delta
    return np.where(np.abs(m) <= 1e-14 * np.abs(delta), 0.0, m)


def bounded_trace_square(n: Floats, d: Floats, trace: float, rank: int) -> float:
    """Estimate trace Σ² from shard means d [S, P] about their mean, within [trace²/rank, trace²].

    With κ = S − 1 and C_st = √(n_s n_t) d_s·d_t/κ: κ²/((κ+2)(κ−1)) (‖C‖²_F − (tr C)²/κ), unbiased for normal d_s.
    """
    rows = np.sqrt(n)[:, None] * d
    kappa = len(n) - 1
    C = rows @ rows.T / kappa  # [S, S]: never P × P
    square = kappa**2 / ((kappa + 2) * (kappa - 1)) * (float((C**2).sum()) - float(C.trace()) ** 2 / kappa)
    return min(max(square, trace**2 / rank), trace**2)


def _with_estimates(m: Moments) -> Moments:
    keep = m.n > 0
    per_shard = [f.name for f in fields(m) if f.name not in {"shift", "known"}]
    return replace(m, **{name: getattr(m, name)[keep] for name in per_shard})
