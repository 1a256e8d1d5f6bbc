"""The largest N that a budget allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest

from estbench import Bernoulli
from estbench.api.estimators import choices
from estbench.api.measuring import planned, problems
from estbench.budget import MOST, plan_within
from estbench.plan import Plan


def plans(estimators: list[Any], logits: list[float]) -> Callable[[tuple[int, ...]], Plan]:
    """The plan of estimators for some N."""
    chosen, on = choices(estimators), problems("quadratic", Bernoulli(logits), None)
    return lambda N: planned(chosen, on, samples=N, methods=("monte_carlo",), replicates=64)


@pytest.mark.parametrize("at", ["samples", "evaluations"])
def test_a_budget_beyond_all_bounds(at: Literal["samples", "evaluations"]) -> None:
    """No N is larger than MOST, a multiple of what the estimator takes: a large budget is no long list."""
    plan = plan_within(plans(["reinforce", "disarm"], [0.5]), at, 1e12)
    assert [cell.samples for cell in plan.cells] == [MOST, MOST]


def test_what_many_variables_leave() -> None:
    """An estimate has no more random numbers than a config may ask for."""
    (cell,) = plan_within(plans(["reinforce"], [0.5] * 1000), "samples", 1e12).cells
    assert cell.samples == 2**24 // 1000


@pytest.mark.parametrize("budget", range(1, 14))
def test_the_largest_that_fits(budget: int) -> None:
    """N is the largest multiple whose count of evaluations is within the budget; else the smallest."""
    plan = plan_within(plans(["reinforce", "rloo", "disarm", "enumerate"], [0.5, 1.0]), "evaluations", budget)
    found = {cell.estimator.label: cell.samples for cell in plan.cells}
    enumerated = budget if budget >= 4 else 1  # its cost is that of all states, whatever N
    assert found == {
        "reinforce": budget, "rloo": max(2, budget), "disarm": max(1, budget // 2), "enumerate": enumerated
    }  # fmt: skip
