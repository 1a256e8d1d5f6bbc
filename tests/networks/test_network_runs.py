"""Runs with networks: from a config to results, resumed, by several workers, and read without the code."""

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
from estbench.expand import expand
from estbench.plan import plan_of
from estbench.plots.checkpoints import of_training
from estbench.store import decode, encode, merge, read
from estbench.store.records import canonical, line

NETWORK: dict[str, Any] = {
    "kind": "network",
    "network": {"name": "vae", "hidden": 4},
    "distribution": "categorical",
    "dimensions": 2,
    "categories": 3,
    "training": {"estimator": ["exact", "own"], "epochs": 2, "batch": 400, "seeds": 3, "learning_rate": 0.02},
    "checkpoints": [0, 2],
}
CONFIG: dict[str, Any] = {
    "name": "small",
    "replicates": 48,
    "samples": [1, 2],
    "problems": [NETWORK, {"objective": "quadratic", "distribution": "bernoulli", "logits": 0.5}],
    "estimators": ["ste", "rloo", {"name": "gumbel", "anneal": {"temperature": [1.0, 0.3]}}],
}


def finished(folder: Path, workers: int = 1, config: dict[str, Any] = CONFIG) -> Path:
    """The folder of a finished run of a config."""
    for _ in Benchmark.of(config, folder).run(Execution(workers=workers)):
        pass
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    return finished(tmp_path_factory.mktemp("network") / "small")


def test_results_say_where_in_the_training_they_are(run: Path) -> None:
    """Networks have a kind, a checkpoint, what trained them, a part and a batch; toys have only the kind."""
    frame = pd.read_csv(run / "results.csv")
    toys, trained = frame[frame.kind == "toy"], frame[frame.kind == "network"]
    assert toys[["network", "checkpoint", "trained_by", "parameters", "batch"]].isna().all(axis=None)
    assert set(trained.network) == {"vae[hidden=4]"}
    done = trained[trained.status == "ok"]
    assert set(done.trained_by) == {
        "exact", "ste", "ste N=2", "rloo N=2", "gumbel[temperature=1→0.3]", "gumbel[temperature=1→0.3] N=2",
    }  # fmt: skip
    assert set(trained.checkpoint) == {0, 2}
    assert set(trained.batch) == {400}
    own = done[done.trained_by == "rloo N=2"]
    assert set(own.label) == {"rloo"}
    assert set(own.samples) == {2}
    annealed = toys[toys.label.str.startswith("gumbel[")]
    assert annealed.reason.str.contains("options change while a network is trained").all()


def test_exact_and_sampled_rows_agree(run: Path) -> None:
    """Where a row is exact, the sampled one beside it has it in its intervals of 95 %, in at least 15 of 18 of them."""
    frame = pd.read_csv(run / "results.csv")
    frame = frame[(frame.kind == "network") & (frame.label == "ste")]
    keys = ["problem", "samples"]
    both = frame[frame.method == "exact"].merge(frame[frame.method == "monte_carlo"], on=keys, suffixes=("", "_mc"))
    assert len(both) == 8
    inside = [
        both[f"{metric}_low_mc"].le(both[metric]) & both[metric].le(both[f"{metric}_high_mc"])
        for metric in ("variance", "bias_squared")
    ]
    assert np.concatenate(inside).sum() >= 13
    assert not frame["flags"].fillna("").str.contains("exact_disagrees").any()


def test_training_begins_alike_and_goes_down(run: Path) -> None:
    """All begin with the same losses; the exact gradient lowers that of each seed; an interval over seeds is given."""
    frame = pd.read_csv(run / "training.csv")
    start = frame[(frame.checkpoint == 0) & (frame.data == "valid")]
    assert start.loss.nunique() == 1
    exact = frame[(frame.trained_by == "exact") & (frame.checkpoint == 2)]
    assert (exact.share_worse == 0).all()
    assert (exact.loss < start.loss.iloc[0]).all()
    assert (exact.loss_low < exact.loss).all()
    assert (exact.loss < exact.loss_high).all()
    assert set(frame.seeds) == {3}


