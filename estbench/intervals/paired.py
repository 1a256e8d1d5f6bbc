"""Ratio of the variances (or MSEs) of two estimators fed the same draws: far better known than either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, isnan, log, sqrt

import numpy as np
from scipy.special import stdtr, stdtrit

from estbench.intervals.flags import flags, rare
from estbench.intervals.shards import NAN, Shards
from estbench.intervals.variance import Metric, point, relative_se, shard_values
from estbench.moments import Floats

ALPHA = 0.05

EXACT = 1e-7
"""Relative error of a ratio of exact values: each is known to 1e-8, or it is not taken for exact."""


@dataclass(frozen=True)
class Ratio:
    """A ratio A/B with its interval at the level of A, its 90 % interval (for equivalence), and p of ratio = 1.

    se is the standard error of its logarithm, freedom that of its t. It is 0 where every shard agrees.
    flags: `identical` (every shard agrees), `unpaired` (the draws of the two are not, or hardly, shared), and those of
    either side.
    """

    ratio: float
    low: float
    high: float
    low_90: float
    high_90: float
    p: float
    flags: tuple[str, ...] = ()
    se: float = NAN
    freedom: int = 0


def ratio(a: Shards, b: Shards, metric: Metric = "variance", cost: float = 1.0) -> Ratio:
    """Compare A with B: (v_A/v_B)·exp(±t·se), se = √(Σψ²/(S(S−1))), ψ_s = x_s^A/v_A − x_s^B/v_B centred.

    x_s are the jackknife pseudo-values of the variance, or the shard means of ‖ĝ − g‖². The unpaired se is used, and
    flagged, if the shards differ in number or size, if fewer than S/8 of them ((Σψ²)²/Σψ⁴) separate the two, or if
    they do so by less than 1 % of the unpaired se. No test where a class is too rare on either side.
    cost = cost of A / cost of B compares at equal cost.
    """
    va, vb = point(a, metric), point(b, metric)
    inherited = tuple(dict.fromkeys((*flags(a), *flags(b))))
    if isnan(va) or isnan(vb):
        return Ratio(NAN, NAN, NAN, NAN, NAN, NAN, inherited)
    if _identical(a, b, metric, va, vb):
        return Ratio(cost, cost, cost, cost, cost, NAN, ("identical", *inherited), 0.0)
    if va == 0 or vb == 0:
        return Ratio(inf if vb == 0 else 0.0, NAN, NAN, NAN, NAN, NAN, inherited)
    se = sqrt(relative_se(a, metric) ** 2 + relative_se(b, metric) ** 2)
    freedom = min(len(a.n), len(b.n)) - 1
    separate = _paired_se(a, b, metric, va, vb)
    if separate < 0.01 * se or isnan(separate):
        inherited = ("unpaired", *inherited)
    else:
        se = separate
    value = cost * va / vb
    if not 0 < value < inf:  # beyond the range of float64
        return Ratio(value, NAN, NAN, NAN, NAN, NAN, inherited)
    wide, narrow = (exp(min(float(stdtrit(freedom, q)) * se, 700.0)) for q in ((1 + a.level) / 2, 1 - ALPHA))
    if rare(a) or rare(b):  # the draws tell too little for a verdict
        return Ratio(value, value / wide, value * wide, NAN, NAN, NAN, inherited, se, freedom)
    p = 2 * float(stdtr(freedom, -abs(log(value)) / se)) if se > 0 else NAN
    return Ratio(value, value / wide, value * wide, value / narrow, value * narrow, p, inherited, se, freedom)


def exact_ratio(a: float, b: float, cost: float = 1.0) -> Ratio:
    """Compare two exact values a and b: p is 0, or NaN where they differ by no more than exact values are off."""
    value = cost * (a / b if b > 0 else inf if a > 0 else 1.0)
    p = NAN if abs(value - 1) <= EXACT else 0.0
    return Ratio(value, value, value, value, value, p, se=0.0)


def geometric_mean(ratios: Sequence[Ratio], level: float) -> tuple[float, float, float]:
    """(∏ r)^{1/P} of P ratios from independent draws, and its interval: exp(mean log r ± t·√(Σ se²)/P).

    The freedom of t is Welch's, (Σ se²)²/Σ(se⁴/ν). NaN where a ratio is 0, infinite or unknown.
    """
    if not all(0 < r.ratio < inf and not isnan(r.se) for r in ratios):
        return NAN, NAN, NAN
    mean = sum(log(r.ratio) for r in ratios) / len(ratios)
    square, fourth = sum(r.se**2 for r in ratios), sum(r.se**4 / r.freedom for r in ratios if r.se > 0)
    reach = float(stdtrit(square**2 / fourth, (1 + level) / 2)) * sqrt(square) / len(ratios) if square > 0 else 0.0
    return exp(mean), exp(mean - reach), exp(mean + reach)


def compare(r: Ratio, p_adjusted: float, margin: float = 0.05) -> str:
    """*equivalent* if the 90 % interval lies inside [1/(1+m), 1+m]; else *better* or *worse* if the adjusted p < .05.

    Better is smaller. Else *inconclusive*. Shards that agree are *identical*; then cost alone, which is known, decides.
    """
    same = "identical" in r.flags
    if same and r.ratio == 1:
        return "identical"
    if 1 / (1 + margin) <= r.low_90 and r.high_90 <= 1 + margin:
        return "equivalent"
    if same or p_adjusted < ALPHA:
        return "better" if r.ratio < 1 else "worse"
    return "inconclusive"


def _identical(a: Shards, b: Shards, metric: Metric, va: float, vb: float) -> bool:
    """Whether every shard gives both the same value, up to rounding."""
    if va == vb == 0:
        return True
    same_shards = np.array_equal(a.n, b.n)
    return same_shards and np.allclose(
        shard_values(a, metric), shard_values(b, metric), rtol=0, atol=1e-9 * min(va, vb)
    )


def _paired_se(a: Shards, b: Shards, metric: Metric, va: float, vb: float) -> float:
    """√(Σψ²/(S(S−1))); NaN if too few shards separate the two, or they are not the same shards."""
    if not np.array_equal(a.n, b.n):
        return NAN
    psi: Floats = shard_values(a, metric) / va - shard_values(b, metric) / vb
    psi -= psi.mean()
    S, square = len(psi), float((psi**2).sum())
    if square**2 < S / 8 * float((psi**4).sum()):
        return NAN
    return sqrt(square / (S * (S - 1)))
