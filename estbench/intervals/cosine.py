"""Direction: the mean cosine, the cosine of the mean, and what is left after rescaling to the right length."""

from __future__ import annotations

from math import atan2, cos, hypot, isnan, sin, sqrt

import numpy as np

from estbench.intervals.hall import hall_interval
from estbench.intervals.quadratic import QuadraticForm
from estbench.intervals.shards import NAN, ROUNDING, UNKNOWN, Estimate, Shards, bounded_trace_square
from estbench.moments import Floats


def cosine(s: Shards) -> Estimate:
    """E cos(ĝ, g) by the mean C over replicates, with Hall's interval clipped to [−1, 1]; ĝ = 0 counts as 0.

    All cosines +1, or all −1: extended inward by 2z²/(R + z²), as Wilson's interval of a share.
    """
    C, variance, skew = cosine_moments(s)
    if isnan(C):
        return UNKNOWN
    if variance == 0:
        inward = 2 * s.z**2 / (s.R + s.z**2) if abs(C) >= 1 - ROUNDING else 0.0
        return Estimate(C, C - inward, C) if C > 0 else Estimate(C, C, C + inward)
    low, high = hall_interval(C, sqrt(variance / s.R), skew / sqrt(s.R), s.level)
    return Estimate(C, max(low, -1.0), min(high, 1.0))


def cosine_moments(s: Shards) -> tuple[float, float, float]:
    """Mean, variance (ddof 1; rounding counts as 0) and skewness of cos(ĝ, g); NaN where g is unknown or zero."""
    if not s.enough or not s.true_norm > 0:
        return NAN, NAN, NAN
    C, c2, c3 = (float(c.sum()) / s.R for c in (s.moments.c1, s.moments.c2, s.moments.c3))
    second = c2 - C**2
    if second <= ROUNDING * C**2:
        return C, 0.0, 0.0
    third = c3 - 3 * C * c2 + 2 * C**3 if second > 1e-9 * C**2 else 0.0  # else lost in rounding
    return C, second * s.R / (s.R - 1), third / second**1.5


def cosine_of_mean(s: Shards) -> Estimate:
    """cos(E ĝ, g), where the mean is split into a = m·u along u = g/‖g‖ and h across it.

    Value: cos atan2(h₀, a), h₀² = max(0, ‖h‖² − trV_h), so noise does not turn the mean away from g. Ends: the same
    at the bounds of ‖E h‖², with ρ = (t/z)²·var(ĥ·m − (h₀/a)·u·m), the variance of h₀ when a varies too.
    All of [−1, 1] if |a| < 3 se(a). P = 1: the sign, if Hall's interval of m excludes 0.
    """
    if not s.enough or not s.true_norm > 0:
        return UNKNOWN
    a, h, h0, d_h, trV_h = _along_and_across(s)
    if a == h0 == 0:
        return UNKNOWN
    value = a / hypot(a, h0)
    if s.v == 0:
        return Estimate(value, value, value)
    if len(s.m) == 1:
        low, high = hall_interval(float(s.m[0]), sqrt(s.v / s.R), float(s.skew[0]) / sqrt(s.R), s.level)
        return Estimate(value, -1.0, 1.0) if low <= 0 <= high else Estimate(value, value, value)
    d_u = s.d @ (s.g / s.true_norm)
    if abs(a) <= 3 * sqrt(s.variance_of_mean(d_u)):
        return Estimate(value, -1.0, 1.0)
    T, tail = float(h @ h), (1 - s.level) / 2
    if trV_h == 0:
        return Estimate(value, value, value)
    rho = s.variance_of_mean(d_h @ h / sqrt(T) - h0 / a * d_u) if T > 0 else trV_h
    trVV_h = bounded_trace_square(s.n, d_h, trV_h * s.R, rank=len(h) - 1) / s.R**2
    form = QuadraticForm(T, trV_h, trVV_h, rho * (s.t / s.z) ** 2)
    ends = [cos(atan2(sqrt(bound), a)) for bound in (form.lower(tail), form.upper(tail))]
    return Estimate(value, min(ends), max(ends))


def scaled_bias_squared(s: Shards) -> float:
    """‖λ E ĝ − g‖² at λ = ‖g‖/‖E ĝ‖: with θ the angle between E ĝ and g, 4‖g‖² sin²(θ/2)."""
    if not s.enough or not s.true_norm > 0:
        return NAN
    a, _, h0, _, _ = _along_and_across(s)
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


def _along_and_across(s: Shards) -> tuple[float, Floats, float, Floats, float]:
    """a = m·u, h = m − au, h₀ = √max(0, ‖h‖² − trV_h), the part d_h [S, P] of d across u, and trV_h."""
    u = s.g / s.true_norm
    a = float(s.m @ u)
    h, d_h = s.m - a * u, s.d - np.outer(s.d @ u, u)
    trV_h = 0.0 if s.v == 0 else float(s.n @ (d_h**2).sum(1)) / ((len(s.n) - 1) * s.R)
    return a, h, sqrt(max(0.0, float(h @ h) - trV_h)), d_h, trV_h