def test_the_share_of_open_gates_is_told_beside_its_target(tmp_path: Path) -> None:
    """For both sets of data, with an interval over seeds; networks without gates have neither."""
    gates = {
        "kind": "network",
        "network": {"name": "gates", "units": 2, "target": 0.2},
        "distribution": "bernoulli",
        "dimensions": 2,
        "training": {"estimator": "exact", "epochs": 1, "batch": 400, "seeds": 3},
        "checkpoints": [0, 1],
    }
    config = {"name": "gates", "replicates": 32, "samples": 1, "problems": [gates], "estimators": ["ste"]}
    frame = pd.read_csv(finished(tmp_path / "gates", config=config) / "training.csv")
    assert len(frame) == 4
    assert (frame.open_target == 0.2).all()
    assert frame.open_share.between(frame.open_share_low, frame.open_share_high).all()
    assert frame.open_share.between(0.3, 0.7).all()


def test_a_network_without_gates_has_no_share_that_is_open(run: Path) -> None:
    """Its columns are empty."""
    assert pd.read_csv(run / "training.csv")[["open_share", "open_target"]].isna().all(axis=None)


BOUNDED: dict[str, Any] = {
    "name": "bounded",
    "replicates": 32,
    "samples": 2,
    "problems": [
        {
            **NETWORK,
            "network": network,
            "distribution": "bernoulli",
            "categories": None,
            "training": {"estimator": ["exact", "own"], "epochs": 1, "batch": 400, "seeds": 2, "importance_samples": K},
            "checkpoints": [0, 1],
        }
        for network, K in (({"name": "vae", "hidden": 4}, 20), ({"name": "sbn", "hidden": 4, "layers": 2}, 3))
    ],
    "estimators": ["ste"],
}
BOUNDED["problems"] = [{k: v for k, v in problem.items() if v is not None} for problem in BOUNDED["problems"]]
BOUNDS = ["importance_weighted", "importance_weighted_low", "importance_weighted_high", "importance_samples"]


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with importance-weighted bounds."""
    return finished(tmp_path_factory.mktemp("network") / "bounded", config=BOUNDED)


def without_bounds(config: dict[str, Any]) -> dict[str, Any]:
    """The config that does not ask for them."""
    training = {key: value for key, value in config["problems"][0]["training"].items() if key != "importance_samples"}
    return config | {"problems": [problem | {"training": training} for problem in config["problems"]]}


def test_the_importance_weighted_bound_is_told_beside_the_likelihood(bounded: Path) -> None:
    """With K and an interval over seeds, for both sets of data; it lies between −log p and the loss.

    Before the training it is that of the same samples, whatever trains.
    """
    frame = pd.read_csv(bounded / "training.csv")
    assert frame["importance_samples"].tolist() == [20] * 8 + [3] * 8
    assert (
        frame["importance_weighted"].between(frame["importance_weighted_low"], frame["importance_weighted_high"]).all()
    )
    assert (frame["importance_weighted"] < frame["loss"]).all()
    assert (frame["importance_weighted"] > frame["nll"] - 0.02).all()
    start = frame[frame["checkpoint"] == 0].groupby(["network", "data"])["importance_weighted"]
    assert set(start.nunique()) == {1}
    assert set(start.size()) == {2}


@pytest.mark.slow
def test_a_run_without_bounds_is_as_it_was(bounded: Path, tmp_path: Path) -> None:
    """Its plan and its config do not say that it has none; its tables are those of the run with them, but for these."""
    config = without_bounds(BOUNDED)
    plain = finished(tmp_path / "bounded", config=config)
    assert (plain / "results.csv").read_bytes() == (bounded / "results.csv").read_bytes()
    for name in ("manifest.json", "journal.jsonl", "training.csv"):
        assert b"importance" not in (plain / name).read_bytes()
        assert b"weighted" not in (plain / name).read_bytes()
    frame = pd.read_csv(bounded / "training.csv", dtype=str)
    pd.testing.assert_frame_equal(frame.drop(columns=BOUNDS), pd.read_csv(plain / "training.csv", dtype=str))
    with pytest.raises(UsageError, match=r"problems: removed or changed"):
        finished(plain, config=BOUNDED)


@pytest.mark.slow
def test_a_run_with_bounds_goes_on(bounded: Path, tmp_path: Path) -> None:
    """Cut off after its first training and taken up again, it has the same bytes; it is read from its manifest, too."""
    lines = (bounded / "journal.jsonl").read_bytes().splitlines(keepends=True)
    first = next(i for i, text in enumerate(lines) if b'"kind":"trained"' in text)
    folder = Path(shutil.copytree(bounded, tmp_path / "bounded"))
    (folder / "journal.jsonl").write_bytes(b"".join(lines[: first + 1]))
    finished(folder, config=BOUNDED)
    for name in ("results.csv", "training.csv"):
        assert (folder / name).read_bytes() == (bounded / name).read_bytes()
    plan = plan_of(json.loads((folder / "manifest.json").read_text()), "here")
    assert [p.at.training.importance_samples for p in plan.problems if p.at] == [20] * 4 + [3] * 4


@pytest.mark.parametrize("damage", ["short", "gone at one epoch", "gone at all"])
def test_bounds_that_are_not_those_of_the_training_are_refused(bounded: Path, tmp_path: Path, damage: str) -> None:
    """Those of too few seeds, and epochs without them, are named with their line, whatever the checksum says."""
    folder = Path(shutil.copytree(bounded, tmp_path / "run"))
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    for number, text in enumerate(lines):
        records = json.loads(text)["records"]
        for record in records:
            if record["kind"] == "trained":
                array = record.pop("valid_weighted")
                if damage == "short":
                    record["valid_weighted"] = encode(decode(array, (-1,))[1:])
                if damage != "gone at all":
                    break
        if any(record["kind"] == "trained" for record in records):
            lines[number] = line(canonical(records))
            if damage != "gone at all":
                break
    (folder / "journal.jsonl").write_bytes(b"".join(lines))
    with pytest.raises(ResultsError, match=r"journal.jsonl, line \d+: damaged"):
        read(folder)


def test_bounds_that_nothing_asked_for_are_refused(run: Path, tmp_path: Path) -> None:
    """A journal that has them where its manifest does not ask for them is another's."""
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    number = next(i for i, text in enumerate(lines) if b'"kind":"trained"' in text)
    records = json.loads(lines[number])["records"]
    for record in records:
        if record["kind"] == "trained":
            record |= {"train_weighted": record["train"], "valid_weighted": record["valid"]}
    lines[number] = line(canonical(records))
    (folder / "journal.jsonl").write_bytes(b"".join(lines))
    with pytest.raises(ResultsError, match="it has not the importance-weighted bounds of its training"):
        read(folder)


