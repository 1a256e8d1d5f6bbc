"""Cells in which a formula could divide by zero or claim what it cannot know."""

from __future__ import annotations

from math import inf, isnan

import numpy as np
import pytest
from numpy.typing import NDArray

from estbench.intervals import (
    Shards,
    bias_bound,
    bias_p_value,
    bias_squared,
    cosine,
    cosine_of_mean,
    flags,
    metrics,
    precision,
    shards_needed,
    snr,
    variance,
    verdict,
)
from estbench.intervals.derived import Derived
from estbench.moments import SCALARS, Moments
from tests.intervals.sums import skewed, sums
from tests.sizes import slow

Floats = NDArray[np.float64]


def constant(*estimate: float) -> Floats:
    """The same estimate, 16 shards of 40 times."""
    return np.tile(np.array(estimate), (16, 40, 1))


@pytest.mark.parametrize("P", [1, 3])
def test_constant_estimates_claim_nothing(P: int) -> None:
    """Without variation there is no test: p is NaN, the interval is the value, a flag warns, no verdict *biased*."""
    g = np.linspace(0.1, 0.3, P)
    s = Shards.of(sums(constant(*(g + 0.05)), g))
    assert tuple(variance(s)) == (0, 0, 0)
    np.testing.assert_allclose(bias_squared(s), [P * 0.05**2] * 3)
    assert isnan(bias_p_value(s))
    assert flags(s) == ("constant",)
    assert verdict(s, float("nan")) == "inconclusive: no variation seen"
    assert snr(s) == inf
    assert precision(s) == 0
    assert shards_needed(s, 0.02, most=777) == 777


def test_constant_at_the_truth_is_unbiased() -> None:
    """A constant estimate that equals g up to rounding is unbiased, without a test."""
    g = np.array([0.1, 0.2, 0.7])
    s = Shards.of(sums(constant(*(g * (1 + 1e-15))), g))
    assert verdict(s, bias_p_value(s)) == "unbiased"
    np.testing.assert_allclose(cosine_of_mean(s), 1, rtol=1e-12)


def test_constant_zero_estimates() -> None:
    """ĝ = 0 has cosine 0, no direction of its mean, variance exactly 0 (though the sums are about g ≠ 0), no SNR."""
    found = metrics(sums(constant(0.0, 0.0), np.array([0.3, 0.1])))
    assert (found["variance"], found["cosine"], found["zero_fraction"]) == (0, 0, 1)
    assert found["relative_bias"] == pytest.approx(1)
    for name in ("cosine_of_mean", "snr", "scaled_bias_squared", "scaled_variance", "bias_p_value"):
        assert isnan(float(found[name])), name


def test_zero_gradient() -> None:
    """g = 0: what is relative to it is unknown, the rest is not; no verdict *unbiased*, and no number of replicates."""
    raw, _ = skewed(3)
    found = metrics(sums(raw, np.zeros(3)))
    for name in ("relative_bias", "cosine", "cosine_of_mean", "scaled_bias_squared", "scaled_variance"):
        assert isnan(float(found[name])), name
    for name in ("bias_squared", "bias_p_value", "variance", "mse", "snr"):
        assert not isnan(float(found[name])), name
    s = Shards.of(sums(raw, np.zeros(3)))
    assert verdict(s, 0.5) == "inconclusive: the true gradient is zero"
    assert verdict(s, 0.01) == "biased"


def test_unknown_gradient() -> None:
    """Without g, bias, MSE and cosine are NaN, never 0; variance and SNR are as with it."""
    raw, g = skewed(3)
    without, found = metrics(sums(raw, None)), metrics(sums(raw, g))
    known = {"variance", "variance_low", "variance_high", "snr", "zero_fraction", "non_finite", "flags"}
    for name, value in without.items():
        if name in known:
            assert value == found[name] if isinstance(value, str) else value == pytest.approx(found[name], rel=1e-9), (
                name
            )
        else:
            assert isnan(float(value)), name


