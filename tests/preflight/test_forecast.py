"""What is said of a run before it is run: what will be skipped, and how long it takes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from estbench import catalogue
from estbench.config import load
from estbench.engine.benchmark import Benchmark
from estbench.engine.tasks import problem_of
from estbench.exact import Unavailable, exact
from estbench.expand import expand
from estbench.plan import Plan
from estbench.preflight.check import checked
from estbench.preflight.duration import START, durations
from estbench.preflight.forecast import forecast, skipped
from tests.sizes import SMALL, at_whole_size

ROOT = Path(__file__).resolve().parents[2]
MANY = [0.1] * 21
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
                    problem_of(plan.problems[cell.problem], "cpu"),
                    catalogue.estimator(cell.estimator),
                    cell.samples,
                )
                reason = None
            except Unavailable as why:
                reason = str(why)
            assert skipped(plan, cell) == reason
            reasons.add(reason)
    assert reasons == {
        None,
        "2^21 joint states are more than 1048576",
        "2199024304128 multisets of 2 out of 2^21 joint states are more than 65536",
        "over 10^15 multisets of 9 out of 2^21 joint states are more than 65536",
        "noise is integrated for one variable only",
        "noise is integrated for at most 4 classes",
        "no exact moments: not a function of z alone, nor smooth in few uniforms",
    }


def test_four_classes_are_promised_and_delivered() -> None:
    """Noise of four classes is integrated, of as many as are promised."""
    problems = [{"objective": "quadratic", "distribution": "categorical", "logits": [[0.2, -0.5, 0.4, 0.0]]}]
    (cell,) = plan_of(methods=["exact"], problems=problems, samples=[1], estimators=["gumbel"]).cells
    assert skipped(plan := plan_of(methods=["exact"], problems=problems), cell) is None
    assert exact(problem_of(plan.problems[0], "cpu"), catalogue.estimator(cell.estimator), 1).route == "quadrature"


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
        exact(problem_of(plan.problems[0], "cpu"), catalogue.estimator(cell.estimator), 1)


def duration(**changes: Any) -> float:
    """The forecast for a plan of the first problem where every estimate takes a millisecond."""
    plan = plan_of(**{"problems": CONFIG["problems"][:1], "estimators": ["ste"], "samples": [1], **changes})
    (found,) = durations(plan, {cell.key: 1e-3 for cell in plan.cells})
    return found


def test_time_grows_with_what_there_is_to_do() -> None:
    """Ten times the replicates take ten times as long; all N share the rows of the largest, but no joint estimates."""
    few, many = (duration(methods=["monte_carlo"], replicates=R) for R in (10**6, 10**7))
    assert (many - few) == pytest.approx(9 * 10**3, rel=0.05)
    rows = duration(methods=["monte_carlo"], replicates=10**7, samples=[2, 4])
    joint = duration(methods=["monte_carlo"], replicates=10**7, samples=[2, 4], estimators=["rloo"])
    assert rows == pytest.approx(10**4, rel=0.05)
    assert joint == pytest.approx(2 * 10**4, rel=0.05)


def test_exact_moments_take_time_too() -> None:
    """They take a millisecond for each of the states, or of the nodes, which are the more the more axes there are."""
    assert duration(methods=["exact"]) == pytest.approx(4e-3, rel=0.01)  # two states, and what every cell costs
    of_multisets = duration(methods=["exact"], samples=[13], estimators=["rloo"])
    assert of_multisets == pytest.approx(2e-3 + 14 * 1e-3, rel=0.01)  # 13 samples of two states: 0 to 13 of the first
    of_rows = duration(methods=["exact"], samples=[13])
    assert of_rows == pytest.approx(2e-3 + 2 * 1e-3 / 13, rel=0.01)  # a row for each state
    line = duration(methods=["exact"], estimators=["gumbel"])
    plane = duration(methods=["exact"], estimators=["gumbel"], problems=CONFIG["problems"][3:4])
    assert line == pytest.approx(2, rel=0.1)
    assert plane == pytest.approx(50, rel=0.1)
    again = duration(methods=["exact"], estimators=["gumbel"], samples=[1, 2, 4])
    assert again == pytest.approx(line / 4, rel=0.02)  # integrated once for all N, by rows of a quarter of N = 4
    assert duration(methods=["exact"], estimators=["spsa"]) < 0.01
    assert duration(methods=["exact"], estimators=["gumbel"], problems=CONFIG["problems"][1:2]) < 0.01


def test_fits_take_time_too() -> None:
    """A fit is counted for each temperature, and timed but once: fifty of them are said without doing them."""
    fitted = ["relax[steps=200]"]
    one = duration(methods=["exact"], estimators=fitted, problems=CONFIG["problems"][1:2])
    assert one > 0.01  # on two variables there are no exact moments: what is left are the fits
    start = time.perf_counter()
    temperatures = [0.1 + 0.01 * i for i in range(50)]
    many = duration(methods=["exact"], estimators=fitted, problems=CONFIG["problems"][1:2], temperatures=temperatures)
    assert many > 3 * (time.perf_counter() - start) > 0


@at_whole_size
@pytest.mark.slow
@pytest.mark.parametrize("name", ["bernoulli"] if SMALL else ["bernoulli", "temperature_exact", "control_variate"])
def test_forecast_against_the_run(name: str, tmp_path: Path) -> None:
    """The seconds that `check` says are those of the run, start apart, within a factor of 4 (2 on an idle machine)."""
    benchmark = Benchmark.of(ROOT / "configs" / f"{name}.yaml", tmp_path / "run")
    said = checked(benchmark.plan).seconds - START
    start = time.process_time()
    for _ in benchmark.run():
        pass
    assert 1 / 4 < said / (time.process_time() - start) < 4
