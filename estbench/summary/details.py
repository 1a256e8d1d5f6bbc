"""What does not fit into a row: vectors, fits, and whether a precision was reached."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from estbench.intervals import Shards, precision
from estbench.moments import Floats, Moments
from estbench.plan import Cell, Plan, fit_key
from estbench.summary.cells import Items, grouped, outcome, packed_shards, prepared, truth

DETAILS = ["true_gradient", "mean_gradient", "coordinate_variance", "fit"]


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


def fit(plan: Plan, cell: Cell, items: Items) -> dict[str, Any] | None:
    """What the fit of a cell's estimator found and cost; None where nothing was fitted."""
    item = items.get(("fit", fit_key(plan.problems[cell.problem], cell.variant), ""))
    if item is None or not (item["fields"] or item["f"] or item["df"]):  # options that leave nothing to fit
        return None
    cost = {"f_evaluations": item["f"], "grad_evaluations": item["df"], "seconds": item["seconds"]}
    return {"fields": item["fields"], **cost}


def fits(plan: Plan, items: Items) -> pd.DataFrame:
    """What fitting cost, one row per estimator label: label, fits, f_evaluations, grad_evaluations, seconds."""
    found = {(cell.problem, cell.variant): (cell, fit(plan, cell, items)) for cell in plan.cells}
    rows = [{"label": cell.estimator.label, "fits": 1, **cost} for cell, cost in found.values() if cost is not None]
    columns = ["label", "fits", "f_evaluations", "grad_evaluations", "seconds"]
    return pd.DataFrame(rows, columns=columns).groupby("label", sort=False, as_index=False).sum()


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


def precision_reached(plan: Plan, items: Items) -> str | None:
    """For a config with a precision: how many cells reached it, and the worst; None without one."""
    wanted = plan.config.precision
    if wanted is None:
        return None
    reached, worst, cells = 0, 0.0, 0
    for cell in plan.cells:
        sampled = cell.method != "exact" and cell.reason is None and prepared(plan, cell, items)
        packed = packed_shards(plan, cell, items) if sampled else None
        if packed is not None:
            r = precision(Shards.of(Moments.unpack(grouped(packed), truth(plan, cell, items))), wanted.metric)
            cells += 1
            reached += bool(r <= wanted.relative)
            worst = max(worst, np.inf if np.isnan(r) else r)  # too few finite estimates to say
    return (
        f"precision: {reached} of {cells} cells have a relative standard error of {wanted.metric} of at most "
        f"{wanted.relative:g}; the worst has {worst:.2g}"
    )
