"""Whether E ĝ = g, by sampling in stages: each up to four times as large as the one before, on numbers of its own.

One stage refutes nothing by itself. Where its p is below `SCREENING`, the next stage alone decides: it refutes at p
below `CONFIRMATION`. With J tests of at most `STAGES` stages an unbiased estimator is called biased with a probability
of at most J · STAGES · SCREENING · CONFIRMATION: at J = 12, once in 2000 cards. At p below `CERTAIN` one stage is
enough.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from math import inf, isfinite, sqrt

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor

from estbench.card.problems import unit
from estbench.draws import Draw
from estbench.estimate import estimates, truth
from estbench.estimators.base import Estimator
from estbench.intervals import Shards, flags
from estbench.isolation import Isolated, reason
from estbench.moments import Floats, Moments, moments
from estbench.preflight.unbiasedness import FEW, NOT_NORMAL, p_value
from estbench.problem import Problem
from estbench.rarity import rarest
from estbench.streams import Streams

SCREENING, CONFIRMATION, CERTAIN = 5e-3, 1e-3, 1e-12
STAGES = 8
FIRST, GROWTH, PILOT = 512, 4, 8
"""Estimates of the first stage; how many times as large the next may be; estimates by which the time of one is told."""

ENOUGH = 1.15
"""How many more estimates are taken than the last stage says are needed: its variance is one of a sample."""

SHARDS = 32
POWER = 0.9
"""The probability with which a bias of the size `Stage.smallest` is suspected."""

RARE = 20
"""Samples of the rarest class, expected, without which a stage says nothing."""

SEED: ContextVar[int] = ContextVar("SEED", default=0)
"""The seed of all that a card draws."""

AT_ONCE = 2**19
"""Random numbers of one call of an estimator, at most."""


@dataclass(frozen=True, eq=False)
class Stage:
    """What R estimates of N samples say of a mean: their mean m, its standard error, and p of E ĝ = g.

    `smallest`: a bias of any direction beyond this, relative to ‖g‖, is suspected in 9 of 10 such samples.
    `doubt`: why nothing follows from it; empty where something does. `lost`: the estimates that are NaN or infinite.
    """

    R: int
    g: Floats
    m: Floats
    se: Floats
    p: float
    smallest: float
    doubt: str = ""
    lost: int = 0

    @property
    def suspicious(self) -> bool:
        """Whether the next stage is to decide."""
        return not self.doubt and self.p < SCREENING


Draws = Callable[[int, str], Tensor]
"""So many estimates [R, P], drawn from a stream."""


@dataclass(frozen=True, eq=False)
class Test:
    """The hypothesis that estimates on a problem have a mean, and what is known so far.

    `unit`: the size that biases are relative to, ‖g‖ where the mean is a gradient. `raised`: what an estimate raised,
    which ends the test.
    """

    problem: Problem
    label: str
    N: int
    draws: Draws
    mean: Tensor
    unit: float
    unit_name: str = "‖g‖"
    stages: tuple[Stage, ...] = ()
    refuted: bool = False
    pace: float = 0.0
    raised: str = ""

    @property
    def last(self) -> Stage | None:
        """The largest stage."""
        return self.stages[-1] if self.stages else None

    @property
    def smallest(self) -> float:
        """The smallest relative bias that would have been seen; infinite where no stage says anything."""
        return min((s.smallest for s in self.stages if not s.doubt), default=inf)

    def done(self, wanted: float) -> bool:
        """Whether it is refuted, or a bias of the wanted size would have been seen and nothing is suspected."""
        last = self.last
        return (
            self.refuted
            or bool(self.raised or self.lost)
            or (last is not None and not last.suspicious and self.smallest <= wanted)
        )

    @property
    def suspicious(self) -> bool:
        """Whether the next stage is to decide."""
        return self.last is not None and self.last.suspicious

    @property
    def bias(self) -> float:
        """‖m − g‖ of the largest stage, relative to the unit."""
        last = self.last
        return float(np.linalg.norm(last.m - last.g)) / self.unit if last is not None and self.unit > 0 else inf

    @property
    def lost(self) -> Stage | None:
        """The first stage with estimates that are NaN or infinite: there is no mean to be tested."""
        return next((s for s in self.stages if s.lost), None)

    def with_stage(self, stage: Stage, pace: float) -> Test:
        """The test after one more stage, of so many seconds for each estimate."""
        before = self.last
        again = before is not None and before.suspicious and not stage.doubt and stage.p < CONFIRMATION
        sure = not stage.doubt and stage.p < CERTAIN
        return replace(self, stages=(*self.stages, stage), refuted=again or sure, pace=pace)

    def next_size(self, wanted: float) -> int:
        """The estimates of the next stage: four times the last, or fewer where they are enough for the wanted size."""
        last = self.last
        if last is None:
            return FIRST
        most = GROWTH * last.R
        if last.suspicious or last.doubt or not isfinite(last.smallest) or not wanted > 0:
            return most
        enough = ENOUGH * last.R * (last.smallest / wanted) ** 2
        return int(min(most, max(last.R, -(-enough // SHARDS) * SHARDS)))


def sample(problem: Problem, estimator: Estimator, N: int, R: int, stream: str) -> Tensor:
    """R estimates of N samples: [R, P]. What they draw depends on the stream and on `SEED` alone."""
    at_once = max(1, min(R, AT_ONCE // (N * problem.numbers)))
    pieces = []
    for i, start in enumerate(range(0, R, at_once)):
        n = min(at_once, R - start)
        draw = Draw(problem, n, N, streams=Streams(SEED.get(), f"card/{stream}", range(i, i + 1)))
        with Isolated("card", SEED.get(), stream, i):
            (x,) = estimates(estimator, draw, [N])
        pieces.append(x.double())
    return torch.cat(pieces)


def unbiased(problem: Problem, label: str, estimator: Estimator, N: int) -> Test:
    """The test of E ĝ = g."""
    true = truth(problem, estimator)
    assert true is not None

    def draws(R: int, stream: str) -> Tensor:
        return sample(problem, estimator, N, R, stream)

    return Test(problem, label, N, draws, true, *unit(problem, true))


def stage(test: Test, R: int) -> Stage:
    """The next sample, of R estimates, and what it says."""
    x = test.draws(R, f"{test.label}/{test.N}/{len(test.stages)}")
    packed = moments(x.view(SHARDS, R // SHARDS, -1), test.mean)
    s = Shards.of(Moments.unpack(packed.numpy(), test.mean.numpy()))
    doubt = _doubt(s, test.problem, test.N)
    if not s.R:
        return Stage(0, s.g, s.g, s.g, 1.0, inf, doubt, int(s.non_finite))
    spread = sqrt(s.v + float(s.m @ s.m))
    off = np.where(np.abs(s.b) <= 1e-9 * s.true_norm + 1e-12 * spread, 0.0, s.b)
    varies = s.var > 0
    z = float(ndtri(1 - SCREENING / (2 * max(1, varies.sum()))) + ndtri(POWER))
    smallest = z * sqrt(s.v / s.R) / test.unit if test.unit > 0 else inf
    return Stage(int(s.R), s.g, s.m, np.sqrt(s.var / s.R), p_value(s, off, varies), smallest, doubt, int(s.non_finite))


def _doubt(s: Shards, problem: Problem, N: int) -> str:
    R = int(s.R + s.non_finite)
    share = rarest(problem)
    if s.non_finite:
        return f"{int(s.non_finite)} of {R} estimates are NaN or infinite"
    if R * N * share < RARE:
        return f"an event of probability {share:.1g} is too rare for {R} estimates"
    if wrong := [name for name in flags(s) if name in NOT_NORMAL]:
        return f"of {R} estimates {NOT_NORMAL[wrong[0]]}"
    off = np.abs(s.b) > 1e-9 * s.true_norm + 1e-12 * sqrt(s.v + float(s.m @ s.m))
    if off[s.var == 0].any() and R * N * float(problem.marginals.amin(-1).prod()) < FEW:
        return f"{R} estimates did not vary: events rarer than {3 / R:.0e} are invisible"
    return ""


def run(tests: Sequence[Test], wanted: float, deadline: float) -> list[Test]:
    """The tests after as many stages as they take, the smallest stage first, until one refutes.

    `deadline`, by `time.monotonic`: a stage that would not be over by then is not begun.
    """
    tests = list(tests)
    pace = 0.0
    for i, test in enumerate(tests):
        try:
            pace = _pace(test)
            break
        except Exception as error:
            tests[i] = replace(test, raised=reason(error))
    while True:
        left = deadline - time.monotonic()
        open_ = [
            i
            for i, t in enumerate(tests)
            if not t.done(wanted) and len(t.stages) < STAGES and (t.pace or pace) * t.next_size(wanted) < left
        ]
        if not open_:
            return tests
        i = min(open_, key=lambda i: (not tests[i].suspicious, len(tests[i].stages), i))
        t, start = tests[i], time.monotonic()
        try:
            R = t.next_size(wanted)
            tests[i] = t.with_stage(stage(t, R), (time.monotonic() - start) / R)
        except Exception as error:
            tests[i] = replace(t, raised=reason(error))
        if tests[i].refuted:
            return tests


def _pace(test: Test) -> float:
    """The seconds of an estimate, about, from a few that are not used.

    The first call, in which it is found out how a function can be called, is not timed.
    """
    test.draws(PILOT, "pilot")
    start = time.monotonic()
    test.draws(PILOT, "pilot")
    return (time.monotonic() - start) / (2 * PILOT)
