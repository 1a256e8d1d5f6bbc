"""How often an interval may miss, by the binomial law, and draws of many small benchmarks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import stats

from estbench.intervals import (
    Shards,
)
from tests.intervals.cells import Cell

FALSE_FAIL = 1e-6


def at_least(rate: float, trials: int) -> int:
    """The count of successes that `rate` falls short of with a chance of 1e-6."""
    return int(stats.binom.ppf(FALSE_FAIL, trials, rate))


def at_most(rate: float, trials: int) -> int:
    """The count of successes that `rate` exceeds with a chance of 1e-6."""
    return int(stats.binom.isf(FALSE_FAIL, trials, rate))


def draws(cell: Cell, R: float, trials: int, S: int | None = None) -> Iterator[Shards]:
    """Fresh benchmarks of about R estimates in the number of shards that is advised for R."""
    rng = np.random.default_rng()
    S = S or (32 if R < 5000 else 64)
    for _ in range(trials):
        yield Shards.of(cell.draw(rng, S, round(R / S)))
