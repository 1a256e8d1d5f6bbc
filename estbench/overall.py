"""A comparison over several problems: the geometric mean of the ratios of each estimator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from estbench.intervals import geometric_mean

COLUMNS = (
    "basis", "name", "temperature", "reference_temperature", "problems", "ratio", "ratio_low", "ratio_high",
)  # fmt: skip


def overall(rows: Sequence[Mapping[str, Any]], level: float) -> pd.DataFrame:
    """The geometric means over the problems, one row for each basis, estimator and temperature, smallest first.

    `rows` are those of a comparison, with the estimator (`entry`), the reference (`rival`) and their `paired` ratio.
    Problems are drawn independently, so the errors of their ratios are too. There is a row for those that are
    compared with the reference on every problem that has comparisons, and none where there is but one problem. A ratio
    of 0 or infinity on one problem leaves no mean.
    """
    problems = {(row["basis"], row["problem"]) for row in rows}
    grouped: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["entry"] is not row["rival"]:
            key = tuple(None if row[c] != row[c] else row[c] for c in COLUMNS[:4])  # NaN equals itself then
            grouped.setdefault(key, []).append(row)
    means = []
    for key, own in grouped.items():
        count = sum(basis == key[0] for basis, _ in problems)
        if len(own) == len({row["problem"] for row in own}) == count > 1:
            mean = geometric_mean([row["paired"] for row in own], level)
            means.append(dict(zip(COLUMNS, (*key, count, *mean), strict=True)))
    frame = pd.DataFrame(means, columns=list(COLUMNS)).astype({"temperature": float, "reference_temperature": float})
    order = pd.factorize(frame["basis"])[0]
    return frame.iloc[np.lexsort((frame["ratio"].astype(float), order))].reset_index(drop=True)