@pytest.mark.parametrize("sign", [1, -1])
def test_all_cosines_alike(sign: int) -> None:
    """All cosines ±1: the interval reaches 7.68/(R + 3.84) inward; all alike but not ±1: there is no telling more."""
    raw = sign * (1 + np.random.default_rng().random((16, 40, 1)))
    wanted = sorted([sign, sign * (1 - 7.683 / (640 + 3.8415))])
    np.testing.assert_allclose(cosine(Shards.of(sums(raw, np.ones(1)))), [sign, *wanted], rtol=1e-6)
    s = Shards.of(sums(raw * np.array([1.0, 1.0]), np.array([1.0, 0.0])))
    np.testing.assert_allclose(cosine(s), sign * np.sqrt(0.5))
    raw = raw * np.array([1.0, 1.0]) + 1e-15 * np.random.default_rng().normal(size=(16, 40, 1)) * np.array([1.0, -1.0])
    _, low, high = cosine(Shards.of(sums(raw, np.array([1.0, 0.0]))))
    assert low == high


def test_estimates_along_the_gradient() -> None:
    """Noise along g only: all cosines are 1 up to rounding, nothing is across, and nothing divides by zero."""
    for _ in range(20):
        g = np.random.default_rng().normal(size=3)
        s = Shards.of(sums(g * (1 + 0.1 * np.random.default_rng().normal(size=(16, 40, 1))), g))
        np.testing.assert_allclose(cosine_of_mean(s), 1, rtol=1e-12)
        np.testing.assert_allclose(cosine(s), [1, 1 - 7.683 / (640 + 3.8415), 1], rtol=1e-6)


def test_skewness_that_is_lost_in_rounding() -> None:
    """Normal noise of 1e-5 of the mean, or cosines that vary by as little, have no skewness, so raise no flag."""
    noise = np.random.default_rng().normal(size=(16, 40, 2))
    for factor in (4e-6, 2e-5):
        s = Shards.of(sums(1 + factor * noise, np.array([2.0, 0.0])))
        assert s.v > 0
        assert np.abs(s.skew).max() < 0.5  # √(6/640) = .1 is its standard error
        assert flags(s) == ()
    for factor in (2e-6, 4e-6, 2e-5):  # the cosine with (−1, 1) varies as much, about a mean of −1/√2
        s = Shards.of(sums(np.array([1.0, 0.0]) + factor * noise, np.array([-1.0, 1.0])))
        _, varies, skew = s.of_cosine
        assert varies > 0
        assert abs(skew) < 0.5


@pytest.mark.parametrize("factor", [1e-14, 1e-11])
def test_variance_that_is_rounding(factor: float) -> None:
    """A standard deviation below 1e-13 of the mean is rounding, in one coordinate or in all; one above is seen."""
    noise = np.random.default_rng().normal(size=(16, 40, 2))
    raw = 3 + factor * noise
    s = Shards.of(sums(raw, np.array([1.0, 2.0])))
    assert s.v == 0 if factor < 1e-12 else s.v > 0
    if s.v > 0:
        assert s.v == pytest.approx(raw.reshape(-1, 2).var(axis=0, ddof=1).sum(), rel=1e-3)
    raw[..., 0] += noise[..., 0]  # now coordinate 0 has a variance of 1
    s = Shards.of(sums(raw, np.array([1.0, 2.0])))
    assert s.var[1] == 0 if factor < 1e-12 else s.var[1] > 0
    assert s.var[0] > 0.5
    s = Shards.of(sums(np.array([1.0, 0.0]) + factor * noise * np.array([0.0, 1.0]), np.array([1.0, 0.0])))
    assert s.v == 0 if factor < 1e-12 else s.v > 0  # small beside the whole mean, not beside its own


