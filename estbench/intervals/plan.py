"""How many shards a wanted precision takes, from a pilot (two stages, so that intervals stay valid)."""

from __future__ import annotations

from math import ceil, inf, sqrt
from typing import Literal

from estbench.intervals.cosine import cosine_moments
from estbench.intervals.flags import flags
from estbench.intervals.shards import NAN, Shards
from estbench.intervals.variance import relative_se


def precision(s: Shards, metric: Literal["variance", "mse", "cosine"] = "variance") -> float:
    """Standard error of a metric relative to its value; NaN where unknown."""
    if metric != "cosine":
        return relative_se(s, metric) if s.enough else NAN
    C, variance, _ = cosine_moments(s)
    return sqrt(variance / s.R) / abs(C) if C else inf


def shards_needed(
    pilot: Shards, target: float, most: int, metric: Literal["variance", "mse", "cosine"] = "variance"
) -> int:
    """Number of shards in all for a relative standard error of `target`: ⌈1.1·S·(r/target)²⌉ from a pilot of S with r.

    At least S, at most `most`; a flagged pilot, which cannot be relied on, or an unknown r goes to `most`.
    """
    r = precision(pilot, metric)
    if flags(pilot) or not r < inf:
        return most
    return min(most, max(len(pilot.n), ceil(1.1 * len(pilot.n) * (r / target) ** 2)))
