"""Direction: the mean cosine, the cosine of the mean, and what is left after rescaling to the right length."""

from __future__ import annotations

from math import atan, atan2, cos, hypot, isnan, pi, sin, sqrt

from estbench.intervals.derived import ROUNDING
from estbench.intervals.hall import hall_interval
from estbench.intervals.quadratic import QuadraticForm
from estbench.intervals.shards import NAN, UNKNOWN, Estimate, Shards, bounded_trace_square
from estbench.moments import Floats


def cosine(s: Shards) -> Estimate:
    """E cos(ĝ, g) by the mean C over replicates, with Hall's interval clipped to [−1, 1]; ĝ = 0 counts as 0.

    All cosines +1, or all −1: extended inward by 2z²/(R + z²), as Wilson's interval of a share.
    """
    C, variance, skew = s.of_cosine
    if isnan(C):
        return UNKNOWN
    if variance == 0:
        inward = 2 * s.z**2 / (s.R + s.z**2) if abs(C) >= 1 - ROUNDING else 0.0
        return Estimate(C, C - inward, C) if C > 0 else Estimate(C, C, C + inward)
    low, high = hall_interval(C, sqrt(variance / s.R), skew / sqrt(s.R), s.level)
    return Estimate(C, max(low, -1.0), min(high, 1.0))


def cosine_of_mean(s: Shards) -> Estimate:
    """cos(E ĝ, g), where the mean is split into a = m·u along u = g/‖g‖ and h across it.

    Value: cos atan2(h₀, a), h₀² = max(0, ‖h‖² − trV_h), so noise does not turn the mean away from g. Ends:
    P = 1            the sign, if Hall's interval of m excludes 0
    h₀ > 2 se(h₀)    Fieller's, for the angle between a and h₀ (see `_fieller`), se² = var(ĥ·m) + trV_h²/2h₀²
    |a| > 3 se(a)    cos atan2(√bound, a) at the bounds of ‖E h‖², with ĥ·m − (h₀/a)u·m as noise along h: a varies, too
    else             −1 and 1
    """
    if not s.enough or not s.true_norm > 0:
        return UNKNOWN
    a, h, h0, d_h, trV_h = s.split
    if a == h0 == 0:
        return UNKNOWN
    value = a / hypot(a, h0)
    if len(s.m) == 1 and s.v > 0:
        low, high = hall_interval(float(s.m[0]), sqrt(s.v / s.R), float(s.skew[0]) / sqrt(s.R), s.level)
        return Estimate(value, -1.0, 1.0) if low <= 0 <= high else Estimate(value, value, value)
    if trV_h == 0:
        return Estimate(value, value, value)
    T, along = float(h @ h), s.d @ (s.g / s.true_norm)
    across = d_h @ h / sqrt(T) if T > 0 else 0 * along
    trVV_h = bounded_trace_square(s.n, d_h, trV_h * s.R, rank=s.rank - 1) / s.R**2
    more = trVV_h / (2 * h0**2) if h0 > 0 else 0.0  # variance of h₀ beside that of ĥ·m
    if h0**2 > 4 * (s.variance_of_mean(across) + more):
        return Estimate(value, *_fieller(s, a, h0, along, across, more))
    if abs(a) <= 3 * sqrt(s.variance_of_mean(along)):
        return Estimate(value, -1.0, 1.0)
    turning = s.noise_of_mean(across - h0 / a * along) * sqrt(T)
    noise = s.noise_of_mean(d_h)
    form = QuadraticForm.of_shards(T, trV_h, trVV_h, noise @ noise.T, turning, (s.t / s.z) ** 2)
    tail = (1 - s.level) / 2
    ends = [cos(atan2(sqrt(bound), a)) for bound in (form.lower(tail), form.upper(tail))]
    return Estimate(value, min(ends), max(ends))


def _fieller(s: Shards, a: float, h0: float, along: Floats, across: Floats, more: float) -> tuple[float, float]:
    """Least and largest cos θ of the angles θ with (h₀ cos θ − a sin θ)² ≤ t²·var(h₀ cos θ − a sin θ) (Fieller 1954).

    With ψ = θ − atan2(h₀, a) and p, q the noise of the mean across and along its own direction, r its length:
    r² sin²ψ ≤ t²·var(p cos ψ − q sin ψ), a quadratic inequality in tan ψ; if it bounds nothing, −1 and 1.
    """
    r, theta = hypot(a, h0), atan2(h0, a)
    c, d = a / r, h0 / r
    p, q = c * across - d * along, c * along + d * across
    pp, qq = s.variance_of_mean(p) + more * c**2, s.variance_of_mean(q) + more * d**2
    pq = (s.variance_of_mean(p + q) - s.variance_of_mean(p - q)) / 4 + more * c * d
    slack, t2 = r**2 - s.t**2 * qq, s.t**2
    if slack <= 0:
        return -1.0, 1.0
    root = sqrt((t2 * pq) ** 2 + slack * t2 * pp)
    least, largest = (theta + atan((side * root - t2 * pq) / slack) for side in (-1, 1))
    return cos(min(largest, pi)), cos(max(least, 0.0))


def scaled_bias_squared(s: Shards) -> float:
    """‖λ E ĝ − g‖² at λ = ‖g‖/‖E ĝ‖: with θ the angle between E ĝ and g, 4‖g‖² sin²(θ/2)."""
    if not s.enough or not s.true_norm > 0:
        return NAN
    a, _, h0, _, _ = s.split
    return NAN if a == h0 == 0 else 4 * s.true_norm**2 * sin(atan2(h0, a) / 2) ** 2


def scaled_variance(s: Shards) -> float:
    """λ² v at λ = ‖g‖/‖E ĝ‖ (debiased); unknown where the mean is lost in noise or g is zero."""
    norm = mean_norm(s)
    return s.v * (s.true_norm / norm) ** 2 if norm > 0 and s.true_norm > 0 else NAN


def snr(s: Shards) -> float:
    """‖E ĝ‖/√v, debiased; infinite without variance, unknown where both are zero."""
    norm = mean_norm(s)
    if s.v == 0:
        return float("inf") if norm > 0 else NAN
    return norm / sqrt(s.v)


def mean_norm(s: Shards) -> float:
    """‖E ĝ‖ by √max(0, ‖m‖² − v/R): the norm of the mean, less what noise alone adds to it."""
    return sqrt(max(0.0, float(s.m @ s.m) - s.v / s.R)) if s.enough else NAN
