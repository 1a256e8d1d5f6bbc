"""Flags: what an interval cannot know. They stand beside it; nothing is dropped."""

from __future__ import annotations

from math import sqrt

import numpy as np

from estbench.intervals.cosine import cosine_moments
from estbench.intervals.shards import Shards

MEANING = {
    "constant": "no variation seen: events rarer than 3/R are invisible",
    "few_events": "a few estimates make up the variance: its interval is a guess",
    "heavy_tail": "the fourth moment may not exist: the interval of the variance is a guess",
    "skewed_mean": "too skewed for the number of replicates: intervals of bias and cosine are a guess",
    "non_finite": "some estimates are NaN or infinite, and are left out of all else",
}


def flags(s: Shards) -> tuple[str, ...]:
    """Compute the names in `MEANING` that apply.

    constant     v = 0
    few_events   n_eff = R·v²/Var‖ĝ − m‖² < 10, or one estimate holds a fifth of Σ‖ĝ − m‖⁴
    heavy_tail   n ≥ 100, S ≥ 32, and mean log(top S/4 shard maxima of ‖ĝ − m‖² over the next) > .45 (Hill)
    skewed_mean  max|γ_j|/√R > .3 over the coordinates and the cosine
    non_finite   any
    """
    if not s.enough:
        return ("non_finite",) if s.non_finite else ()
    found = {
        "constant": s.v == 0,
        "few_events": s.v > 0 and _few_events(s),
        "heavy_tail": s.v > 0 and _heavy_tail(s),
        "skewed_mean": bool(np.nanmax(np.abs([*s.skew, cosine_moments(s)[2]])) / sqrt(s.R) > 0.3),
        "non_finite": s.non_finite > 0,
    }
    return tuple(name for name in MEANING if found[name])


def _few_events(s: Shards) -> bool:
    fourth = float(s.moments.d4.sum())
    spread = fourth / s.R - s.v**2  # Var‖ĝ − m‖²
    return s.R * s.v**2 < 10 * spread or float(s.moments.umax.max()) ** 2 > 0.2 * fourth


def _heavy_tail(s: Shards) -> bool:
    S = len(s.n)
    if s.n.min() < 100 or S < 32:
        return False
    largest = np.sort(s.moments.umax)[::-1]
    top, following = largest[: S // 4], largest[S // 4]
    return bool(following == 0 or np.log(top / following).mean() > 0.45)