def test_rounding_in_a_coordinate_that_should_be_zero() -> None:
    """Noise of 1e-17 beside a coordinate of size 1 is rounding: it does not enter the test of bias."""
    noise = np.random.default_rng().normal(size=(16, 40, 2)) * np.array([1.0, 1e-17])
    g = np.array([0.3, 1e-15])
    assert bias_p_value(Shards.of(sums(g + noise, g))) > 0.0
    with_rounding, alone = (
        Shards.of(sums(raw, true)) for raw, true in ((noise + np.array([0.3, 0.0]), g), (noise[..., :1], g[:1] - 0.3))
    )
    assert bias_p_value(with_rounding) == pytest.approx(bias_p_value(alone), rel=1e-9)


@pytest.mark.parametrize("P", [2, 40])
def test_singular_covariance(P: int) -> None:
    """Estimates whose coordinates sum to zero (softmax), and more parameters than shards, need no inverse."""
    raw, g = skewed(P, S=16)
    raw, g = raw - raw.mean(-1, keepdims=True), g - g.mean()
    s = Shards.of(sums(raw, g))
    assert 0 < bias_p_value(s) <= 1 or P == 40
    assert 0 <= bias_squared(s).low <= bias_squared(s).high < inf
    assert bias_bound(s) > 0


def test_non_finite_estimates_are_counted_and_left_out() -> None:
    """NaN and infinite estimates change nothing but the size of their shard, the count and a flag."""
    raw, g = skewed(2)
    raw[3, 5, 1], raw[3, 6, 0], raw[7, 0, 0] = np.nan, np.inf, -np.inf
    finite = raw[np.isfinite(raw).all(-1)]
    s = Shards.of(sums(raw, g))
    assert variance(s).value == pytest.approx(finite.var(axis=0, ddof=1).sum())
    shards = [shard[np.isfinite(shard).all(-1)] for shard in raw]
    left = [np.concatenate([*shards[:i], *shards[i + 1 :]]).var(axis=0, ddof=1).sum() for i in range(len(shards))]
    np.testing.assert_allclose(s.v_without, left)
    found = metrics(sums(raw, g))
    assert found["non_finite"] == 3
    assert "non_finite" in str(found["flags"])


def test_shards_without_finite_estimates() -> None:
    """A shard of NaNs is left out and counted; if no shard is left, all is unknown."""
    raw, g = skewed(2)
    without = metrics(sums(raw[1:], g))
    raw[0] = np.nan
    found = metrics(sums(raw, g))
    assert found.pop("non_finite") == 30
    assert "non_finite" in str(found.pop("flags")).split()
    assert found == pytest.approx({name: without[name] for name in found})
    nothing = metrics(sums(raw * np.nan, g))
    assert nothing.pop("non_finite") == 600
    assert nothing.pop("flags") == "non_finite"
    assert nothing.pop("true_norm") == pytest.approx(np.linalg.norm(g))
    assert all(isnan(float(x)) for x in nothing.values())
    s = Shards.of(sums(raw * np.nan, g))
    assert verdict(s, float("nan")) == ""
    assert isnan(precision(s))
    assert shards_needed(s, 0.1, most=99) == 99


@pytest.mark.parametrize(("S", "P", "cells"), [slow((25, 6, 400)), slow((64, 3, 600)), (33, 1000, 3), (24, 17, 100)])
def test_a_cell_has_the_same_bytes_in_any_company(S: int, P: int, cells: int) -> None:
    """What is derived of many cells at once is, to the last bit, what is derived of each alone."""
    rng = np.random.default_rng(S)
    records = [
        Moments.unpack(1 + 100 * rng.random((S, len(SCALARS) + 3 * P)), rng.standard_normal(P)) for _ in range(cells)
    ]
    together = Shards.of_each(records, 0.95, [inf] * cells, [None] * cells)
    for one, beside in zip(map(Shards.of, records), together, strict=True):
        for name in Derived._fields:
            np.testing.assert_array_equal(getattr(one, name), getattr(beside, name), strict=True)
