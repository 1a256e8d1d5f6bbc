"""Results beside the table of cells: fitted coefficients, and whether a precision was reached."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from estbench.plan import Cell, Plan, fit_key
from estbench.summary.cells import Items

if TYPE_CHECKING:
    from estbench.summary.rows import Finding

COSTS = ("f_evaluations", "grad_evaluations", "seconds")


def fit(plan: Plan, cell: Cell, items: Items) -> dict[str, Any] | None:
    """What the fit of a cell's estimator found and cost; None where nothing was fitted."""
    item = items.get(("fit", fit_key(plan.problems[cell.problem], cell.estimator), ""))
    if item is None or not (item["fields"] or item["f"] or item["df"]):  # options that leave nothing to fit
        return None
    cost = {"f_evaluations": item["f"], "grad_evaluations": item["df"], "seconds": item["seconds"]}
    return {"fields": item["fields"], **cost}


def fits(plan: Plan, items: Items) -> list[dict[str, Any]]:
    """What fitting cost, once per estimator label: label, fits, f_evaluations, grad_evaluations, seconds."""
    found = {(cell.problem, cell.estimator.id): (cell, fit(plan, cell, items)) for cell in plan.cells}
    costs: dict[str, dict[str, Any]] = {}
    for cell, cost in found.values():
        if cost is not None:
            label = cell.estimator.label
            so_far = costs.setdefault(label, {"label": label, "fits": 0} | dict.fromkeys(COSTS, 0))
            costs[label] = so_far | {"fits": so_far["fits"] + 1} | {name: so_far[name] + cost[name] for name in COSTS}
    return list(costs.values())


def precision_reached(plan: Plan, found: Sequence[Finding]) -> str | None:
    """For a config with a precision: how many of the sampled cells that have results reached it, and the worst.

    None without a precision. A cell that failed, in whichever metric, is no result.
    """
    wanted = plan.config.precision
    if wanted is None:
        return None
    from estbench.intervals import precision  # noqa: PLC0415 - metrics alone need scipy

    shards = [f.shards for f in found if f.shards is not None and f.row["status"] == "ok"]
    errors = np.array([precision(each, wanted.metric) for each in shards])
    errors[np.isnan(errors)] = np.inf  # too few finite estimates to say
    reached, worst, cells = int((errors <= wanted.relative).sum()), errors.max(initial=0.0), len(errors)
    return (
        f"precision: {reached} of {cells} cells have a relative standard error of {wanted.metric} of at most "
        f"{wanted.relative:g}; the worst has {worst:.2g}"
    )
