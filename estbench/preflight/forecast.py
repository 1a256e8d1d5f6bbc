"""The number of replicates and of evaluations of f and ∇f that a run will take."""

from __future__ import annotations

from typing import Any

from estbench.catalogue import estimator, facts_of
from estbench.engine.tasks import problem_of
from estbench.estimators.base import evaluations
from estbench.exact import why_not
from estbench.exact.batched import why_not_batched
from estbench.plan import Cell, Plan
from estbench.trainings.seeds import ESTIMATES


def forecast(plan: Plan) -> dict[str, list[dict[str, Any]]]:
    """For each problem one row per cell: its replicates and evaluations of f and ∇f in all, or why it is skipped."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for cell in plan.cells:
        spec, reason = plan.problems[cell.problem], skipped(plan, cell)
        row: dict[str, Any] = {
            "estimator": cell.estimator.label,
            "τ": cell.temperature,
            "N": cell.samples,
            "method": {"monte_carlo": "MC"}.get(cell.method, cell.method),
            "note": "to run" if reason is None else f"skipped: {reason}",
            "replicates": None,
            "f": None,
            "∇f": None,
        }
        if reason is None and cell.method == "monte_carlo":
            facts, R = facts_of(estimator(cell.estimator)), _replicates(plan, cell)
            D, K = spec.dimensions, spec.classes
            f, df = (R * evaluations(count, D, K, cell.samples) for count in (facts.f, facts.df))
            row |= {"replicates": R, "f": f, "∇f": df}
        rows.setdefault(spec.label, []).append(row)
    return rows


def skipped(plan: Plan, cell: Cell) -> str | None:
    """Why a cell will be skipped: it makes no sense, or there are no exact moments; None if it will not."""
    spec = plan.problems[cell.problem]
    if cell.reason is not None or cell.method != "exact" or spec.kind == "network":
        return cell.reason
    try:
        problem = problem_of(spec, "cpu")
    except Exception:  # its objective is a user's; the run tells why its cells fail
        return None
    if spec.at is not None:
        return why_not_batched(problem, estimator(cell.estimator), cell.samples, spec.at.training.seeds)
    return why_not(problem, estimator(cell.estimator), cell.samples)


def _replicates(plan: Plan, cell: Cell) -> int:
    """The estimates that are measured: at a checkpoint of a trajectory two a seed, those of its steps left out."""
    at = plan.problems[cell.problem].at
    if at is not None and at.training.kind == "trajectory":
        return ESTIMATES * at.training.seeds
    return plan.layouts[cell.problem].replicates
