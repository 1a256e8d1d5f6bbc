"""The largest N of each estimator whose estimate costs at most a given budget."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from estbench.catalog import estimator, facts_of
from estbench.draws import Streams
from estbench.engine.limit import limited
from estbench.engine.tasks import Group, problem_of
from estbench.engine.tasks.cost import evaluations
from estbench.errors import UsageError
from estbench.expand import skip_reason
from estbench.plan import EstimatorSpec, Plan, ProblemSpec


def plan_within(
    planned: Callable[[tuple[int, ...]], Plan],
    at: Literal["samples", "evaluations"],
    budget: float,
    timeout: float | None = None,
) -> Plan:
    """The plan in which each estimator has one N on each problem: the largest that costs at most `budget`.

    `planned` gives the plan for some N. Evaluations are counted; they never fall with N. Where no N is cheap enough, it
    is the smallest that the estimator takes. The same holds where counting takes longer than `timeout` seconds.
    """
    if budget < 1:
        raise UsageError(f"budget: expected at least 1, got {budget:g}")
    smallest = planned((1,))
    chosen: dict[tuple[int, str], int] = {}
    for cell in smallest.cells:
        problem = smallest.problems[cell.problem]
        chosen[cell.problem, cell.estimator.id] = _largest(
            problem, cell.estimator, at, budget, smallest.config.seed, timeout
        )
    plan = planned(tuple(sorted(set(chosen.values()))))
    kept = tuple(cell for cell in plan.cells if chosen[cell.problem, cell.estimator.id] == cell.samples)
    return replace(plan, cells=kept)


def _largest(
    problem: ProblemSpec, spec: EstimatorSpec, at: str, budget: float, seed: int, timeout: float | None
) -> int:
    try:
        facts = facts_of(estimator(spec))
    except Exception:  # the cell says why it cannot be built
        return 1
    taken = [N for N in range(1, int(budget) + 1) if skip_reason(facts, problem, N) is None]
    if not taken:  # it needs a larger N, or does not serve the problem
        return facts.min_samples
    if at == "samples":
        return taken[-1]

    def cost(N: int) -> int:
        counted = evaluations(estimator(spec), problem_of(problem, "cpu"), N, Streams(seed, "budget", range(1)))
        return counted.f + counted.df

    try:
        with Group(spec, ()).isolated(problem, seed, "budget"), limited(timeout):
            return taken[max(0, bisect_right(taken, budget, key=cost) - 1)]
    except Exception:  # the cell says why it fails
        return taken[0]