def test_a_training_has_one_number_of_importance_samples() -> None:
    """Two problems that train the same networks, and a sweep, are refused if they differ in it, with both numbers."""
    first, _ = BOUNDED["problems"]
    other = first | {"parameters": "decoder", "training": first["training"] | {"importance_samples": 5}}
    none = other | {"training": without_bounds(BOUNDED)["problems"][0]["training"]}
    for second, got in ((other, 5), (none, "none")):
        said = (
            rf"problems\[1\].training.importance_samples: got {got}, and problems\[0\], which .*, has 20; .*give both"
        )
        with pytest.raises(UsageError, match=said):
            load(BOUNDED | {"problems": [first, second]})
    load(BOUNDED | {"problems": [first, other | {"training": first["training"]}]})
    swept = without_bounds(BOUNDED)["problems"][0] | {"sweep": {"training.importance_samples": [1, 5]}}
    with pytest.raises(UsageError, match=r"sweep.training.importance_samples\[1\]: got 5, and problems\[0\].*, has 1;"):
        load(BOUNDED | {"problems": [swept]})


@pytest.mark.parametrize(
    ("by", "samples", "alike"),
    [("exact", (1, 2), True), ("ste", (1, 2), False), (["ste", "own"], (1, 1), True), ("rloo", (1, 1), False)],
)
def test_networks_that_are_trained_by_others_have_bounds_of_their_own(
    by: Any, samples: tuple[int, int], alike: bool
) -> None:
    """Only what is trained once has one number of samples: by the same estimator at the same N, or exactly."""
    trainers = "ste" if by == "rloo" else by, by
    first, second = (
        BOUNDED["problems"][0]
        | {"parameters": part, "training": {"estimator": one, "epochs": 1, "samples": N, "importance_samples": K}}
        for part, one, N, K in zip(("encoder", "decoder"), trainers, samples, (20, 5), strict=True)
    )
    if alike:
        with pytest.raises(UsageError, match="trains the same networks"):
            load(BOUNDED | {"problems": [first, second]})
    else:
        load(BOUNDED | {"problems": [first, second]})


