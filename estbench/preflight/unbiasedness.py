"""Tests of E ĝ = g: exact where the mean is known, else by sampling in two stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, inf, isfinite, sqrt

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from estbench.catalogue import facts_of
from estbench.draws import Draw
from estbench.estimate import estimates, truth
from estbench.estimators.base import Estimator, RowEstimator
from estbench.exact import Unavailable, exact, size, why_not
from estbench.intervals import Shards, exact_verdict, flags, holm
from estbench.intervals.hall import hall
from estbench.isolation import Isolated
from estbench.moments import Floats, Moments, moments
from estbench.problem import Problem
from estbench.rarity import rarest
from estbench.streams import Streams

MAX_ESTIMATES = 2**12
"""Estimates that are gone through here, one for each joint state or multiset of N (see `exact.size`)."""

FALSE_ALARM = 1e-3
"""The chance, at most, that sampling calls any unbiased estimator biased in one check (Holm over all its tests)."""

SCREENING_LEVEL = 0.01
"""The level of the test on the first sample; what it rejects is sampled again, and only the second sample counts."""

POWER = 0.9
"""The power of the first test at the smallest bias that is stated."""

SHARDS = 64
NUMBERS = 2**19
"""Random numbers of the first sample, about; the second has four times as many."""

LARGEST = 2**14
"""Estimates of the first sample, at most."""

WANTED, LONGER = 0.05, 8
"""Relative biases that the first sample should not miss, and how many times more estimates it may take for that."""

NOT_NORMAL = {
    "few_events": "a few of them make up the variance",
    "skewed_mean": "their mean is too skewed to be tested",
    "non_finite": "some of them are NaN or infinite",
}
"""Flags of estimates whose mean is far from normal, and what is said of them: they are not tested."""

UNDERPOWERED = 0.5
"""A sample that would see only biases above this, relative to ‖g‖, is no check."""

FEW = 10
"""Samples of each joint state, expected, where a mean that did not vary is tested: else what varies may be unseen."""

RARE = 100
"""Samples of each class of each variable that the first sample must have, expected: else its mean is not normal."""


@dataclass(frozen=True)
class Exactly:
    """E ĝ is known; `bias` = ‖E ĝ − g‖ and `size` = ‖g‖, and whether they differ by more than rounding explains."""

    biased: bool
    bias: float
    size: float


@dataclass(frozen=True)
class Sampled:
    """The first sample of R estimates.

    `p`: of the hypothesis E ĝ = g, the least over the coordinates times their number (Bonferroni), by Hall's transform
    of each coordinate's mean. `smallest`: a bias of any direction beyond this, relative to ‖g‖, would have been
    rejected in 9 of 10 samples: no coordinate of a bias b is rejected only if |b_j| < z se_j for all of them, hence
    ‖b‖ < z √(Σ se_j²). `bias`: ‖mean − g‖/‖g‖.
    """

    R: int
    p: float
    smallest: float
    bias: float

    @property
    def underpowered(self) -> str:
        """Why it is no check, though it rejects nothing; empty where it is one."""
        if self.smallest <= UNDERPOWERED:
            return ""
        return f"sampling {self.R} estimates would have seen only biases above {percent(self.smallest)} of ‖g‖"


class NotChecked(Exception):  # noqa: N818 - it is an answer, not a failure
    """Why nothing is known about a mean."""


def exactly(problem: Problem, estimator: Estimator, samples: int) -> Exactly | None:
    """The mean from exact moments; None where there are none, or they would take long.

    That of a mean of N independent rows is that of one row.
    """
    N = 1 if isinstance(estimator, RowEstimator) else samples
    if not affordable(problem, estimator, N):
        return None
    try:
        found = exact(problem, estimator, N)
    except Unavailable:
        return None
    true = truth(problem, estimator)
    assert true is not None
    biased = exact_verdict(Moments.unpack(found.packed, true.numpy()), found.mean_error) == "biased"
    return Exactly(biased, float(np.linalg.norm(found.mean - true.numpy())), float(true.norm()))


def affordable(problem: Problem, estimator: Estimator, N: int) -> bool:
    """Whether exact moments take little time."""
    facts = facts_of(estimator)
    integrated = facts.exact == "smooth" or bool(facts.noise)
    few = problem.n_states == 2 if integrated else size(problem, estimator, N) <= MAX_ESTIMATES
    return few and why_not(problem, estimator, N) is None


def sampled(problem: Problem, estimator: Estimator, samples: int, stage: int = 1) -> Sampled:
    """Test E ĝ = g on a sample of its own for each stage; NotChecked with the reason where that says nothing.

    A first sample that would miss biases of 5 % is replaced by one of up to eight times as many estimates.
    """
    R = _replicates(problem, samples) * 4 ** (stage - 1)
    found = _sampled(problem, estimator, samples, R, f"{stage}")
    more = min(LONGER, ceil((found.smallest / WANTED) ** 2)) if isfinite(found.smallest) else 1
    return found if stage > 1 or more <= 1 else _sampled(problem, estimator, samples, R * more, "longer")


def _sampled(problem: Problem, estimator: Estimator, samples: int, R: int, stream: str) -> Sampled:
    if truth(problem, estimator) is None:
        raise NotChecked(f"the exact gradient is not known: {problem.distribution.classes}^{problem.D} joint states")
    share = rarest(problem)
    if R * samples * share < RARE:
        raise NotChecked(f"an event of probability {share:.1g} is too rare to be sampled")
    s = Shards.of(_moments(problem, estimator, samples, R, f"preflight/{stream}"))
    if wrong := [name for name in flags(s) if name in NOT_NORMAL]:
        raise NotChecked(f"of {R} estimates {NOT_NORMAL[wrong[0]]}")
    size, spread = s.true_norm, sqrt(s.v + float(s.m @ s.m))
    off = np.where(np.abs(s.b) <= 1e-9 * size + 1e-12 * spread, 0.0, s.b)
    varies = s.var > 0
    if (off[~varies] != 0).any() and R * samples * float(problem.marginals.amin(-1).prod()) < FEW:
        raise NotChecked(f"{R} estimates did not vary: events rarer than {3 / R:.0e} are invisible")
    p = p_value(s, off, varies)
    z = float(ndtri(1 - SCREENING_LEVEL / (2 * max(1, varies.sum()))) + ndtri(POWER))
    smallest = z * sqrt(s.v / s.R) / size if size > 0 else inf
    return Sampled(R, p, smallest, float(np.linalg.norm(off)) / size if size > 0 else inf)


def p_value(s: Shards, off: Floats, varies: NDArray[np.bool_]) -> float:
    """Bonferroni over the coordinates; 0 where a mean without variation is off, 1 where nothing varies and none is."""
    if (off[~varies] != 0).any():
        return 0.0
    if not varies.any():
        return 1.0
    h = hall(off[varies] / np.sqrt(s.var[varies]) * sqrt(s.R), s.skew[varies] / sqrt(s.R))
    return min(1.0, 2 * int(varies.sum()) * float(ndtr(-np.abs(h).max())))


def confirmed(firsts: Sequence[Sampled], again: Callable[[int], Sampled | None]) -> list[Sampled | None]:
    """For each first sample the second one if that rejects E ĝ = g too, else None.

    `again` makes the second sample of an index, for those that the first one rejects. Its p-values are adjusted by
    Holm's method as if all of `firsts` had been sampled again, so that the first stage can only lower the rate.
    """
    seconds = [again(i) if x.p < SCREENING_LEVEL else None for i, x in enumerate(firsts)]
    adjusted = holm([1.0 if x is None else x.p for x in seconds])
    return [x if p < FALSE_ALARM else None for x, p in zip(seconds, adjusted, strict=True)]


def _replicates(problem: Problem, samples: int) -> int:
    """A whole number of shards."""
    R = min(LARGEST, NUMBERS // (samples * problem.distribution.logits.numel()))
    return max(R // SHARDS, 16) * SHARDS


def _moments(problem: Problem, estimator: Estimator, samples: int, R: int, stream: str) -> Moments:
    """Power sums of all shards, some at once."""
    true = truth(problem, estimator)
    n = R // SHARDS
    at_once = max(1, min(SHARDS, NUMBERS // (n * samples * problem.distribution.logits.numel())))
    packed = []
    for start in range(0, SHARDS, at_once):
        shards = range(start, min(start + at_once, SHARDS))
        draw = Draw(problem, len(shards) * n, samples, streams=Streams(0, stream, shards), shard=n)
        with Isolated(stream, start):
            (x,) = estimates(estimator, draw, [samples])
        packed.append(moments(x.view(len(shards), n, -1), true))
    return Moments.unpack(torch.cat(packed).numpy(), None if true is None else true.numpy())


def percent(x: float) -> str:
    """A relative bias, with two digits."""
    return f"{100 * x:.2g} %" if x < 0.995 else f"{100 * x:.0f} %" if x < 10 else f"{x:.2g} times"
