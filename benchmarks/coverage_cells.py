"""Coverage of every interval over easy and heavy-tailed cells, on fresh draws of the engine."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from scipy.stats import binom

from benchmarks.coverage_truth import Probabilities, exact_values, problem_at
from estbench.draws import Draw
from estbench.estimate import estimates, truth
from estbench.estimators.antithetic.arm import Arm
from estbench.estimators.base import Estimator
from estbench.estimators.relaxation.gumbel_st import GumbelSt
from estbench.estimators.score_function.reinforce import Reinforce
from estbench.intervals import (
    Estimate,
    Metric,
    Shards,
    bias_squared,
    cosine,
    cosine_of_mean,
    flags,
    mse,
    ratio,
    variance,
)
from estbench.moments import Moments, moments
from estbench.plan.layout import BLOCK, MIN_SHARDS, shard_size
from estbench.problem import Problem
from estbench.streams import Streams
from estbench.summary import grouped

RARE = (0.5, 0.1, 0.02, 0.005)
PROBLEMS: dict[str, Probabilities] = {
    **{f"{p:g}": (p,) for p in RARE},
    **{f"{p:g} × 8": (p,) * 8 for p in RARE},
    "mixed × 8": RARE * 2,
}
REPLICATES = (1000, 20_000)
REFERENCE = "REINFORCE"
ESTIMATORS: dict[str, Estimator] = {
    REFERENCE: Reinforce(),
    "ARM": Arm(),
    "ST-Gumbel, τ = .1": GumbelSt(temperature=0.1),
}
INTERVALS: dict[str, Callable[[Shards], Estimate]] = {
    "variance": variance,
    "mse": mse,
    "bias_squared": bias_squared,
    "cosine": cosine,
    "cosine_of_mean": cosine_of_mean,
}
RATIOS: dict[str, Metric] = {"variance ratio": "variance", "mse ratio": "mse"}

LOW, HIGH, EXEMPT = 0.93, 0.97, 0.99
CHANCE = 0.01  # a count is too small or too large for a rate that gives it, or one further off, with a lesser chance
HARDLY = 0.25  # sd/mean of ‖ĝ − g‖² below which variance and MSE are called degenerate


def layout(R: int) -> tuple[int, int]:
    """The number of shards that a run of R replicates has, and their size."""
    size = shard_size(R)
    return max(MIN_SHARDS, -(-R // size)), size


def benchmarks(
    problem: Problem, estimators: Mapping[str, Estimator], R: int, N: int, repeats: int, seed: int, name: str
) -> Iterator[dict[str, Shards]]:
    """Repeats of a benchmark of R estimates of N samples, in the shards that a run has; each repeat has its own."""
    S, size = layout(R)
    together = max(1, 4 * BLOCK // (S * size * N * problem.D))
    for start in range(0, repeats, together):
        k = min(together, repeats - start)
        streams = Streams(seed, name, range(start * S, (start + k) * S))
        draw = Draw(problem, k * S * size, N, streams=streams, shard=size)
        packed, true = {}, {}
        for label, estimator in estimators.items():
            (estimate,) = estimates(estimator, draw, [N])
            g = truth(problem, estimator)
            assert g is not None
            packed[label] = moments(estimate.view(k * S, size, -1), g).numpy()
            true[label] = g.numpy()
        for i in range(k):
            yield {
                label: Shards.of(Moments.unpack(grouped(records[i * S : (i + 1) * S]), true[label]))
                for label, records in packed.items()
            }


@dataclass
class Tally:
    """Hits of one interval over the repeats; `quiet` are the repeats without a flag.

    `silent` intervals are all of [−1, 1]; `unpaired` ratios fell back on the unpaired error. Known of the
    cell: whether ‖ĝ − g‖² `hardly` varies, the mean cosine is at an `end`, ±1, and there is but `one` variable.
    """

    metric: str
    hardly: bool
    end: bool
    one: bool
    trials: int = 0
    hits: int = 0
    quiet: int = 0
    quiet_hits: int = 0
    silent: int = 0
    unpaired: int = 0

    def add(self, low: float, high: float, value: float, flagged: bool) -> None:
        """Count one interval; the truth may lie at its end up to rounding."""
        rounding = 1e-9 * abs(value) + 1e-20
        hit = low - rounding <= value <= high + rounding
        self.trials += 1
        self.hits += hit
        self.quiet += not flagged
        self.quiet_hits += hit and not flagged
        self.silent += self.metric == "cosine_of_mean" and (low, high) == (-1, 1)

    def verdict(self) -> str:
        """*ok*; below 93 %: *flagged* or *FAILS*; above 97 %: why that is allowed, or *wide* if it is not."""
        trials, to_99 = self.trials, self.metric in {"bias_squared", "cosine_of_mean"}
        if too_few(self.hits, trials, LOW):
            return "flagged" if self.quiet <= trials / 2 else "FAILS"
        if not too_many(self.hits, trials, HIGH):
            return "ok"
        over = {
            "to 99": to_99 and not too_many(self.hits, trials, EXEMPT),
            "degenerate": self.hardly and self.metric in {"variance", "mse"},
            "constant": self.end and self.metric == "cosine",
            "sign": self.one and self.metric == "cosine_of_mean",
            "says nothing": self.silent > trials / 2,
            "flagged": self.quiet <= trials / 2,
            "unpaired": self.unpaired > trials / 2,
            "boundary": to_99,
        }
        return next((why for why, holds in over.items() if holds), "wide")

    def __str__(self) -> str:
        """Coverage ± its standard error, and coverage among the unflagged."""
        c = self.hits / self.trials
        quiet = f"{100 * self.quiet_hits / self.quiet:.1f}" if self.quiet >= 20 else "–"
        return f"{100 * c:.1f} ±{100 * math.sqrt(c * (1 - c) / self.trials):.1f} / {quiet}"


def too_few(count: int, trials: int, rate: float) -> bool:
    """Whether a count is smaller than a rate would give."""
    return bool(binom.cdf(count, trials, rate) < CHANCE)


def too_many(count: int, trials: int, rate: float) -> bool:
    """Whether a count is larger than a rate would give."""
    return bool(binom.sf(count - 1, trials, rate) < CHANCE)


@dataclass
class Row:
    """A cell: the tally of each interval, and how many repeats carried each flag."""

    problem: str
    R: int
    estimator: str
    tallies: dict[str, Tally]
    flags: Counter[str] = field(default_factory=Counter)


def measure(name: str, R: int, repeats: int, seed: int) -> list[Row]:
    """The coverage of all intervals of all estimators at one problem."""
    problem, exactly, rows = problem_at(PROBLEMS[name]), {}, {}
    for label, estimator in ESTIMATORS.items():
        exactly[label] = values = exact_values(estimator, PROBLEMS[name])
        hardly = spread(problem, estimator, values["mse"], seed) < HARDLY
        end = abs(values["cosine"]) > 1 - 1e-9
        measured = (*INTERVALS, *(() if label == REFERENCE else RATIOS))
        tallies = {metric: Tally(metric, hardly, end, problem.D == 1) for metric in measured}
        rows[label] = Row(name, R, label, tallies)
    for found in benchmarks(problem, ESTIMATORS, R, 1, repeats, seed, f"coverage/{name}/{R}"):
        for label, s in found.items():
            row, own = rows[label], flags(s)
            row.flags.update(own)
            for metric, interval in INTERVALS.items():
                row.tallies[metric].add(*interval(s)[1:], exactly[label][metric], bool(own))
            for key, of in RATIOS.items() if label != REFERENCE else ():
                r = ratio(s, found[REFERENCE], of)
                value = exactly[label][of] / exactly[REFERENCE][of]
                row.tallies[key].add(r.low, r.high, value, bool(set(r.flags) - {"unpaired"}))
                row.tallies[key].unpaired += "unpaired" in r.flags
    return list(rows.values())


def spread(problem: Problem, estimator: Estimator, mse: float, seed: int) -> float:
    """The standard deviation of ‖ĝ − g‖² over its mean, from a draw of its own."""
    (found,) = benchmarks(problem, {"": estimator}, 20_000, 1, 1, seed, "spread")
    k = found[""].moments
    of_shards = k.y1 / k.n  # each a mean of n, so that its spread is 1/√n of that of one
    return math.sqrt(float(k.n.mean()) * float(of_shards.var(ddof=1))) / mse
