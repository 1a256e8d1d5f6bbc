"""Paired comparison of two estimators."""

from __future__ import annotations

from dataclasses import replace
from math import inf, isnan, sqrt
from typing import Literal

import numpy as np
import pytest
from scipy import stats

from estbench.intervals import Ratio, Shards, compare, precision, ratio
from estbench.moments import Floats
from tests.intervals.sums import skewed, sums

Metric = Literal["variance", "mse"]
METRICS: tuple[Metric, ...] = ("variance", "mse")


def shard_values(raw: Floats, g: Floats, metric: Metric) -> tuple[float, Floats]:
    """The metric and its value per shard: pseudo-values by leaving out each shard in turn, or means of ‖ĝ − g‖²."""
    S, _, P = raw.shape
    if metric == "mse":
        return ((raw - g) ** 2).sum(-1).mean(), ((raw - g) ** 2).sum(-1).mean(1)
    v = raw.reshape(-1, P).var(axis=0, ddof=1).sum()
    left = [np.delete(raw, s, axis=0).reshape(-1, P).var(axis=0, ddof=1).sum() for s in range(S)]
    return v, S * v - (S - 1) * np.array(left)


def pair(P: int = 2, common: float = 0.9) -> tuple[Floats, Floats, Floats]:
    """Two raw estimators that share most of their noise, and g."""
    raw, g = skewed(P, n=150)
    other, _ = skewed(P, n=150)
    return raw, common * raw + (1 - common) * other, g


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("P", [1, 3])
@pytest.mark.parametrize("cost", [1.0, 3.0])
def test_paired_ratio(metric: Metric, P: int, cost: float) -> None:
    """ψ_s = x_s^A/v_A − x_s^B/v_B gives the standard error of log(v_A/v_B); cost multiplies the ratio."""
    x, y, g = pair(P)
    (va, xa), (vb, xb) = shard_values(x, g, metric), shard_values(y, g, metric)
    psi = xa / va - xb / vb
    S = len(psi)
    se = psi.std(ddof=1) / sqrt(S)
    a, b = Shards.of(sums(x, g), 0.8), Shards.of(sums(y, g), 0.8)
    found, value = ratio(a, b, metric, cost=cost), cost * va / vb
    t80, t90 = stats.t.ppf(0.9, S - 1), stats.t.ppf(0.95, S - 1)
    wanted = [value, value * np.exp(-t80 * se), value * np.exp(t80 * se)]
    wanted += [value * np.exp(-t90 * se), value * np.exp(t90 * se)]
    np.testing.assert_allclose([found.ratio, found.low, found.high, found.low_90, found.high_90], wanted, rtol=1e-6)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(np.log(value)) / se, S - 1), rel=1e-5)
    assert "unpaired" not in found.flags
    back = ratio(b, a, metric, cost=1 / cost)
    assert (back.ratio, back.low, back.p) == pytest.approx((1 / found.ratio, 1 / found.high, found.p))


def check_unpaired(x: Floats, y: Floats, g: Floats, metric: Metric, freedom: int) -> None:
    """The interval is that of independent estimators, and says so."""
    a, b = Shards.of(sums(x, g)), Shards.of(sums(y, g))
    found = ratio(a, b, metric)
    se = sqrt(precision(a, metric) ** 2 + precision(b, metric) ** 2)
    assert found.flags[0] == "unpaired"
    assert found.high / found.ratio == pytest.approx(np.exp(stats.t.ppf(0.975, freedom) * se))
    assert found.p == pytest.approx(2 * stats.t.sf(abs(np.log(found.ratio)) / se, freedom))


@pytest.mark.parametrize("metric", METRICS)
def test_different_shards_are_not_paired(metric: Metric) -> None:
    """Another number of shards, or another size, forbids pairing."""
    x, y, g = pair()
    check_unpaired(x, y[:-2], g, metric, freedom=17)
    check_unpaired(x, y[:, :-1], g, metric, freedom=19)


