"""Variance and mean squared error, with intervals that hold for heavy tails."""

from __future__ import annotations

from math import exp, sqrt
from typing import Literal

from estbench.intervals.shards import NAN, UNKNOWN, Estimate, Shards
from estbench.moments import Floats

Metric = Literal["variance", "mse"]


def variance(s: Shards) -> Estimate:
    """v = trace Σ̂ (ddof 1), in v·exp(±t·se/v), se by the jackknife over shards."""
    return _in_proportion(s.v, relative_se(s, "variance"), s.t) if s.enough else UNKNOWN


def mse(s: Shards) -> Estimate:
    """E‖ĝ − g‖²: the mean Ȳ of Y = ‖ĝ − g‖², in Ȳ·exp(±t·sd(Ȳ_s)/(√S·Ȳ)); unknown where g is."""
    return _in_proportion(point(s, "mse"), relative_se(s, "mse"), s.t) if s.enough else UNKNOWN


def point(s: Shards, metric: Metric) -> float:
    """Compute v, or Ȳ (NaN where g is unknown; 0 where nothing varies and it is rounding of ‖g‖²)."""
    if metric == "variance":
        return s.v
    if not s.moments.known:
        return NAN
    return float(s.b @ s.b) if s.v == 0 else float(s.y1.sum()) / s.R


def shard_values(s: Shards, metric: Metric) -> Floats:
    """Values x_s [S] with the metric as mean: for v the jackknife pseudo-values S·v − (S−1)·v₍₋ₛ₎, for the MSE Ȳ_s."""
    if metric == "variance":
        return len(s.n) * s.v - (len(s.n) - 1) * s.v_without
    return s.y1 / s.n


def relative_se(s: Shards, metric: Metric) -> float:
    """se/v with se² = (S−1)/S·Σ(v₍₋ₛ₎ − v̄)² + 2v²/R² (a floor for degenerate cells), or sd(Ȳ_s)/(√S·Ȳ); 0 if zero."""
    value = point(s, metric)
    if value == 0:
        return 0.0
    if metric == "mse":
        return sqrt(s.variance_of_mean(shard_values(s, metric))) / value
    S = len(s.n)
    relative = s.v_without / s.v  # and squared only then: v² may be beyond the range of float64
    return sqrt((S - 1) / S * float(((relative - relative.mean()) ** 2).sum()) + 2 / s.R**2)


def _in_proportion(value: float, se: float, t: float) -> Estimate:
    width = exp(min(t * se, 700.0))  # e⁷⁰⁹ is the largest double
    return Estimate(value, value / width, value * width)