def test_importance_samples_of_a_training_that_has_begun_cannot_change(bounded: Path, tmp_path: Path) -> None:
    """They are named, with those that there are and the two ways out, also where runs of one name are merged."""
    first, second = BOUNDED["problems"]
    other = first | {"training": first["training"] | {"importance_samples": 5}}
    with pytest.raises(
        UsageError, match=r"importance_samples of vae.*, trained by exact: was 20, now 5 \(.*keeps"
    ) as said:
        finished(bounded, config=BOUNDED | {"problems": [other, second]})
    assert "Start over with --fresh (it deletes that run), or write elsewhere with -o." in str(said.value)
    config = without_bounds(BOUNDED | {"problems": [first | {"parameters": "all"}]})
    plain = finished(tmp_path / "bounded", config=config)
    with pytest.raises(UsageError, match=r"importance_samples of vae.*: was 20, now null") as said:
        merge([bounded, plain], tmp_path / "both")
    assert f"does not fit {plain}; nothing was merged" in str(said.value)


@pytest.mark.slow
def test_workers_change_no_byte(run: Path, tmp_path: Path) -> None:
    """Three workers give the same tables."""
    other = finished(tmp_path / "three", workers=3)
    for name in ("results.csv", "training.csv"):
        assert (other / name).read_bytes() == (run / name).read_bytes()


