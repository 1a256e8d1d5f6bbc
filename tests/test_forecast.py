"""What is said of a run before it is run: what will be skipped, and how long it takes."""

from __future__ import annotations

import time
from typing import Any

import pytest

from estbench.config import load
from estbench.engine.exact import Unavailable, exact
from estbench.engine.forecast import forecast, skipped
from estbench.engine.tasks import problem_of
from estbench.plan import Plan, expand

MANY = [0.1] * 20
CONFIG: dict[str, Any] = {
    "name": "forecast",
    "samples": [1, 2, 9],
    "replicates": 512,
    "temperatures": [0.7],
    "problems": [
        {"objective": "quadratic", "distribution": "bernoulli", "logits": [0.6]},
        {"objective": "mlp", "distribution": "bernoulli", "logits": [0.6, -0.2]},
        {"objective": "quadratic", "distribution": "bernoulli", "logits": MANY},
        {"objective": "quadratic", "distribution": "categorical", "logits": [[0.2, -0.5, 0.4]]},
        {"objective": "quadratic", "distribution": "categorical", "logits": [[0.2, -0.5, 0.4, 0.0, 0.1]]},
    ],
    "estimators": ["reinforce", "rloo", "gumbel", "spsa", "reinforce[baseline=moving_average]"],
}


def plan_of(**changes: Any) -> Plan:
    """The plan of the config with these changes."""
    return expand(load({**CONFIG, **changes}, []))


def test_what_will_be_skipped_is_known_before() -> None:
    """An exact cell is forecast as skipped if and only if the engine skips it, and with the same reason."""
    plan, reasons = plan_of(methods=["exact"]), set()
    for cell in plan.cells:
        if cell.reason is None:
            try:
                exact(
                    problem_of(plan.problems[cell.problem], "cpu"), cell.estimator.build(cell.temperature), cell.samples
                )
                reason = None
            except Unavailable as why:
                reason = str(why)
            assert skipped(plan, cell) == reason
            reasons.add(reason)
    assert reasons == {
        None,
        "2^20 joint states are more than 65536",
        "2^18 tuples of joint states are more than 65536",
        "2^40 tuples of joint states are more than 65536",
        "2^180 tuples of joint states are more than 65536",
        "5^9 tuples of joint states are more than 65536",
        "noise is integrated for one variable only",
        "noise is integrated for at most 4 classes",
        "no exact moments: not a function of z alone, nor smooth in few uniforms",
    }


def test_rows_say_what_will_be_skipped() -> None:
    """The rows of a forecast are to run or skipped with the reason, and Monte Carlo cells are not asked for moments."""
    plan = plan_of(methods=["exact", "monte_carlo"])
    notes = [row["note"] for rows in forecast(plan).values() for row in rows]
    assert len(notes) == len(plan.cells)
    assert notes.count("skipped: noise is integrated for one variable only") == 2 * 3
    assert notes.count("to run") == sum(skipped(plan, cell) is None for cell in plan.cells)


def test_an_unknown_gradient_is_foreseen() -> None:
    """Without a closed form and beyond 2^20 states there is no gradient; to be told so takes no enumeration."""
    problems = [{"objective": "mlp", "distribution": "bernoulli", "logits": 0.0, "dimensions": 20_000}]
    plan = plan_of(methods=["exact"], problems=problems, samples=[1], estimators=["reinforce"])
    (cell,) = plan.cells
    before = time.process_time()
    assert skipped(plan, cell) == "the exact gradient is not known: 2^20000 joint states"
    assert time.process_time() - before < 5
    with pytest.raises(Unavailable, match=r"2\^20000"):
        exact(problem_of(plan.problems[0], "cpu"), cell.estimator.build(None), 1)
