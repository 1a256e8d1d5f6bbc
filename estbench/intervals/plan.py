"""How many shards a wanted precision takes, from a pilot (two stages, so that intervals stay valid)."""

from __future__ import annotations

from math import ceil, inf, sqrt
from typing import Literal

from scipy.special import chdtri

from estbench.intervals.flags import flags
from estbench.intervals.shards import NAN, Shards
from estbench.intervals.variance import relative_se


def precision(s: Shards, metric: Literal["variance", "mse", "cosine"] = "variance") -> float:
    """Standard error of a metric relative to its value; NaN where unknown."""
    if metric != "cosine":
        return relative_se(s, metric) if s.enough else NAN
    C, variance, _ = s.of_cosine
    return sqrt(variance / s.R) / abs(C) if C else inf


def shards_needed(
    pilot: Shards, target: float, most: int, metric: Literal["variance", "mse", "cosine"] = "variance"
) -> int:
    """Number of shards in all for a relative standard error of `target`, from a pilot of S shards with r.

    ⌈S·(S−1)/χ²_{.05,S−1}·(r/target)²⌉: by the upper 95 % bound of r², so that the target is met 19 times of 20 (r² of
    32 shards has an error of 25 %: a margin of 1.1 alone meets it 2 times of 3). At least S, at most `most`; a flagged
    pilot, which cannot be relied on, or an unknown r goes to `most`.
    """
    r = precision(pilot, metric)
    if flags(pilot) or not r < inf:
        return most
    S = len(pilot.n)
    bound = (S - 1) / float(chdtri(S - 1, 0.95))  # of r² over its estimate
    return min(most, max(S, ceil(S * bound * (r / target) ** 2)))