@pytest.mark.slow
def test_interruptions_change_no_byte(run: Path, tmp_path: Path) -> None:
    """A run cut off in the middle of its journal and taken up again gives the same tables."""
    lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    for cut in (len(lines) // 2,):
        folder = tmp_path / f"cut{cut}"
        shutil.copytree(run, folder)
        (folder / "journal.jsonl").write_bytes(b"".join(lines[:cut]))
        finished(folder)
        for name in ("results.csv", "training.csv"):
            assert (folder / name).read_bytes() == (run / name).read_bytes()


def test_a_run_grows_in_replicates(tmp_path: Path) -> None:
    """It keeps its trainings, and ends with the bytes of a run that had so many from the beginning."""
    network = {**NETWORK, "training": {"epochs": 0, "batch": 20, "seeds": 1}, "checkpoints": [0]}
    less, more = ({**CONFIG, "problems": [network], "estimators": ["ste"], "replicates": R} for R in (32, 64))
    folder = finished(tmp_path / "grown", config=less)
    before = trained(folder)
    finished(folder, config=more)
    assert trained(folder) == before
    whole = finished(tmp_path / "whole", config=more)
    assert (folder / "results.csv").read_bytes() == (whole / "results.csv").read_bytes()


def trained(folder: Path) -> dict[Any, Any]:
    """What a run has recorded of its trainings."""
    return {item: result for item, result in read(folder).items.items() if item[0] == "trained"}


def test_a_run_whose_data_have_changed_does_not_go_on(tmp_path: Path) -> None:
    """What is in a file of data is part of the training: the run is refused, and left as it was."""
    path = tmp_path / "a.npy"
    np.save(path, np.eye(9))
    network = {**NETWORK, "data": str(path), "training": {"epochs": 1, "batch": 2, "seeds": 1}, "checkpoints": [0]}
    config = {"name": "x", "replicates": 32, "problems": [network], "estimators": ["ste"]}
    folder = finished(tmp_path / "run", config=config)
    before = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    np.save(path, np.eye(9)[::-1])
    with pytest.raises(UsageError, match=r"data .*a\.npy: what is in it has changed since"):
        finished(folder, config=config | {"estimators": ["ste", "rloo"]})
    assert {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()} == before
    np.save(path, np.eye(9))
    finished(folder, config=config | {"estimators": ["ste", "rloo"]})


def test_a_run_is_read_without_torch(run: Path) -> None:
    """Status, export, compare and plot take a run with networks."""
    for arguments in (["status"], ["export", "--format", "json"], ["compare"]):
        done = CliRunner().invoke(app, [arguments[0], str(run), *arguments[1:]])
        assert done.exit_code == 0, done.output
    rows = json.loads(CliRunner().invoke(app, ["export", str(run), "--format", "json"]).stdout)
    assert {row["kind"] for row in (rows["results"] if isinstance(rows, dict) else rows)} == {"toy", "network"}


@pytest.mark.parametrize("name", ["valid", "train", "parameters", "train_nll", "valid_nll"])
def test_losses_that_are_not_those_of_the_training_are_refused(run: Path, tmp_path: Path, name: str) -> None:
    """An epoch that lacks losses, or numbers, of other epochs is named with its line, whatever its checksum says."""
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    number = next(i for i, text in enumerate(lines) if b'"kind":"trained"' in text)
    records = json.loads(lines[number])["records"]
    damaged = next(record for record in records if record["kind"] == "trained")
    if name == "valid":
        del damaged[name]
    else:
        damaged[name] = encode(decode(damaged[name], (-1,))[1:])
    lines[number] = line(canonical(records))
    (folder / "journal.jsonl").write_bytes(b"".join(lines))
    with pytest.raises(ResultsError, match=r"journal.jsonl, line \d+: damaged"):
        read(folder)


def test_runs_that_say_optimizer_are_read(run: Path) -> None:
    """The plan of a manifest with the old spelling is that with the new one."""
    text = (run / "manifest.json").read_text()
    old = text.replace('"optimiser"', '"optimizer"')
    assert old != text
    assert plan_of(json.loads(old), "here") == plan_of(json.loads(text), "here")


def test_configs_go_round() -> None:
    """What `resolve` gives loads as the same config."""
    for given in (CONFIG, BOUNDED):
        config = load(given)
        assert load(resolve(config)) == config


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"network": "vea"}, r"network\.name: unknown network 'vea'. Did you mean 'vae'"),
        ({"network": {"name": "vae", "hiden": 3}}, r"unknown key 'hiden'. Did you mean 'hidden'"),
        ({"training": {"epoch": 2}}, r"training\.epoch: unknown key 'epoch'. Did you mean 'epochs'"),
        ({"training": {"optimizer": "sgd"}}, r"training\.optimizer: unknown key 'optimizer'. Did you mean 'optimiser'"),
        ({"training": {"estimator": "stee"}}, "unknown estimator 'stee'"),
        ({"training": {"batch": 5000}}, r"training\.batch: 5000 examples, but digits has 1297"),
        ({"training": {"importance_samples": 0}}, r"training\.importance_samples: .*0"),
        ({"training": {"importance_sample": 5}}, r"unknown key 'importance_sample'. Did you mean 'importance_samples'"),
        ({"checkpoints": [0, 70]}, r"checkpoints: epoch 70 is after the end"),
        ({"parameters": "encode"}, r"parameters: the network has no 'encode'; it has all, logits, encoder"),
        ({"categories": None}, "categorical variables need categories"),
        ({"dimensions": 20}, r"3\^20 joint states of a layer are more than 65536"),
        ({"data": "nowhere.npy"}, "data: images nowhere.npy: cannot be read"),
        ({"kind": "netwrok"}, "kind: expected toy, network or trajectory, got 'netwrok'"),
        ({"logits": 0.0}, "unknown key 'logits'"),
    ],
)
def test_what_is_wrong_is_said_where_it_is(change: dict[str, Any], said: str) -> None:
    """One message for each fault, at its path, with what is allowed."""
    problem = {key: value for key, value in {**NETWORK, **change}.items() if value is not None}
    with pytest.raises(UsageError, match=said):
        load({**CONFIG, "problems": [problem]})