@pytest.mark.parametrize("metric", METRICS)
def test_too_few_separating_shards_are_not_paired(metric: Metric) -> None:
    """Estimators that differ in 1 of 20 shards only, or by next to nothing in all, are not compared by pairing."""
    x, _, g = pair()
    few = x.copy()
    few[:1] *= 1.5
    check_unpaired(x, few, g, metric, freedom=19)
    check_unpaired(x, x * (1 + 1e-4 * np.random.default_rng().normal(size=x.shape)), g, metric, freedom=19)
    several = x.copy()
    several[:8] *= 1.5
    assert "unpaired" not in ratio(Shards.of(sums(x, g)), Shards.of(sums(several, g)), metric).flags


@pytest.mark.parametrize("metric", METRICS)
def test_identical(metric: Metric) -> None:
    """The same estimates, also up to rounding, are identical: ratio 1, no test; at another cost, cost decides."""
    x, _, g = pair()
    a = Shards.of(sums(x, g))
    for other in (x, x * (1 + 1e-15)):
        found = ratio(a, Shards.of(sums(other, g)), metric)
        assert (found.ratio, found.low, found.high) == (1, 1, 1)
        assert isnan(found.p)
        assert found.flags[0] == "identical"
        assert compare(found, float("nan")) == "identical"
    verdicts = {cost: compare(ratio(a, a, metric, cost=cost), float("nan")) for cost in (0.5, 0.98, 1.02, 2.0)}
    assert verdicts == {0.5: "better", 0.98: "equivalent", 1.02: "equivalent", 2.0: "worse"}


def test_zero_variance() -> None:
    """One variance of zero gives a ratio of 0 or ∞ and no p; both of zero are identical."""
    x, _, g = pair()
    a, b = Shards.of(sums(x, g)), Shards.of(sums(0 * x + g, g))
    for metric in METRICS:
        assert ratio(b, a, metric).ratio == 0
        assert ratio(a, b, metric).ratio == inf
        assert isnan(ratio(a, b, metric).p)
        assert compare(ratio(b, a, metric), float("nan")) == "inconclusive"
        assert compare(ratio(b, b, metric), float("nan")) == "identical"
        assert ratio(Shards.of(sums(0 * x + g * (1 + 1e-15), g)), a, metric).ratio == 0  # but for rounding
    assert "constant" in ratio(a, b).flags


def test_unknown_gradient_has_no_mse_ratio() -> None:
    """Without g the ratio of MSEs is unknown; that of variances is known."""
    x, y, _ = pair()
    a, b = Shards.of(sums(x, None)), Shards.of(sums(y, None))
    assert isnan(ratio(a, b, "mse").ratio)
    assert compare(ratio(a, b, "mse"), float("nan")) == "inconclusive"
    assert ratio(a, b).ratio > 0


def test_flags_of_either_side_are_inherited() -> None:
    """A flag of A or of B stands beside their ratio, once."""
    x, y, g = pair()
    x[0, 0, 0] = np.nan
    y[0, 0, 0] = np.nan
    found = ratio(Shards.of(sums(x, g)), Shards.of(sums(y, g)))
    assert found.flags.count("non_finite") == 1
    assert "unpaired" not in found.flags


def test_verdicts() -> None:
    """Equivalence by the 90 % interval comes first, then the adjusted p; smaller is better."""
    r = Ratio(ratio=1.02, low=0.9, high=1.06, low_90=0.96, high_90=1.049, p=0.01)
    assert compare(r, 0.01) == "equivalent"
    assert compare(r, 0.01, margin=0.04) == "worse"
    assert compare(replace(r, low_90=0.951), 0.5) == "inconclusive"
    assert compare(replace(r, low_90=0.953), 0.5) == "equivalent"
    assert compare(replace(r, high_90=1.051), 0.5) == "inconclusive"
    assert compare(replace(r, ratio=0.5, low_90=0.4), 0.049) == "better"
    assert compare(replace(r, ratio=0.5, low_90=0.4), 0.051) == "inconclusive"
    assert compare(replace(r, ratio=0.5, low_90=0.4), float("nan")) == "inconclusive"
