"""Estimators of users in trainings: numbers that they make themselves, and failures on the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from estbench.config import load
from estbench.engine.benchmark import Benchmark
from estbench.engine.executors import Execution
from estbench.engine.tasks import Group, Looked, TrajectoryTask
from estbench.engine.tasks.group import RANDOM, is_own
from estbench.expand import expand
from estbench.plan import Given
from tests.trainings.own import Noisy

NOISY, FALLING = "tests.trainings.own:Noisy", "tests.trainings.own:Falling"
TRAJECTORY: dict[str, Any] = {
    "kind": "trajectory",
    "objective": "quadratic",
    "distribution": "bernoulli",
    "dimensions": 2,
    "logits": 0.3,
    "training": {"steps": 4, "seeds": 3, "learning_rate": 0.1},
    "checkpoints": [0, 4],
}
NETWORK: dict[str, Any] = {
    "kind": "network",
    "network": {"name": "vae", "hidden": 3},
    "distribution": "bernoulli",
    "dimensions": 2,
    "training": {"estimator": ["own"], "epochs": 3, "batch": 600, "seeds": 2},
    "checkpoints": [0, 1, 3],
}


def results(folder: Path, problem: dict[str, Any], *estimators: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables of a run."""
    config = {"name": "x", "replicates": 32, "problems": [problem], "estimators": list(estimators)}
    for _ in Benchmark.of(config, folder).run(Execution(workers=1)):
        pass
    return pd.read_csv(folder / "results.csv"), pd.read_csv(folder / "training.csv")


@pytest.mark.slow
@pytest.mark.parametrize("problem", [TRAJECTORY, NETWORK], ids=["trajectory", "network"])
def test_what_makes_random_numbers_of_its_own_has_no_exact_row(problem: dict[str, Any], tmp_path: Path) -> None:
    """The rows say why, sampled ones are there, and those of reinforce beside it are exact."""
    rows, _ = results(tmp_path / "x", problem, NOISY, "reinforce")
    own, ours = (rows[(rows.method == "exact") & (rows.label == label)] for label in (NOISY, "reinforce"))
    assert set(own.reason) == {RANDOM}
    assert set(ours.status) == set(rows[rows.method == "monte_carlo"].status) == {"ok"}


def task(*steps: int) -> TrajectoryTask:
    """The trajectory of the noisy estimator, measured at some steps."""
    plan = expand(load({"name": "x", "problems": [TRAJECTORY], "estimators": [NOISY]}))
    spec, cell = plan.problems[0], plan.cells[0]
    assert spec.at is not None
    looked = tuple(Looked(step, f"{method}{step}", method) for step in steps for method in ("exact", "monte_carlo"))
    return TrajectoryTask(spec, spec.at.training_of(cell.estimator, 1), steps, looked, "noise", 0)


def test_measuring_does_not_change_the_training() -> None:
    """Steps 0, 2 and 4 looked at, or step 4 alone: the logits at step 4 are the same, and what is measured there."""
    many, one = ({r["key"]: r for r in task(*steps).perform()} for steps in ((0, 2, 4), (4,)))
    assert len(many) == 3 * len(one) == 9
    assert all(many[key] == record for key, record in one.items())


def test_an_estimator_that_was_given_itself_is_a_users_too() -> None:
    """It has no name of the catalogue's, is isolated, and is asked for random numbers of its own."""
    of = task(4).training.by
    assert of is not None
    given = replace(of, name="Noisy", given=Given(Noisy()))
    assert is_own(given)
    assert Group(given, ()).plugin
    assert not is_own(None)
    done = replace(task(4), training=replace(task(4).training, by=given)).perform()
    assert {r["key"]: r.get("reason") for r in done if r["kind"] == "seeds"} == {"exact4": RANDOM, "monte_carlo4": None}


@pytest.mark.slow
@pytest.mark.parametrize(("problem", "reached"), [(TRAJECTORY, [0]), (NETWORK, [0, 1])], ids=["trajectory", "network"])
def test_a_training_that_fails_keeps_what_it_has_reached(
    problem: dict[str, Any], reached: list[int], tmp_path: Path
) -> None:
    """Cells at checkpoints before are done, those after it fail with the reason, and losses so far are recorded."""
    steps = {"name": FALLING, "anneal": {"slope": [1.0, 0.01 if problem is NETWORK else 0.001]}}
    rows, training = results(tmp_path / "x", problem, steps)
    assert sorted(set(rows[rows.status == "ok"].checkpoint)) == reached
    failed = rows[rows.status == "failed"]
    assert sorted(set(failed.checkpoint)) == sorted(set(problem["checkpoints"]) - set(reached))
    assert failed.reason.str.contains("training: ").all()
    assert failed.reason.str.contains("too steep").all()
    assert sorted(set(training[training.trained_by != "exact"].checkpoint)) == reached
