"""The largest N of each estimator whose estimate costs at most a given budget."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Literal

from estbench.catalogue import estimator, facts_of
from estbench.config.schema import MAX_ELEMENTS
from estbench.engine.limit import limited
from estbench.engine.tasks import Group, problem_of
from estbench.engine.tasks.cost import evaluations
from estbench.errors import UsageError
from estbench.expand import skip_reason
from estbench.plan import EstimatorSpec, Plan, ProblemSpec
from estbench.streams import Streams

MOST = 2**16
"""The largest N that is looked for: more samples for one estimate are worth no comparison of estimators."""


def plan_within(
    planned: Callable[[tuple[int, ...]], Plan],
    at: Literal["samples", "evaluations"],
    budget: float,
    timeout: float | None = None,
) -> Plan:
    """The plan in which each estimator has one N on each problem: the largest that costs at most `budget`.

    `planned` gives the plan for some N. Evaluations are counted; they never fall with N. Where no N is cheap enough, it
    is the smallest that the estimator takes. The same holds where counting takes longer than `timeout` seconds. No N is
    larger than `MOST`, or takes more than MAX_ELEMENTS random numbers, whatever the budget.
    """
    if budget < 1:
        raise UsageError(f"budget: expected at least 1, got {budget:g}")
    smallest = planned((1,))
    most = min([budget, MOST, *(MAX_ELEMENTS // problem.numbers for problem in smallest.problems)])
    chosen: dict[tuple[int, str], int] = {}
    for cell in smallest.cells:
        problem = smallest.problems[cell.problem]
        chosen[cell.problem, cell.estimator.id] = _largest(
            problem, cell.estimator, at, budget, int(most), smallest.config.seed, timeout
        )
    plan = planned(tuple(sorted(set(chosen.values()))))
    kept = tuple(cell for cell in plan.cells if chosen[cell.problem, cell.estimator.id] == cell.samples)
    return replace(plan, cells=kept)


def least_for_all(plan: Plan) -> int:
    """The smallest N that all estimators of a plan take, of those that can be built."""
    least, multiple = 1, 1
    for spec in {cell.estimator.id: cell.estimator for cell in plan.cells}.values():
        with suppress(Exception):  # the cell says why it cannot be built
            facts = facts_of(estimator(spec))
            least, multiple = max(least, facts.min_samples), math.lcm(multiple, facts.multiple)
    return -(-least // multiple) * multiple


def _largest(
    problem: ProblemSpec, spec: EstimatorSpec, at: str, budget: float, most: int, seed: int, timeout: float | None
) -> int:
    try:
        facts = facts_of(estimator(spec))
    except Exception:  # the cell says why it cannot be built
        return 1
    first = -(-facts.min_samples // facts.multiple) * facts.multiple
    taken = range(first, most + 1, facts.multiple)
    if not taken or skip_reason(facts, problem, first) is not None:  # it needs a larger N, or serves no such problem
        return first
    if at == "samples":
        return taken[-1]

    def cost(N: int) -> int:
        counted = evaluations(estimator(spec), problem_of(problem, "cpu"), N, Streams(seed, "budget", range(1)))
        return counted.f + counted.df

    try:
        with Group(spec, ()).isolated(problem, seed, "budget"), limited(timeout):
            end = 1
            while end < len(taken) and cost(taken[end]) <= budget:  # a large N takes long to be counted
                end *= 2
            fitting = bisect_right(taken, budget, end // 2, min(end, len(taken)), key=cost)
            return taken[max(0, fitting - 1)]
    except Exception:  # the cell says why it fails
        return taken[0]