def test_annealed_options_are_numbers_of_the_estimator() -> None:
    """An option that is not there, one that is no number, and an end that the estimator refuses are faults."""
    for anneal, said in (
        ({"temprature": [1, 2]}, "gumbel has no number 'temprature'"),
        ({"temperature": [1, 0]}, "a number > 0"),
        ({"temperature": [1]}, "anneal"),
    ):
        with pytest.raises(UsageError, match=said):
            load({**CONFIG, "estimators": [{"name": "gumbel", "anneal": anneal}]})
    with pytest.raises(UsageError, match="the temperature is given and annealed"):
        load({**CONFIG, "estimators": [{"name": "gumbel", "temperature": 1.0, "anneal": {"temperature": [1, 2]}}]})


def test_joint_states_of_two_layers_are_those_of_both() -> None:
    """Two layers of 2^9 states each are refused, and one is not."""
    problem = {"kind": "network", "distribution": "bernoulli", "dimensions": 9, "training": {"batch": 10}}
    load({**CONFIG, "problems": [{**problem, "network": "sbn"}]})
    with pytest.raises(UsageError, match="262144 joint states of all layers"):
        load({**CONFIG, "problems": [{**problem, "network": {"name": "sbn", "layers": 2}}]})


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("optimiser", "sgd", "sgd 0.003"),
        ("learning_rate", 0.5, "adam 0.5"),
        ("batch", 7, "batch 7"),
        ("epochs", 3, "epochs 3"),
        ("seeds", 4, "seeds 4"),
        ("data", None, "data "),
    ],
)
def test_trainings_that_differ_are_told_apart(key: str, value: object, said: str, tmp_path: Path) -> None:
    """In labels, in what training.csv calls the problem, and in all keys; what is said is not a hash."""
    np.save(tmp_path / "a.npy", np.zeros((200, 64)))
    plain = {**NETWORK, "training": {"estimator": ["exact", "own", "ste"]}, "checkpoints": [0]}
    training = plain["training"] if key == "data" else {**plain["training"], key: value}
    other = {**plain, "training": training} | ({"data": str(tmp_path / "a.npy")} if key == "data" else {})
    plan = expand(load({**CONFIG, "problems": [plain, other]}))
    one, two = plan.problems[:3], plan.problems[3:]
    assert len({p.label for p in plan.problems}) == 6
    assert "#" not in "".join(p.label for p in plan.problems)
    assert all(said in p.label and said in p.at.training.subject for p in two if p.at)
    assert not any(said in p.label for p in one)
    assert len({p.at.training.subject for p in plan.problems if p.at}) == 2
    assert len({p.at.training.id for p in plan.problems if p.at}) == 6
    assert len({cell.key for cell in plan.cells}) == len(plan.cells)


def test_trajectories_that_differ_are_told_apart() -> None:
    """Steps and seeds are said; logits that are too long to be said are told apart by a hash, in training.csv too."""
    plain = {"kind": "trajectory", "objective": "quadratic", "distribution": "bernoulli", "logits": 0.0}
    others = [{**plain, "training": {"seeds": 4}}, {**plain, "training": {"steps": 5}}]
    others += [{**plain, "dimensions": 9, "logits": [0.0] * 8 + [end]} for end in (0.0, 1.0)]
    plan = expand(load({**CONFIG, "problems": [plain, *others]}))
    subjects = list(dict.fromkeys(p.at.training.subject for p in plan.problems if p.at))
    assert len(subjects) == 5
    assert subjects[1].endswith(", seeds 4")
    assert subjects[2].endswith(", steps 5")
    assert len({p.label for p in plan.problems}) == len(plan.problems)
    assert len({of_training(p.label) for p in plan.problems}) == 5  # figures take all checkpoints of one together
