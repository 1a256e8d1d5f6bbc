"""The cells of known moments that tests of intervals draw from are what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from estbench.moments import Moments, moments
from tests.intervals.cells import reinforce


@pytest.mark.parametrize("D", [1, 3])
def test_drawn_moments_are_those_of_the_estimates(D: int) -> None:
    """Moments by counts of states equal those that the program sums from the estimates themselves."""
    cell = reinforce(0.3, D)
    counts = np.random.default_rng().multinomial(50, cell.prob, size=4).astype(float)
    raw = np.stack([np.repeat(cell.values, row.astype(int), axis=0) for row in counts])
    packed = moments(torch.tensor(raw), torch.tensor(cell.g))
    summed, drawn = Moments.unpack(packed.numpy(), cell.g), cell.of_counts(counts)
    for name in ("n", "non_finite", "zeros", "y1", "c1", "c2", "c3", "d4", "umax", "s1", "m2", "m3"):
        np.testing.assert_allclose(getattr(summed, name), getattr(drawn, name), rtol=1e-9, atol=1e-12, err_msg=name)
