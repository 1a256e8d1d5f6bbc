"""Coverage of intervals and error rates of verdicts, measured on fresh draws.

A cell passes if its count of hits is one that the stated rate would give with a chance of more than 1e-6.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from estbench.intervals import (
    Estimate,
    Metric,
    Shards,
    bh,
    bias_p_value,
    bias_squared,
    compare,
    cosine,
    cosine_of_mean,
    flags,
    holm,
    mse,
    precision,
    ratio,
    replicates_to_decide,
    shards_needed,
    variance,
    verdict,
)
from tests.intervals.bounds import at_least, at_most, draws
from tests.intervals.cells import Cell, categorical, reinforce, scaled, straight_through, turned
from tests.sizes import SMALL, at_whole_size, slow, thinned

METRICS: dict[str, Callable[[Shards], Estimate]] = {
    "bias_squared": bias_squared,
    "variance": variance,
    "mse": mse,
    "cosine": cosine,
    "cosine_of_mean": cosine_of_mean,
}


def holds(found: Estimate, truth: float) -> bool:
    """Whether the interval holds the truth, up to rounding."""
    rounding = 1e-9 * abs(truth) + 1e-20
    return found.low - rounding <= truth <= found.high + rounding


def check_coverage(cell: Cell, R: int, trials: int) -> None:
    """93 to 97 % or a flag; bias² and cosine of mean may cover more, and so may what hardly varies."""
    hits, flagged = Counter[str](), 0
    for s in draws(cell, R, trials):
        flagged += bool(flags(s))
        hits.update(name for name, metric in METRICS.items() if holds(metric(s), cell.truth[name]))
    if flagged > trials / 2:
        return
    distance = ((cell.values - cell.prob @ cell.values) ** 2).sum(1), ((cell.values - cell.g) ** 2).sum(1)
    hardly = [np.sqrt(cell.prob @ (y - cell.prob @ y) ** 2) < 0.25 * (cell.prob @ y) for y in distance]
    exempt = {"bias_squared", "cosine_of_mean"} | {n for n, x in zip(("variance", "mse"), hardly, strict=True) if x}
    for name in METRICS:
        assert hits[name] >= at_least(0.93, trials), (name, hits[name] / trials)
        assert name in exempt or hits[name] <= at_most(0.97, trials), (name, hits[name] / trials)


@pytest.mark.parametrize("cell", [slow(reinforce(0.1, 3)), straight_through(0.1, 1)])
def test_coverage(cell: Cell) -> None:
    """600 benchmarks of 1024 estimates: a coverage of .84 is caught with 99 % certainty, of .30 always."""
    trials = 600
    assert stats.binom.cdf(at_least(0.93, trials), trials, 0.84) > 0.99
    check_coverage(cell, 1024, trials)


def test_coverage_of_the_textbook_interval_is_caught() -> None:
    """v ± 1.96·v√(2/(R−1)), which forgets the fourth moment, covers about 27 % at p = .02: the check would see it."""
    cell, trials = reinforce(0.02, 1), 300
    hits = sum(
        abs(s.v - cell.truth["variance"]) < 1.96 * s.v * np.sqrt(2 / (s.R - 1)) for s in draws(cell, 1024, trials)
    )
    assert hits < at_least(0.93, trials)
    assert at_least(0.15, trials) <= hits <= at_most(0.4, trials)


@pytest.mark.slow
@pytest.mark.parametrize("R", [1024] if SMALL else [1024, 20032])
@pytest.mark.parametrize("D", [1, 8])
@pytest.mark.parametrize("p", [0.1, 0.005] if SMALL else [0.5, 0.1, 0.02, 0.005])
@pytest.mark.parametrize("estimator", [reinforce, straight_through])
def test_coverage_over_cells(estimator: Callable[[float, int], Cell], p: float, D: int, R: int) -> None:
    """Easy and heavy-tailed cells, 3000 benchmarks each: a coverage of .895 is caught with 98 % certainty.

    Of the smaller size, 1500 each: .88 is.
    """
    trials, too_low = (1500, 0.88) if SMALL else (3000, 0.895)
    assert stats.binom.cdf(at_least(0.93, trials), trials, too_low) > 0.98
    check_coverage(estimator(p, D), R, trials)


def check_cosine_of_mean(cell: Cell, R: int, trials: int) -> None:
    """The interval of cos(E ĝ, g) holds it in 92 % or more, and seldom is all of [−1, 1]."""
    found = [cosine_of_mean(s) for s in draws(cell, R, trials)]
    hits = sum(holds(x, cell.truth["cosine_of_mean"]) for x in found)
    assert hits >= at_least(0.92, trials), hits / trials
    assert sum(x.high - x.low == 2 for x in found) <= at_most(0.5, trials)


@pytest.mark.parametrize("angle", thinned(3, [0.4, 0.02, -0.75]))
def test_coverage_of_cosine_of_mean(angle: float) -> None:
    """At any angle, with a mean 3 to 5 standard errors long, 500 benchmarks: .80 is caught with 99 % certainty."""
    trials = 500
    assert stats.binom.cdf(at_least(0.92, trials), trials, 0.8) > 0.99
    check_cosine_of_mean(turned(reinforce(0.3, 3), angle), 2496, trials)


@pytest.mark.slow
@pytest.mark.parametrize("angle", [0.5] if SMALL else [0.02, 0.1, 0.3, 0.5, -0.6, 0.75, 0.9, -0.97])
@pytest.mark.parametrize(
    ("cell", "R"),
    [(reinforce(0.3, 3), 2496), (reinforce(0.1, 8), 8000), (straight_through(0.3, 2), 512), (categorical(60, 2), 1024)],
)
def test_coverage_of_cosine_of_mean_over_angles(cell: Cell, R: int, angle: float) -> None:
    """The same over cells and angles, 3000 benchmarks each: .88 is caught with 98 % certainty; of 1500, .86."""
    trials, too_low = (1500, 0.86) if SMALL else (3000, 0.88)
    assert stats.binom.cdf(at_least(0.92, trials), trials, too_low) > 0.98
    check_cosine_of_mean(turned(cell, angle), R, trials)


@pytest.mark.slow
@pytest.mark.parametrize("K", [3] if SMALL else [3, 60])
def test_coverage_with_singular_covariance(K: int) -> None:
    """A categorical, whose gradients sum to zero; at K = 60 with twice as many parameters as shards."""
    check_coverage(categorical(K, seed=K), 1024, 3000)


DECIDED = [reinforce(0.3, 1), reinforce(0.3, 4), categorical(2, seed=1)]
ONE_OF_THEM = [pytest.param(cell, marks=[pytest.mark.slow] * (i < 2)) for i, cell in enumerate(DECIDED)]
"""The others are slow."""


@pytest.mark.slow
@pytest.mark.parametrize("cell", DECIDED)
@pytest.mark.parametrize("bias", [0.01, 0.02])
def test_biased_estimator_is_seldom_called_unbiased(cell: Cell, bias: float) -> None:
    """A bias of δ or 2δ is called *unbiased* in at most 5 % (6 %), at n and 3n replicates of `replicates_to_decide`.

    Of 1000 benchmarks at most 98 may be so called: a rate of .13 is caught with 99 % certainty.
    """
    trials, n = 1000, cell.replicates_to_decide(0.01)
    assert stats.binom.sf(at_most(0.06, trials), trials, 0.13) > 0.99
    for R in (n, 3 * n):
        wrong = sum(verdict(s, bias_p_value(s)) == "unbiased" for s in draws(scaled(cell, 1 + bias), R, trials))
        assert wrong <= at_most(0.06, trials), wrong / trials


@at_whole_size
@pytest.mark.slow
@pytest.mark.parametrize("cell", DECIDED)
def test_rate_of_false_unbiased(cell: Cell) -> None:
    """The same at a bias of δ with 10 000 benchmarks: a rate of .08 is caught with 99 % certainty.

    A Gamma law in place of the noncentral χ² has .09 for the categorical of two classes, whose covariance has rank 1.
    """
    trials, n = 10_000, cell.replicates_to_decide(0.01)
    assert stats.binom.sf(at_most(0.06, trials), trials, 0.08) > 0.99
    wrong = sum(verdict(s, bias_p_value(s)) == "unbiased" for s in draws(scaled(cell, 1.01), n, trials))
    assert wrong <= at_most(0.06, trials), wrong / trials


@pytest.mark.slow
@pytest.mark.parametrize("cell", ONE_OF_THEM)
def test_unbiased_estimator_is_called_so(cell: Cell) -> None:
    """With the replicates that are asked for, 80 % (±4 %) of unbiased ones are *unbiased*, at most 5 % *biased*."""
    trials, n = 1000, cell.replicates_to_decide(0.01)
    calls = Counter(verdict(s, bias_p_value(s)).split(":")[0] for s in draws(cell, n, trials))
    assert at_least(0.76, trials) <= calls["unbiased"] <= at_most(0.84, trials), calls
    assert calls["biased"] <= at_most(0.05, trials), calls
    asked = [replicates_to_decide(s) for s in draws(cell, 6400, 20, S=640)]
    assert np.mean(asked) == pytest.approx(n, rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("D", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_no_bias_is_rejected_at_the_stated_rate(D: int) -> None:
    """p < .05 in 3.5 to 6 % of unbiased benchmarks, and always for a bias of 30 standard errors."""
    trials, cell = 1500, reinforce(0.3, D)
    rejected = sum(bias_p_value(s) < 0.05 for s in draws(cell, 20000, trials))
    assert at_least(0.035, trials) <= rejected <= at_most(0.06, trials), rejected / trials
    R, error = 2000, np.sqrt(cell.truth["variance"] / 2000)
    off = replace(cell, values=cell.values + 30 * error / np.sqrt(D))
    assert all(verdict(s, bias_p_value(s)) == "biased" for s in draws(off, R, 20))


def pairs(a: Cell, b: Cell, R: int, trials: int) -> Iterator[tuple[Shards, Shards]]:
    """Two estimators of the same states, fed the same draws."""
    rng = np.random.default_rng()
    S = 32 if R < 5000 else 64
    for _ in range(trials):
        counts = rng.multinomial(round(R / S), a.prob, size=S).astype(float)
        yield Shards.of(a.of_counts(counts)), Shards.of(b.of_counts(counts))


def check_paired(a: Cell, b: Cell, R: int, trials: int) -> None:
    """The ratios of variances and of MSEs cover at least 93 %, or carry a flag."""
    hits, flagged = Counter[str](), Counter[str]()
    metrics: tuple[Metric, ...] = ("variance", "mse")
    for x, y in pairs(a, b, R, trials):
        for metric in metrics:
            r, truth = ratio(x, y, metric), a.truth[metric] / b.truth[metric]
            flagged[metric] += bool(set(r.flags) - {"unpaired"})
            hits[metric] += r.low * (1 - 1e-9) <= truth <= r.high * (1 + 1e-9)
    for metric in metrics:
        assert hits[metric] >= at_least(0.93, trials) or flagged[metric] > trials / 2, (metric, hits[metric] / trials)


@pytest.mark.slow
def test_coverage_of_paired_ratio() -> None:
    """REINFORCE against straight-through, 400 benchmarks: a coverage of .80 is caught with 99 % certainty."""
    trials = 400
    assert stats.binom.cdf(at_least(0.93, trials), trials, 0.8) > 0.99
    check_paired(reinforce(0.1, 3), straight_through(0.1, 3), 1024, trials)


@pytest.mark.slow
@pytest.mark.parametrize("R", [1024] if SMALL else [1024, 20032])
@pytest.mark.parametrize("D", [1, 8] if SMALL else [1, 3, 8])
@pytest.mark.parametrize("p", [0.02] if SMALL else [0.5, 0.1, 0.02, 0.005])
@pytest.mark.parametrize("other", ["straight-through", "small baseline", "large baseline"])
def test_coverage_of_paired_ratio_over_cells(other: str, p: float, D: int, R: int) -> None:
    """REINFORCE against another over the cells, 1500 benchmarks each: .88 is caught with 98 % certainty."""
    trials = 1500
    assert stats.binom.cdf(at_least(0.93, trials), trials, 0.88) > 0.98
    by = {"straight-through": straight_through(p, D), "small baseline": reinforce(p, D, 0.01)}
    check_paired(reinforce(p, D), by.get(other, reinforce(p, D, 0.2)), R, trials)


@pytest.mark.slow
def test_equivalence_is_seldom_claimed_wrongly() -> None:
    """Variances that differ by just the margin are *equivalent* in at most 5 % (6 %), at R where it is in reach."""
    trials, a = 1000, reinforce(0.3, 2)
    b = scaled(a, np.sqrt(1.05))
    calls = Counter[str]()
    for x, y in zip(draws(a, 200_000, trials), draws(b, 200_000, trials), strict=True):
        r = ratio(x, y)
        calls[compare(r, r.p)] += 1
    assert calls["equivalent"] <= at_most(0.06, trials), calls
    assert calls["better"] > calls["worse"], calls


@pytest.mark.slow
def test_same_estimator_on_independent_draws() -> None:
    """A/A with independent draws: p < .05 in 3.5 to 6.5 %."""
    trials, a = 1500, reinforce(0.3, 2)
    wrong = sum(ratio(x, y).p < 0.05 for x, y in zip(draws(a, 5120, trials), draws(a, 5120, trials), strict=True))
    assert at_least(0.035, trials) <= wrong <= at_most(0.065, trials), wrong / trials


@at_whole_size
@pytest.mark.slow
def test_corrections_hold_their_level_over_cells_that_share_draws() -> None:
    """20 unbiased estimators on the same draws: some rejection in at most 5 % (6 %) by Holm and by BH, more without."""
    trials, rng, wrong = 1500, np.random.default_rng(), Counter[str]()
    cells = [reinforce(0.3, 2, baseline=b) for b in np.linspace(-0.5, 1, 20)]
    for _ in range(trials):
        counts = rng.multinomial(313, cells[0].prob, size=64).astype(float)
        p = [bias_p_value(Shards.of(cell.of_counts(counts))) for cell in cells]
        wrong.update({"holm": holm(p).min() < 0.05, "bh": bh(p).min() < 0.05, "none": min(p) < 0.05})
    assert wrong["holm"] <= at_most(0.06, trials), wrong
    assert wrong["bh"] <= at_most(0.06, trials), wrong
    assert wrong["none"] > at_most(0.06, trials), wrong


@pytest.mark.slow
@pytest.mark.parametrize("cell", [reinforce(0.1, 2), reinforce(0.02, 1)])
def test_planned_precision_is_met_and_covers(cell: Cell) -> None:
    """A pilot of 32 shards, then as many as asked for, analysed together: the target is met in 93 % or more.

    The interval then holds the variance in 93 % or more: a rate of .88 of either is caught with 98 % certainty.
    """
    trials, n, rng = 1500, 300, np.random.default_rng()
    target = 0.4 * precision(Shards.of(cell.draw(rng, 6400, n))) * np.sqrt(6400 / 32)
    met = hits = planned = 0
    for _ in range(trials):
        counts = rng.multinomial(n, cell.prob, size=32).astype(float)
        pilot = Shards.of(cell.of_counts(counts))
        if flags(pilot):
            continue
        planned += 1
        more = rng.multinomial(n, cell.prob, size=shards_needed(pilot, target, 10**4) - 32).astype(float)
        s = Shards.of(cell.of_counts(np.concatenate([counts, more])))
        met += precision(s) <= target
        hits += holds(variance(s), cell.truth["variance"])
    assert planned > 0.99 * trials
    assert met >= at_least(0.93, planned), met / planned
    assert hits >= at_least(0.93, planned), hits / planned
