"""A look at a plan before a long run: do all roads lead to the same gradient, do claims hold, how long will it take?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from estbench.engine.executors import settle
from estbench.engine.stages import groups_of
from estbench.engine.tasks import CostTask, problem_of
from estbench.plan import Plan
from estbench.preflight.claims import contradictions
from estbench.preflight.duration import START, durations
from estbench.problem import Problem, make

MAX_FOR_DIFFERENCES = 2**12
STEP = 1e-4
_REPLICATES = 8192
OK, UNKNOWN = "ok", "no exact gradient, so no bias"


@dataclass(frozen=True)
class Check:
    """What was found: one row per problem, a line for each claim of an estimator that is false, and the time.

    A row says by which road the exact gradient is found, and how far, relative to ‖g‖, enumeration and central
    differences are from it; – where a road is closed. The seconds are those that the run will take on one core, about
    (see `durations`), from those of every cell on its own on a small draw.
    """

    rows: list[dict[str, Any]]
    false_claims: list[str]
    seconds: float

    @property
    def well(self) -> bool:
        """Whether nothing is wrong."""
        return all(row["verdict"] in (OK, UNKNOWN) for row in self.rows)


def checked(plan: Plan) -> Check:
    """Look at each problem of a plan, and at the cells that are not skipped."""
    settle()
    rows: list[dict[str, Any]] = []
    seconds: dict[str, float] = {}
    false: dict[tuple[str, str], list[str]] = {}
    for i, spec in enumerate(plan.problems):
        problem = problem_of(spec, "cpu")
        cells = [cell for cell in plan.cells if cell.problem == i and cell.reason is None]
        groups, labels = groups_of(cells), {cell.variant: cell.estimator.label for cell in cells}
        records = CostTask(spec, groups, plan.config.seed, _REPLICATES).perform()
        seconds |= {r["key"]: r["seconds"] for r in records if r["kind"] == "cost"}
        failures = [r["reason"] for r in records if r["kind"] == "failed"]
        found = roads(problem)
        sound = found["verdict"] in (OK, UNKNOWN)
        claims = list(contradictions(problem, groups, records)) if sound else []
        for variant, kind, text in claims:
            label = labels[variant]
            false.setdefault((label, kind), []).append(f"{label}: {text} ({spec.label})")
        if failures:
            found["verdict"] = f"{len(failures)} cells will fail: {failures[0]}"
        elif claims:
            found["verdict"] = "claims are false"
        rows.append({"problem": spec.label, "s": None, "verdict": "", **found})
    lines = [one if not more else f"{one}, and {len(more)} times more" for one, *more in false.values()]
    each = durations(plan, seconds)
    for row, spent in zip(rows, each, strict=True):
        row["s"] = f"{spent:.2g}" if spent < 10 else f"{spent:.0f}"
    return Check(rows, lines, START + sum(each))


def roads(problem: Problem) -> dict[str, Any]:
    """How the exact gradient is found, and by how much the roads to it differ."""
    true = problem.true
    found: dict[str, Any] = {"gradient": problem.route, "enumeration": None, "differences": None}
    if true is None or not bool(true.isfinite().all()):
        return found | {"verdict": UNKNOWN if true is None else "the gradient is not finite"}
    others: dict[str, tuple[Tensor, float, float]] = {}  # the gradient, how far it may be off, and its rounding by f
    if problem.route == "closed form" and problem.enumerable:
        others["enumeration"] = problem.by_enumeration(), 1e-9, 1.0
    if problem.n_states <= MAX_FOR_DIFFERENCES:
        others["differences"] = differences(problem), 1e-5, 1 / STEP
    rounding = 16 * torch.finfo(torch.float64).eps * _size(problem) if others else 0.0
    wrong = False
    for road, (other, relative, scale) in others.items():
        apart, norm = float((other - true).norm()), float(true.norm())
        found[road] = f"{apart / max(norm, 1e-12):.0e}"
        wrong = wrong or apart > relative * norm + scale * rounding
    return found | {"verdict": "the roads disagree: the objective is wrong" if wrong else OK}


def _size(problem: Problem) -> float:
    """E |f(z)|: what rounding is relative to."""
    o = problem.oracle
    return float(sum(P @ o.f(z).abs() for z, P in o.enumerate()))


def differences(problem: Problem, step: float = STEP) -> Tensor:
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
