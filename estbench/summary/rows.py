"""From the journal of a run to its results: one tidy row per cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from estbench.columns import dtypes, names
from estbench.config.selector import format_value
from estbench.intervals import Shards, adjust, exact_metrics, exact_verdict, metrics, verdict
from estbench.moments import Moments
from estbench.plan import Cell, Plan
from estbench.store import decode
from estbench.summary.cells import Items, grouped, outcome, truth

WORSE = ": kinks in several axes, four axes of noise, or probabilities that uniforms next to 1 do not tell apart"
"""Why exact moments may be known to less than 1e-8."""

NOTHING = {"status": "failed", "reason": "every estimate is NaN or infinite"}


def results(plan: Plan, items: Items, correction: str = "holm") -> pd.DataFrame:
    """The results of all cells that are done, failed or skipped, in the order of the plan, with all columns.

    Bias verdicts rest on p-values adjusted over all Monte Carlo cells of the run.
    """
    rows, shards = [], []
    for cell in plan.cells:
        found = measured(plan, cell, items)
        if found is not None:
            rows.append(_identity(plan, cell) | found[0])
            shards.append(found[1])
    adjusted = adjust([row.get("bias_p_value", np.nan) for row in rows], correction)
    for row, s, p in zip(rows, shards, adjusted, strict=True):
        if s is not None:
            row["bias_verdict"] = verdict(s, float(p), plan.config.delta)
    return pd.DataFrame(rows, columns=names()).astype(dtypes())


def _identity(plan: Plan, cell: Cell) -> dict[str, Any]:
    spec, estimator = plan.problems[cell.problem], cell.estimator
    return {
        "problem": spec.label,
        "distribution": spec.distribution,
        "objective": _selector(spec.objective, spec.objective_options),
        "dimensions": spec.dimensions,
        "categories": spec.categories or 2,
        "logits": spec.logits_text,
        "estimator": estimator.name,
        "options": ",".join(f"{name}={format_value(value)}" for name, value in estimator.changed),
        "label": estimator.label,
        "temperature": np.nan if cell.temperature is None else cell.temperature,
        "samples": cell.samples,
        "method": cell.method,
    }


def _selector(name: str, options: tuple[tuple[str, Any], ...]) -> str:
    inside = ",".join(f"{option}={format_value(value)}" for option, value in options if value is not None)
    return f"{name}[{inside}]" if inside else name


def measured(plan: Plan, cell: Cell, items: Items) -> tuple[dict[str, Any], Shards | None] | None:
    """The rest of a row, and the shards that its verdict needs; None for a cell that is not done."""
    packed = outcome(plan, cell, items)
    if packed is None or isinstance(packed, dict):
        return None if packed is None else (packed, None)
    sampled, level = cell.method == "monte_carlo", plan.config.level
    replicates = {"replicates": len(packed) * plan.layouts[cell.problem].shard_size} if sampled else {}
    moments = Moments.unpack(grouped(packed), truth(plan, cell, items))
    if not moments.n.sum():
        return NOTHING | replicates, None
    found = {"status": "ok", "reason": "", **replicates}
    found |= metrics(moments, level) if sampled else _exact(plan, moments, items[("exact", cell.key, "")])
    cost = items[("cost", cell.key, "")]
    work = found["variance"] * (cost["f"] + cost["df"])
    found |= {"f_evaluations": cost["f"], "grad_evaluations": cost["df"], "work_normalised_variance": work}
    found["seconds_per_estimate"] = np.nan if cost["seconds"] is None else cost["seconds"]
    return found, Shards.of(moments, level) if sampled else None


def _exact(plan: Plan, moments: Moments, item: dict[str, Any]) -> dict[str, Any]:
    error, mean_error = (float(decode(item[name], ())) for name in ("error", "mean_error"))
    note = "" if error == 0 else f"{item['route']}, relative error {error:.0e}"
    note += WORSE if error > 1e-8 else ""
    said = {"reason": note, "bias_verdict": exact_verdict(moments, mean_error, plan.config.delta)}
    return said | exact_metrics(moments)
