"""The metric columns of a cell: by sampling, or exact."""

from __future__ import annotations

from math import atan2, cos, inf, sin, sqrt

import numpy as np

from estbench.intervals.bias import bias_norm, bias_p_value, bias_squared, relative_bias
from estbench.intervals.cosine import cosine, cosine_of_mean, scaled_bias_squared, scaled_variance, snr
from estbench.intervals.derived import unless_cancelled, unless_rounding, without_rounding
from estbench.intervals.flags import flags
from estbench.intervals.shards import NAN, Estimate, Shards
from estbench.intervals.variance import mse, variance
from estbench.moments import Moments

Columns = dict[str, float | str]


def metrics(moments: Moments, level: float = 0.95, rarest: float = inf, rank: int | None = None) -> Columns:
    """Estimate all metric columns from `true_norm` to `flags` from S shards; NaN where unknown.

    `rarest` and `rank` are those of `Shards`. `bias_verdict` is left out: it needs p-values adjusted over the run.
    """
    return metrics_of(Shards.of(moments, level, rarest, rank))


def metrics_of(s: Shards) -> Columns:
    """The columns of `metrics` from shards."""
    bias2 = bias_squared(s)
    return _columns(
        true_norm=s.true_norm,
        bias_squared=bias2,
        bias_norm=bias_norm(bias2),
        relative_bias=relative_bias(bias2, s.true_norm),
        bias_p_value=bias_p_value(s),
        variance=variance(s),
        mse=mse(s),
        cosine=cosine(s),
        cosine_of_mean=cosine_of_mean(s).value,
        snr=snr(s),
        scaled_bias_squared=scaled_bias_squared(s),
        scaled_variance=scaled_variance(s),
        zero_fraction=float(s.moments.zeros.sum()) / s.R if s.R else NAN,
        non_finite=s.non_finite,
        flags=" ".join(flags(s)),
    )


def exact_metrics(moments: Moments, samples: int = 1) -> Columns:
    """Compute the columns of `metrics` from exact moments (a weighted draw): each interval is its value.

    With samples = N the estimate is the mean of N independent rows whose moments these are: variance/N. Its cosine
    and share of zeros do not follow from those of a row: NaN for N > 1. No test, so `bias_p_value` is NaN.
    """
    m, var = _exact_mean(moments)  # [P]
    g = np.full_like(m, NAN) if moments.exact_gradient is None else moments.exact_gradient
    b, var = unless_rounding(m - g, g), without_rounding(var, m)
    m, v = unless_cancelled(m, g, np.sqrt(var)), float(var.sum()) / samples
    length, norm, bias2 = _norm(g), _norm(m), float(b @ b)
    u = g / length if length > 0 else g * NAN
    angle = atan2(_norm(m - (m @ u) * u), float(m @ u)) if norm > 0 else NAN
    of_row = float(moments.n.sum()) if samples == 1 else NAN
    return _columns(
        true_norm=length,
        bias_squared=_exactly(bias2),
        bias_norm=bias_norm(_exactly(bias2)),
        relative_bias=relative_bias(_exactly(bias2), length),
        bias_p_value=NAN,
        variance=_exactly(v),
        mse=_exactly(bias2 + v),
        cosine=_exactly(float(moments.c1.sum()) / of_row),
        cosine_of_mean=cos(angle),
        snr=norm / sqrt(v) if v > 0 else float("inf") if norm > 0 else NAN,
        scaled_bias_squared=4 * length**2 * sin(angle / 2) ** 2,
        scaled_variance=v * (length / norm) ** 2 if norm > 0 and length > 0 else NAN,
        zero_fraction=float(moments.zeros.sum()) / of_row,
        non_finite=float(moments.non_finite.sum()),
        flags="non_finite" if moments.non_finite.any() else "",
    )


def exact_verdict(moments: Moments, error: float = 0.0, delta: float = 0.01) -> str:
    """*biased* if the exact ‖E ĝ − g‖ > a, else *unbiased* if a ≤ δ‖g‖, else *inconclusive*; empty where g is unknown.

    a = max(1e-9 ‖g‖, 3·error) + 1e-12·√E‖ĝ − g‖², error being what E ĝ moved when nodes were last doubled. No bias of
    interest is as small as 1e-9 (finite differences, the smallest, have 1e-6), and no sum over states is as wrong.
    The last term is rounding. Without a gradient to compare with, at g = 0, all is measured against √E‖ĝ‖².
    """
    if moments.exact_gradient is None:
        return ""
    m, var = _exact_mean(moments)
    b = unless_rounding(m - moments.exact_gradient, moments.exact_gradient)
    size, spread = _norm(moments.exact_gradient), sqrt(float(var.sum() + b @ b))
    allowed = max(1e-9 * size, 3 * error) + 1e-12 * spread
    if _norm(b) > allowed:
        return "biased"
    return "unbiased" if allowed <= delta * (size or spread) else "inconclusive"


def _exact_mean(moments: Moments) -> tuple[np.ndarray, np.ndarray]:
    total = moments.n.sum()
    return moments.s1.sum(0) / total, moments.m2.sum(0) / total


def _norm(x: np.ndarray) -> float:
    return float(np.linalg.norm(x))


def _exactly(x: float) -> Estimate:
    return Estimate(x, x, x)


def _columns(**entries: Estimate | float | str) -> Columns:
    """Spread each estimate over three columns: its name, name_low, name_high."""
    columns: Columns = {}
    for name, x in entries.items():
        if isinstance(x, Estimate):
            columns |= {name: x.value, f"{name}_low": x.low, f"{name}_high": x.high}
        else:
            columns[name] = x
    return columns
