"""What a run will cost, before it is run: replicates, and evaluations from the declared facts."""

from __future__ import annotations

from typing import Any

from estbench.estimators.base import evaluations
from estbench.plan import Plan


def forecast(plan: Plan) -> dict[str, list[dict[str, Any]]]:
    """For each problem one row per cell: its replicates and evaluations of f and ∇f in all, or why it is skipped."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for cell in plan.cells:
        spec = plan.problems[cell.problem]
        row: dict[str, Any] = {
            "estimator": cell.estimator.label,
            "τ": cell.temperature,
            "N": cell.samples,
            "method": {"monte_carlo": "MC"}.get(cell.method, cell.method),
            "note": "to run" if cell.reason is None else f"skipped: {cell.reason}",
            "replicates": None,
            "f": None,
            "∇f": None,
        }
        if cell.reason is None and cell.method == "monte_carlo":
            facts, R = cell.estimator.build(cell.temperature).facts, plan.layouts[cell.problem].replicates
            D, K = spec.dimensions, spec.categories or 2
            f, df = (R * evaluations(count, D, K, cell.samples) for count in (facts.f, facts.df))
            row |= {"replicates": R, "f": f, "∇f": df}
        rows.setdefault(spec.label, []).append(row)
    return rows
