"""Invariances of intervals: rescaling, rotation, order and grouping change them not at all, or as they must."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estbench.intervals import Shards, bias_squared, cosine, cosine_of_mean, metrics, mse, variance
from estbench.moments import Floats, Moments, merge
from tests.intervals.sums import skewed, sums

PER_SHARD = [f.name for f in fields(Moments) if f.name != "exact_gradient"]
quick = settings(max_examples=25, deadline=None)


def case(seed: int, P: int) -> tuple[Floats, Floats]:
    """Raw estimates [12, 8, P] and g from a seed."""
    rng = np.random.default_rng(seed)
    g = rng.normal(size=P)
    return g + 0.2 + (rng.exponential(size=(12, 8, P)) - 1) @ rng.normal(size=(P, P)), g


seeds, sizes = st.integers(0, 2**32 - 1), st.integers(1, 6)


@quick
@given(seeds, sizes, st.lists(st.integers(0, 3), min_size=12, max_size=12))
def test_any_grouping_of_shards_gives_the_same_mean_and_variance(seed: int, P: int, group: list[int]) -> None:
    """Shards merged in any groups have the same m and v, and so bias², MSE and cosine."""
    raw, g = case(seed, P)
    m = sums(raw, g)
    group[:4] = [0, 1, 2, 3]  # no group is empty
    packed = np.column_stack([getattr(m, name) for name in PER_SHARD])
    pieces = [packed[np.array(group) == k] for k in range(4)]
    merged = np.stack([_fold(piece) for piece in pieces])
    a, b = Shards.of(m), Shards.of(Moments.unpack(merged, g))
    np.testing.assert_allclose(a.m, b.m, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(a.var, b.var, rtol=1e-10)
    np.testing.assert_allclose(a.skew, b.skew, rtol=1e-8, atol=1e-10)
    for metric in (bias_squared, variance, mse, cosine):
        assert metric(a).value == pytest.approx(metric(b).value, rel=1e-9, abs=1e-12)


def _fold(rows: Floats) -> Floats:
    total: Floats = rows[0]
    for row in rows[1:]:
        total = merge(total, row)
    return total


@quick
@given(seeds, sizes, st.floats(1e-6, 1e6), st.sampled_from([1, -1]))
def test_scaling(seed: int, P: int, size: float, sign: int) -> None:
    """Estimates and g times c: squares grow by c², norms by |c|, all else stays."""
    raw, g = case(seed, P)
    c = sign * size
    once, scaled = metrics(sums(raw, g)), metrics(sums(c * raw, c * g))
    for name, value in once.items():
        square = name.startswith(("bias_squared", "variance", "mse", "scaled"))
        norm = name.startswith(("bias_norm", "true_norm"))
        factor = c**2 if square else abs(c) if norm else 1
        if isinstance(value, str):
            assert scaled[name] == value
        else:
            assert scaled[name] == pytest.approx(factor * value, rel=1e-6, abs=1e-9 * factor, nan_ok=True), name


@quick
@given(seeds, sizes, st.permutations(range(12)))
def test_order_of_shards(seed: int, P: int, order: list[int]) -> None:
    """The order of the shards does not matter."""
    raw, g = case(seed, P)
    a, b = metrics(sums(raw, g)), metrics(sums(raw[order], g))
    assert a.pop("flags") == b.pop("flags")
    assert a == pytest.approx(b, rel=1e-6, abs=1e-9, nan_ok=True)


@quick
@given(seeds, st.integers(2, 6))
def test_rotation(seed: int, P: int) -> None:
    """Turning estimates and g together (P > 1) changes no interval of bias², variance, MSE or cosines."""
    raw, g = case(seed, P)
    Q, _ = np.linalg.qr(np.random.default_rng(seed + 1).normal(size=(P, P)))
    a, b = Shards.of(sums(raw, g)), Shards.of(sums(raw @ Q, g @ Q))
    for metric in (bias_squared, variance, mse, cosine, cosine_of_mean):
        assert metric(a) == pytest.approx(metric(b), rel=1e-6, abs=1e-9)


@quick
@given(seeds, sizes, st.floats(0.8, 0.99))
def test_wider_at_a_higher_level(seed: int, P: int, level: float) -> None:
    """An interval holds its value (bias² may be negative: then 0), and the interval at a lower level."""
    raw, g = case(seed, P)
    narrow, wide = (Shards.of(sums(raw, g), x) for x in (level, level + 0.005))
    for metric in (bias_squared, variance, mse, cosine, cosine_of_mean):
        inner, outer = metric(narrow), metric(wide)
        assert outer.low - 1e-12 <= inner.low <= max(0.0, inner.value) + 1e-12 or inner.value < 0
        assert inner.low <= inner.high <= outer.high + 1e-12
        assert inner.value <= inner.high + 1e-12


def test_case_is_general() -> None:
    """The estimates used here vary and are skewed, so the properties are not empty."""
    raw, g = skewed(3)
    s = Shards.of(sums(raw, g))
    assert s.v > 0
    assert np.abs(s.skew).min() > 0
