"""What a run will cost, before it is run: evaluations from the declared facts, and the replicates to be made."""

from __future__ import annotations

from typing import Any

from estbench.estimators.base import evaluations
from estbench.plan import Plan


def forecast(plan: Plan) -> list[dict[str, Any]]:
    """One row per cell: what it is, its replicates, and the evaluations of f and ∇f it asks for in all, or why not."""
    rows = []
    for cell in plan.cells:
        spec, layout = plan.problems[cell.problem], plan.layouts[cell.problem]
        row: dict[str, Any] = {
            "problem": spec.label,
            "estimator": cell.estimator.label,
            "τ": cell.temperature,
            "N": cell.samples,
            "method": cell.method,
        }
        if cell.reason is None:
            facts = cell.estimator.build(cell.temperature).facts
            D, K = spec.dimensions, spec.categories or 2
            R = 1 if cell.method == "exact" else layout.replicates
            f, df = (R * evaluations(count, D, K, cell.samples) for count in (facts.f, facts.df))
            row |= {"replicates": None if cell.method == "exact" else R, "f": f, "∇f": df, "note": ""}
            if cell.method == "exact":
                row |= {"f": None, "∇f": None}
        else:
            row |= {"replicates": None, "f": None, "∇f": None, "note": f"skipped: {cell.reason}"}
        rows.append(row)
    return rows
