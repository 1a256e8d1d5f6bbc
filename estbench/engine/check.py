"""A look at a plan before a long run: do all roads lead to the same gradient, and how long will it take?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from estbench.engine.executors import settle
from estbench.engine.stages import groups_of
from estbench.engine.tasks import CostTask, problem_of
from estbench.plan import Plan
from estbench.problem import Problem, make

MAX_FOR_DIFFERENCES = 2**12
_REPLICATES = 4096


def checked(plan: Plan) -> tuple[list[dict[str, Any]], float]:
    """One row per problem, and the seconds that the Monte Carlo part of the run will take on one core, about.

    A row says by which road the exact gradient is found, and how far, relative to ‖g‖, enumeration and central
    differences are from it; – where a road is closed. The time is that of every cell
    on its own on a small draw, scaled up: a run shares its draws and is faster.
    """
    settle()
    rows, seconds = [], 0.0
    for i, spec in enumerate(plan.problems):
        problem, layout = problem_of(spec, "cpu"), plan.layouts[i]
        cells = [cell for cell in plan.cells if cell.problem == i and cell.reason is None]
        sampled = {cell.key for cell in cells if cell.method == "monte_carlo"}
        records = CostTask(spec, groups_of(cells), plan.config.seed, _REPLICATES).perform()
        spent = sum(r["seconds"] for r in records if r["kind"] == "cost" and r["key"] in sampled)
        failures = [r["reason"] for r in records if r["kind"] == "failed"]
        seconds += spent * layout.replicates
        found = roads(problem)
        verdict = f"{len(failures)} cells will fail: {failures[0]}" if failures else found.pop("verdict")
        rows.append({"problem": spec.label, "s": f"{spent * layout.replicates:.2g}", "verdict": verdict, **found})
    return rows, seconds


def roads(problem: Problem) -> dict[str, Any]:
    """How the exact gradient is found, and by how much the roads to it differ."""
    true = problem.true
    apart: dict[str, float | None] = {"enumeration": None, "differences": None}
    if true is None or not bool(true.isfinite().all()):
        verdict = "no exact gradient, so no bias" if true is None else "the gradient is not finite"
        return {"gradient": problem.route, **apart, "verdict": verdict}
    if problem.route == "closed form" and problem.enumerable:
        apart["enumeration"] = _apart(problem.by_enumeration(), true)
    if problem.n_states <= MAX_FOR_DIFFERENCES:
        apart["differences"] = _apart(differences(problem), true)
    wrong = any(value is not None and value > limit for value, limit in zip(apart.values(), (1e-9, 1e-5), strict=True))
    shown = {road: None if value is None else f"{value:.0e}" for road, value in apart.items()}
    return {
        "gradient": problem.route,
        **shown,
        "verdict": "the roads disagree: the objective is wrong" if wrong else "ok",
    }


def differences(problem: Problem, step: float = 1e-4) -> Tensor:
    """∇ E f by central differences of E f enumerated: (E f(θ + h e) − E f(θ − h e))/2h, [P]."""
    logits = problem.oracle.distribution.logits
    rows = []
    for direction in torch.eye(logits.numel(), dtype=torch.float64).view(-1, *logits.shape):
        ahead, behind = (_expected(problem, logits + sign * step * direction) for sign in (1, -1))
        rows.append((ahead - behind) / (2 * step))
    return problem.project(torch.stack(rows).view_as(logits))


def _expected(problem: Problem, logits: Tensor) -> Tensor:
    moved = make(problem.objective, logits)
    return sum((P @ moved.f(z) for z, P in moved.enumerate()), torch.zeros((), dtype=torch.float64))


def _apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm().clamp(min=1e-12))
