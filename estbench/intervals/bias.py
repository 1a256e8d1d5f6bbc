"""Bias: debiased size, interval, test of no bias, and the verdict."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, inf, isnan, log10, sqrt

import numpy as np
from scipy.special import chdtri, chndtrinc

from estbench.intervals.flags import RARE, rare
from estbench.intervals.hall import hall, hall_interval
from estbench.intervals.quadratic import QuadraticForm, p_value, trace_cube
from estbench.intervals.shards import NAN, UNKNOWN, Estimate, Shards, gram, normal, student, within_bounds

ALPHA = 0.05  # of the verdict
POWER = 0.8
FARTHEST = 1e40  # standard errors, whose sixth power is a float64; p is 0 long before
OUT_OF_REACH = 1e12  # replicates


def bias_squared(s: Shards) -> Estimate:
    """‖E ĝ − g‖²: T = ‖b‖² less the trace v/R that noise alone adds (so it may be negative), with its interval.

    P = 1: the square of Hall's interval of b. P > 1: bounds of ‖E b‖² (see `QuadraticForm`); the lower tail
    grows from α/2 to α as the test of no bias, p₀, approaches α, where the lower end becomes 0.
    """
    if not _known(s):
        return UNKNOWN
    T = float(s.b @ s.b)
    if s.v == 0:
        return Estimate(T, T, T)
    value = T - s.v / s.R
    if len(s.b) == 1:
        low, high = _hall_interval(s, s.level)
        return Estimate(value, 0.0 if low <= 0 <= high else min(low**2, high**2), max(low**2, high**2))
    form, alpha = _quadratic_form(s, s.t / s.z), 1 - s.level
    return Estimate(value, form.lower(alpha / 2 * (1 + form.exceed_if_zero / alpha)), form.upper(alpha / 2))


def bias_norm(squared: Estimate) -> Estimate:
    """√max(0, bias²)."""
    return Estimate(*(x if isnan(x) else sqrt(max(0.0, x)) for x in squared))


def relative_bias(squared: Estimate, true_norm: float) -> Estimate:
    """√max(0, bias²)/‖g‖; unknown where g = 0."""
    return Estimate(*(x / true_norm for x in bias_norm(squared))) if true_norm > 0 else UNKNOWN


def bias_p_value(s: Shards) -> float:
    """Test E ĝ = g in all coordinates at once; NaN without variation, or where g is unknown (see `mean_p_value`)."""
    return mean_p_value(s) if _known(s) else NAN


def mean_p_value(s: Shards) -> float:
    """Test b = 0 in all coordinates at once; NaN without variation.

    T_w = Σ h_j², h_j = H(b_j/se_j) over the P′ coordinates with variance, by three moments of the correlation matrix R:
    P′, tr R² and tr R³ (see `quadratic.p_value`). No inverse: a singular covariance and P > S are allowed. Where
    records are kept `in_span`, the variances of the coordinates are not known: there it is the test of ‖b‖².
    """
    if s.in_span:
        return _quadratic_form(s, s.t / s.z).p_value if s.v > 0 else NAN
    varies = s.var > 0
    if not varies.any():
        return NAN
    sd, count = np.sqrt(s.var[varies]), int(varies.sum())
    t = np.clip(s.b[varies] / sd * sqrt(s.R), -FARTHEST, FARTHEST)
    h = hall(t, s.skew[varies] / sqrt(s.R))
    d = s.d if varies.all() else s.d[:, varies]
    G = gram(s.n, d, sd)
    trRR = within_bounds(G, len(s.n), count, count)
    return p_value(float(h @ h), count, trRR, trace_cube(G / (len(s.n) - 1), count, trRR))


def bias_bound(s: Shards) -> float:
    """U₉₅: one-sided upper 95 % bound of ‖E ĝ − g‖² (P = 1: both one-sided Hall bounds)."""
    if not _known(s):
        return NAN
    if s.v == 0:
        return float(s.b @ s.b)
    if len(s.b) == 1:
        return max(x**2 for x in _hall_interval(s, 1 - 2 * ALPHA))
    return _one_sided(s).upper(ALPHA)


def bound_within(s: Shards, limit: float) -> bool:
    """Whether U₉₅ ≤ limit; without U₉₅ itself where P > 1."""
    if not _known(s) or s.v == 0 or len(s.b) == 1:
        return bias_bound(s) <= limit
    return _one_sided(s).upper_within(limit, ALPHA)


def replicates_to_decide(s: Shards, delta: float = 0.01) -> float:
    """Count the replicates that show an unbiased estimator to be *unbiased* within δ‖g‖ with a power of 80 %.

    n = R·c·h(ν)/(δ‖g‖)², c = trV²/trV, ν = (trV)²/trV², h solving ncχ²_{ν,h}(χ²_{ν,.8}) = .05: of the data, the
    covariance alone is used. Infinite if g = 0.
    """
    if not _known(s) or s.v == 0:
        return NAN
    if s.true_norm == 0:
        return inf
    nu = 1 / s.relative_trace_square
    h = float(chndtrinc(chdtri(nu, 1 - POWER), nu, ALPHA))
    return s.relative_trace_square * s.v * h / (delta * s.true_norm) ** 2


def verdict(s: Shards, p_adjusted: float, delta: float = 0.01) -> str:
    """*unbiased* if √U₉₅ ≤ δ‖g‖; else *biased* if the adjusted p < .05; else *inconclusive: about n more replicates*.

    Where the rarest event is expected too seldom (see `flags.RARE`), *inconclusive*, whatever was seen.
    n fresh replicates would by themselves show an unbiased estimator to be so, 8 times of 10. Empty where g is unknown.
    """
    if not _known(s):
        return ""
    if rare(s):
        more = s.R * (RARE / s.rarest - 1)
        needed = f"about {_rounded(more)} more replicates would show" if more < OUT_OF_REACH else "sampling never shows"
        return f"inconclusive: {needed} the rarest event"
    if bound_within(s, (delta * s.true_norm) ** 2):
        return "unbiased"
    if p_adjusted < ALPHA:
        return "biased"
    n = replicates_to_decide(s, delta)
    if isnan(n):
        return "inconclusive: no variation seen"
    if n == inf:
        return "inconclusive: the true gradient is zero"
    return f"inconclusive: about {_rounded(n)} more replicates"


def _rounded(n: float) -> int:
    """Round up to two significant digits."""
    unit: int = 10 ** max(0, int(log10(n)) - 1)
    return ceil(n / unit) * unit


def _known(s: Shards) -> bool:
    return s.moments.known and s.enough


def _hall_interval(s: Shards, level: float) -> tuple[float, float]:
    return hall_interval(float(s.b[0]), sqrt(s.v / s.R), float(s.skew[0]) / sqrt(s.R), level)


def _quadratic_form(s: Shards, t_over_z: float) -> QuadraticForm:
    """T = ‖b‖², V = Σ̂/R; spreads along b times (t/z)², since they are known from S shards only."""
    return replace(s.form, inflate=t_over_z**2)


def _one_sided(s: Shards) -> QuadraticForm:
    """For one-sided bounds of 95 %."""
    return _quadratic_form(s, student(len(s.n) - 1, 1 - ALPHA) / normal(1 - ALPHA))
