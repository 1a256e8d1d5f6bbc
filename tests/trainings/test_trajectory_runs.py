"""Runs with trajectories: from a config to results, resumed, by several workers, and what is wrong with a config."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from estbench.cli.app import app
from estbench.config import load, resolve
from estbench.engine.benchmark import Benchmark
from estbench.engine.executors import Execution
from estbench.errors import ResultsError, UsageError
from estbench.store import decode, encode, read
from estbench.store.records import canonical, line

TRAJECTORY: dict[str, Any] = {
    "kind": "trajectory",
    "objective": {"name": "quadratic", "target": 0.49},
    "distribution": "bernoulli",
    "logits": 0.0,
    "training": {"optimiser": "adam", "learning_rate": 0.02, "steps": 60, "seeds": 30},
    "checkpoints": [0, 60],
    "curl": True,
}
CONFIG: dict[str, Any] = {
    "name": "small",
    "replicates": 48,
    "samples": [1, 2],
    "problems": [TRAJECTORY, {"objective": "quadratic", "distribution": "bernoulli", "logits": 0.5}],
    "estimators": ["ste", "rloo", "disarm", "relax", {"name": "gumbel", "anneal": {"temperature": [1.0, 0.3]}}],
}


def finished(folder: Path, workers: int = 1, config: dict[str, Any] = CONFIG) -> Path:
    """The folder of a finished run of a config."""
    for _ in Benchmark.of(config, folder).run(Execution(workers=workers)):
        pass
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    return finished(tmp_path_factory.mktemp("trajectory") / "small")


def test_rows_say_where_they_are_and_that_they_are_means_over_seeds(run: Path) -> None:
    """Rows of trajectories have a step, what trained them, and the number of seeds; a toy has only the kind."""
    frame = pd.read_csv(run / "results.csv")
    toys, rows = frame[frame.kind == "toy"], frame[frame.kind == "trajectory"]
    assert toys[["checkpoint", "trained_by", "seeds", "curl"]].isna().all(axis=None)
    done = rows[rows.status == "ok"]
    assert set(done.checkpoint) == {0, 60}
    assert set(done.seeds) == {30}
    assert set(done.parameters) == {"logits"}
    assert done[["network", "batch"]].isna().all(axis=None)
    assert {"ste", "ste N=2", "rloo N=2", "gumbel[temperature=1→0.3] N=2"} <= set(done.trained_by)
    assert (done[done.method == "monte_carlo"].replicates == 60).all()
    skipped = rows[(rows.method == "exact") & rows.label.isin(["disarm", "relax"])]
    assert skipped.reason.str.contains("depend on the samples alone").all()


def test_exact_rows_are_exact(run: Path) -> None:
    """At the start all seeds are at logit 0: bias and variance of ste there are those of the closed form, to 1e-12."""
    frame = pd.read_csv(run / "results.csv")
    row = frame[(frame.kind == "trajectory") & (frame.label == "ste") & (frame.method == "exact")].iloc[0]
    first, second = (0.25 * 2 * (z - 0.49) for z in (1.0, 0.0))
    g = 0.25 * (0.51**2 - 0.49**2)
    assert row.bias_norm == pytest.approx(abs((first + second) / 2 - g), rel=1e-12)
    assert row.variance == pytest.approx((first - second) ** 2 / 4, rel=1e-12)
    assert row.variance_low == pytest.approx(row.variance_high)
    assert row.bias_verdict in ("biased", "unbiased")
    assert row.curl == 0


def test_training_has_the_exact_path_as_its_reference(run: Path) -> None:
    """All begin at one loss; the exact path goes down for all seeds alike, and lowest; ‖g‖ is recorded."""
    frame = pd.read_csv(run / "training.csv")
    start, end = (frame[frame.checkpoint == step].set_index("trained_by") for step in (0, 60))
    assert start.loss.nunique() == 1
    assert (start.share_worse == 0).all()
    exact = end.loc["exact"]
    assert exact.loss_q05 == exact.loss_q95
    assert exact.loss < start.loss.iloc[0]
    assert exact.share_worse == 0
    assert end.loc["ste"].share_worse > 0
    assert np.isfinite(end.true_norm).all()
    assert set(frame.kind) == {"trajectory"}


@pytest.mark.slow
def test_workers_and_interruptions_change_no_byte(run: Path, tmp_path: Path) -> None:
    """Two workers, and a run cut off in the middle of a training and taken up again, give the same tables."""
    other = finished(tmp_path / "two", workers=2)
    tables = ("results.csv", "training.csv")
    assert all((other / name).read_bytes() == (run / name).read_bytes() for name in tables)
    lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    for cut in (len(lines) // 2, len(lines) - 1):
        folder = tmp_path / f"cut{cut}"
        shutil.copytree(run, folder)
        (folder / "journal.jsonl").write_bytes(b"".join(lines[:cut]))
        finished(folder)
        assert all((folder / name).read_bytes() == (run / name).read_bytes() for name in tables)


def test_a_run_grows(run: Path, tmp_path: Path) -> None:
    """An estimator that is added later leaves the other rows as they are."""
    folder = tmp_path / "more"
    shutil.copytree(run, folder)
    finished(folder, config=CONFIG | {"estimators": [*CONFIG["estimators"], "reinforce"]})
    old, new = (pd.read_csv(f / "training.csv") for f in (run, folder))
    kept = new[~new.trained_by.str.startswith("reinforce")].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, old)


def test_a_run_grows_in_replicates(run: Path, tmp_path: Path) -> None:
    """Those of problems at given logits; trajectories have seeds, and stay as they are."""
    folder = Path(shutil.copytree(run, tmp_path / "more"))
    finished(folder, config=CONFIG | {"replicates": 2 * CONFIG["replicates"]})
    frames = (pd.read_csv(f / "results.csv") for f in (run, folder))
    old, new = (frame[frame.kind == "trajectory"] for frame in frames)
    pd.testing.assert_frame_equal(old, new)
    assert (folder / "training.csv").read_bytes() == (run / "training.csv").read_bytes()


def test_commands_take_such_a_run(run: Path) -> None:
    """Status, export, compare and plot read it."""
    for arguments in (["status"], ["export", "--format", "json"], ["compare"]):
        done = CliRunner().invoke(app, [arguments[0], str(run), *arguments[1:]])
        assert done.exit_code == 0, done.output


def test_a_failing_training_fails_its_cells_alone(tmp_path: Path) -> None:
    """With the link identity a step leaves (0, 1): its cells fail, with the reason; those before it are kept."""
    problem = {
        **TRAJECTORY,
        "distribution": {"name": "bernoulli", "link": "identity"},
        "logits": 0.5,
        "training": {"optimiser": "sgd", "learning_rate": 100.0, "steps": 2, "seeds": 3},
        "checkpoints": [0, 2],
    }
    config = {"name": "x", "methods": ["monte_carlo"], "problems": [problem], "estimators": ["reinforce"]}
    frame = pd.read_csv(finished(tmp_path / "x", config=config) / "results.csv")
    assert list(frame.status) == ["ok", "failed"]
    assert "training: " in frame.reason[1]
    assert "strictly between 0 and 1" in frame.reason[1]


def test_configs_go_round() -> None:
    """What `resolve` gives loads as the same config."""
    config = load(CONFIG)
    assert load(resolve(config)) == config
    drawn = load(CONFIG | {"problems": [TRAJECTORY | {"logits": {"normal": {"scale": 0.5, "seed": 3}}}]})
    assert load(resolve(drawn)) == drawn


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"checkpoints": [0, 61]}, "checkpoints: step 61 is after the end of the training; steps: 60"),
        ({"training": {"step": 3}}, r"training\.step: unknown key 'step'. Did you mean 'steps'"),
        ({"training": {"seeds": 1}}, r"training\.seeds: expected a number ≥ 2"),
        ({"training": {"seeds": 1000}, "dimensions": 100_000}, r"training\.seeds: 100000000 logits in all are more"),
        ({"checkpoint": [0]}, "unknown key 'checkpoint'. Did you mean 'checkpoints'"),
        ({"logits": "a"}, "logits: expected a number"),
        ({"logits": {"normal": {"scal": 1}}}, r"logits\.normal\.scal: unknown key 'scal'. Did you mean 'scale'"),
        ({"objective": "quadratc"}, r"objective\.name: unknown objective 'quadratc'. Did you mean 'quadratic'"),
        ({"objective": "mlp", "dimensions": 13}, "objective: mlp has no closed form of E f"),
        ({"tie": True}, "tie: the logits of a trajectory are not tied"),
        ({"kind": "trajectry"}, "kind: expected toy, network or trajectory, got 'trajectry'"),
        ({"curl": 1}, "curl: expected true or false"),
    ],
)
def test_what_is_wrong_is_said_where_it_is(change: dict[str, Any], said: str) -> None:
    """One message for each fault, at its path, with what is allowed."""
    with pytest.raises(UsageError, match=said):
        load({**CONFIG, "problems": [{**TRAJECTORY, **change}]})


def test_a_trajectory_is_swept_as_any_problem() -> None:
    """Keys of the start and of the training may be swept."""
    swept = {key: value for key, value in TRAJECTORY.items() if key != "logits"}
    swept |= {"sweep": {"dimensions": [1, 2], "logits": [0.0, 1.0]}}
    assert len(load({**CONFIG, "problems": [swept]}).problems) == 4


@pytest.mark.parametrize(
    ("kind", "field", "said"),
    [
        ("trained", "gradient", "it has not a loss of each seed"),
        ("trained", "train", "it has not a loss of each seed"),
        ("trained", "parameters", "not as long as those of another epoch"),
        ("seeds", "variance", "it has no variance"),
        ("seeds", "bias_norm", "it has no bias_norm"),
        ("seeds", "seeds", "it is of other seeds than the 30 of its training"),
        ("seeds", "non_finite", "it is of other seeds than the 30 of its training"),
    ],
)
def test_a_record_of_wrong_length_is_refused(run: Path, tmp_path: Path, kind: str, field: str, said: str) -> None:
    """Also where all epochs agree in it: the file and the line are named, whatever the checksum says."""
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    for i, text in enumerate(lines):
        records = json.loads(text)["records"]
        for record in records:
            if record["kind"] != kind or (kind == "seeds" and field not in record | record.get("means", {})):
                continue
            if isinstance(record.get(field), int):
                record[field] += 1
            elif kind == "seeds":
                del record["means"][field]
            elif field != "parameters" or record["key"].endswith("/0"):
                record[field] = encode(decode(record[field], (-1,))[1:])
        lines[i] = line(canonical(records)) if i else text
    (folder / "journal.jsonl").write_bytes(b"".join(lines))
    with pytest.raises(ResultsError, match=rf"journal.jsonl, line \d+: damaged.*{said}"):
        read(folder)


def test_logits_without_their_gradients_are_refused(run: Path, tmp_path: Path) -> None:
    """Also where no step of the training has them."""
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    for i, text in enumerate(lines[1:], 1):
        records = json.loads(text)["records"]
        for record in records:
            record.pop("gradient", None)
        lines[i] = line(canonical(records))
    (folder / "journal.jsonl").write_bytes(b"".join(lines))
    with pytest.raises(ResultsError, match=r"journal.jsonl, line \d+: damaged.*it has no gradient"):
        read(folder)
