"""Flags: warnings beside a number that its interval may not hold. No result is left out because of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np

from estbench.intervals.shards import Shards

RARE = 30.0
"""Expected number of the rarest class or event below which nothing that depends on it can be relied on.

Measured with a rare class beside ordinary variables (sine, mlp, two families, seven estimators, 1000 benchmarks each):
among the benchmarks with no other flag, unbiased estimators are called *biased* in all where 2 are expected, in up to
16 % where 20 are, in 4 to 7 % from 25 on; intervals of the variance hold in 0 %, 86 %, and 92 to 97 %.
"""


@dataclass(frozen=True)
class Flag:
    """What a flag means, and the word that stands for it in a table."""

    word: str
    meaning: str


FLAGS: Mapping[str, Flag] = {
    "constant": Flag("const", "no variation seen: events rarer than 3/R are invisible"),
    "rare_event": Flag(
        "rare",
        f"a class, or an event of several variables that f depends on, is expected fewer than {RARE:g} times in all "
        "samples: what depends on it is not seen, intervals may not hold, and the verdict on bias is inconclusive",
    ),
    "few_events": Flag("few", "a few estimates make up the variance: its interval is a guess"),
    "heavy_tail": Flag("tail", "the fourth moment may not exist: the interval of the variance is a guess"),
    "skewed_mean": Flag("skew", "too skewed for the number of replicates: intervals of bias and cosine are a guess"),
    "exact_disagrees": Flag(
        "≠exact",
        "exact and sampled moments exclude each other (at most 1 run in 1000 says so wrongly): one of them is wrong",
    ),
    "claim_refuted": Flag("refuted", "declared unbiased, and found biased"),
    "non_finite": Flag("nan", "some estimates are NaN or infinite, and are left out of all else"),
}
"""The flags of results, by the names that the column `flags` has."""

PAIRED: Mapping[str, Flag] = {
    "unpaired": Flag(
        "unpaired",
        "shared draws do not tell these two apart (not shared, or proportional): compared as if independent",
    ),
    "identical": Flag("identical", "the two agree draw by draw"),
}
"""The flags that a comparison has besides."""

CONTRADICTIONS = ("claim_refuted", "exact_disagrees")
"""Flags that say that something is wrong, not that something is not known."""


def flags(s: Shards) -> tuple[str, ...]:
    """Compute the names in `FLAGS` that the shards alone can tell.

    constant     v = 0
    rare_event   the rarest class of any variable, or effect on f, is expected fewer than 30 times, whatever was seen
    few_events   n_eff = R·v²/Var‖ĝ − m‖² < 10, or one estimate holds a fifth of Σ‖ĝ − m‖⁴
    heavy_tail   n ≥ 100, S ≥ 32, and mean log(top S/4 shard maxima of ‖ĝ − m‖² over the next) > .45 (Hill)
    skewed_mean  max|γ_j|/√R > .3 over the coordinates and the cosine; of records kept `in_span`, over the cosine alone
    non_finite   any
    """
    if not s.enough:
        return tuple(name for name, holds in (("rare_event", rare(s)), ("non_finite", s.non_finite)) if holds)
    skews = np.append(0.0 if s.in_span else s.skew, s.of_cosine[2])
    found = {
        "constant": s.v == 0,
        "rare_event": rare(s),
        "few_events": s.v > 0 and _few_events(s),
        "heavy_tail": s.v > 0 and _heavy_tail(s),
        "skewed_mean": bool(np.nanmax(np.abs(skews)) / sqrt(s.R) > 0.3),
        "non_finite": s.non_finite > 0,
    }
    return tuple(name for name in FLAGS if found.get(name))


def rare(s: Shards) -> bool:
    """Whether too few of the rarest event are expected."""
    return s.rarest < RARE


def _few_events(s: Shards) -> bool:
    fourth = float(s.moments.d4.sum())
    if fourth < 1e-290:  # beyond the range of float64: not known
        return True
    spread = fourth / s.R - s.v**2  # Var‖ĝ − m‖²
    return s.R * s.v**2 < 10 * spread or float(s.moments.umax.max()) ** 2 > 0.2 * fourth


def _heavy_tail(s: Shards) -> bool:
    S = len(s.n)
    if s.n.min() < 100 or S < 32:
        return False
    largest = np.sort(s.moments.umax)[::-1]
    top, following = largest[: S // 4], largest[S // 4]
    return bool(following == 0 or np.log(top / following).mean() > 0.45)
