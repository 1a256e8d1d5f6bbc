"""Results as frames of pandas, and results.csv."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from estbench.columns import dtypes, names
from estbench.moments import Floats, Moments
from estbench.plan import Plan
from estbench.printable import escaped
from estbench.store import merge, write_atomically
from estbench.summary.cells import Items, outcome, truth
from estbench.summary.details import fit
from estbench.summary.kept import SUMMARY, Origin, Row, written
from estbench.summary.reading import Results, read_results

RESULTS = "results.csv"
DETAILS = ["true_gradient", "mean_gradient", "coordinate_variance", "fit"]


def results(plan: Plan, items: Items) -> pd.DataFrame:
    """The results of all cells that are done, failed or skipped, in the order of the plan, with all columns."""
    from estbench.summary.rows import rows_of  # noqa: PLC0415 - metrics alone need scipy

    return frame_of(rows_of(plan, items))


def frame_of(rows: Sequence[Row]) -> pd.DataFrame:
    """The frame of some rows of findings, with all columns."""
    return pd.DataFrame(rows, columns=names()).astype(dtypes())


def details(plan: Plan, items: Items) -> pd.DataFrame:
    """What does not fit into a cell of a table, for each row of `results`; None where there is nothing.

    true_gradient, mean_gradient, coordinate_variance: lists. fit: for a fitted estimator, `fields` (the numbers found)
    and what finding them cost: `f_evaluations`, `grad_evaluations`, `seconds`.
    """
    rows = []
    for cell in plan.cells:
        packed = outcome(plan, cell, items)
        if packed is None:
            continue
        row: dict[str, Any] = {}
        if not isinstance(packed, dict):
            true = truth(plan, cell, items)
            moments = Moments.unpack(packed, true)
            row = _vectors(moments, true) | {"fit": fit(plan, cell, items)} if moments.n.sum() else {}
        rows.append(dict.fromkeys(DETAILS) | row)
    return pd.DataFrame(rows, columns=DETAILS, dtype=object)


def _vectors(m: Moments, true: Floats | None) -> dict[str, list[float] | None]:
    n = m.n.sum()
    mean = m.s1.sum(0) / n
    between = m.s1 / np.where(m.n > 0, m.n, 1.0)[:, None] - mean  # of each shard
    variance = (m.m2 + m.n[:, None] * between**2).sum(0) / n
    bessel = n / (n - 1) if n > 1 else 1.0
    return {
        "true_gradient": None if true is None else true.tolist(),
        "mean_gradient": mean.tolist(),
        "coordinate_variance": (variance * bessel).tolist(),
    }


def merged(runs: Sequence[Path], destination: Path) -> Results:
    """Join runs of one config into a run folder, results.csv included, and read it.

    UsageError if they do not fit, ResultsError if they contradict each other; then nothing is written.
    """
    merge(runs, destination)
    found = read_results(destination)
    for name, text in files(found.rows, frame_of(found.rows), found.origin).items():
        write_atomically(destination / name, text)
    return found


def files(rows: Sequence[Row], frame: pd.DataFrame, of: Origin | None) -> dict[str, str]:
    """Name → text of the files that are made of rows: results.csv, for other programs, and the rows as they are."""
    return {RESULTS: as_csv(frame)} | ({} if of is None else {SUMMARY: written(rows, of)})


def as_csv(frame: pd.DataFrame) -> str:
    """The text of results.csv; control characters, which only a manifest that was changed has, are escapes."""
    return escaped(frame.to_csv(index=False, lineterminator="\n"))
