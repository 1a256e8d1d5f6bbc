"""How each cell of a run has ended, without its metrics."""

from __future__ import annotations

from typing import Any

import numpy as np

from estbench.moments import SCALARS, Floats
from estbench.plan import Plan
from estbench.summary.cells import Items, outcome, truth
from estbench.summary.identity import DONE, identity

SMALLEST, LARGEST = 1e-30, 1e40
"""Of estimates with no smaller or larger numbers but 0 all metrics exist: they take sixth powers, and no higher ones.

What is taken for variation is at least 1e-13 of the mean, so that its sixth power is a float64, too.
"""


def endings(plan: Plan, items: Items) -> list[dict[str, Any]]:
    """The rows of `findings` up to status and reason: what each cell is, and whether it is done, failed or skipped.

    A cell fails, too, if its metrics are beyond the range of float64. They are computed only if the records of some
    cell come near the ends of that range.
    """
    rows, records, true = list[dict[str, Any]](), dict[int, list[Floats]](), list[Floats]()
    for cell in plan.cells:
        ended = outcome(plan, cell, items)
        if ended is None:
            continue
        if not isinstance(ended, dict):
            records.setdefault(ended.shape[1], []).append(ended)
            g, ended = truth(plan, cell, items), DONE
            if g is not None:
                true.append(g)
        rows.append(identity(plan, cell) | ended)
    some_finite = all(packed[:, 0].any() for same in records.values() for packed in same)
    ordinary = not true or _within(np.concatenate(true), SMALLEST)
    if some_finite and ordinary and all(_ordinary(np.concatenate(same)) for same in records.values()):
        return rows
    from estbench.summary.rows import findings  # noqa: PLC0415 - metrics alone need scipy

    return [found.row for found in findings(plan, items)]


def _ordinary(packed: Floats) -> bool:
    """Whether no number of these records [S, 8 + 3P] is near the ends of the range of float64."""
    P = (packed.shape[1] - len(SCALARS)) // 3
    scalars, s1, m2, m3 = np.split(packed, len(SCALARS) + np.arange(3) * P, axis=1)
    d4 = SCALARS.index("d4")
    unbounded = np.column_stack((m3, scalars[:, d4 : d4 + 1]))  # nothing is divided by these
    squares = np.column_stack((m2, np.delete(scalars, d4, axis=1)))
    # NaN: a cosine without a gradient, or what is not known of exact moments
    numbers = ((s1, SMALLEST), (np.nan_to_num(squares), SMALLEST**2), (np.nan_to_num(unbounded), 0.0))
    return all(_within(each, smallest) for each, smallest in numbers)


def _within(numbers: Floats, smallest: float) -> bool:
    """Whether each is 0 or between `smallest` and LARGEST; NaN is not."""
    size = np.abs(numbers)
    return bool((((size >= smallest) & (size <= LARGEST)) | (size == 0)).all())
