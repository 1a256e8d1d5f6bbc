"""Corrections for many tests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from estbench.errors import UsageError
from estbench.intervals import adjust, bh, holm, none

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_worked_example() -> None:
    """Four p-values by hand: Holm 4p, 3p, 2p, p made increasing; Benjamini–Hochberg 4p/i made increasing."""
    p = [0.04, 0.01, 0.03, 0.02]
    np.testing.assert_allclose(holm(p), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(bh(p), [0.04, 0.04, 0.04, 0.04])
    np.testing.assert_allclose(bh([0.01, 0.04, 0.3]), [0.03, 0.06, 0.3])
    np.testing.assert_allclose(none(p), p)
    np.testing.assert_allclose(holm([0.4, 0.8]), [0.8, 0.8])
    np.testing.assert_allclose(holm([0.6, 0.8]), [1, 1])


@given(p_values)
def test_holm_rejects_step_by_step(p: list[float]) -> None:
    """Adjusted p ≤ α exactly where Holm's procedure, going up from the smallest p, rejects at α."""
    for alpha in (0.05, 0.3):
        rejected = set()
        for i, j in enumerate(sorted(range(len(p)), key=p.__getitem__)):
            if (len(p) - i) * p[j] > alpha:
                break
            rejected.add(j)
        assert rejected == set(np.flatnonzero(holm(p) <= alpha))


@given(p_values)
def test_bh_is_that_of_scipy(p: list[float]) -> None:
    """Agree with scipy's false discovery control."""
    np.testing.assert_allclose(bh(p), stats.false_discovery_control(p), atol=1e-15)


@pytest.mark.parametrize("method", ["holm", "bh", "none"])
def test_undefined_tests_do_not_count(method: str) -> None:
    """NaN stays NaN, is never significant, and does not weaken the others; nothing at all is fine."""
    with_nan = adjust([0.01, np.nan, 0.04], method)
    np.testing.assert_array_equal(with_nan, np.insert(adjust([0.01, 0.04], method), 1, np.nan))
    assert not with_nan[1] < 1
    assert len(adjust([], method)) == 0
    assert np.isnan(adjust([np.nan], method)).all()


def test_unknown_method() -> None:
    """A wrong name is refused, and the right ones are named."""
    with pytest.raises(UsageError, match=r"unknown method 'bonferoni'; choose one of holm, bh, none"):
        adjust([0.1], "bonferoni")
