"""`estbench compare` on a problem of the command line, on a config, and at a budget; nothing is written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from estbench import Bernoulli, compare
from estbench.cli.app import app
from estbench.offers import FILES
from tests.api.functions import coupled

FUNCTION = "tests.api.functions:coupled"
CONFIG = """
name: both
replicates: 512
samples: [1, 2, 4]
temperatures: [0.5, 1.0]
problems:
  - {objective: quadratic, distribution: bernoulli, logits: [0.5, -1.0]}
  - {objective: mlp, distribution: bernoulli, logits: [0.5, -1.0]}
estimators: [ste, rloo, gumbel, enumerate]
"""


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    yield
    FILES.clear()


def said(*arguments: str, code: int = 0) -> str:
    """What the command prints, all of it."""
    done = CliRunner().invoke(app, ["compare", *arguments])
    found = str(done.exception) if done.exception and not isinstance(done.exception, SystemExit) else done.output
    assert code in (done.exit_code, 2), found  # an error of usage is an exception here
    return found


def rows(*arguments: str) -> list[dict[str, Any]]:
    """The rows of the comparison."""
    found: list[dict[str, Any]] = json.loads(said(*arguments, "--format", "json"))
    return found


def test_a_function_of_a_module(tmp_path: Path) -> None:
    """--objective takes module:f: the numbers of `estbench.compare`, for any number of processes."""
    options = ("--objective", FUNCTION, "--logits", "[0.5, -1]", "--estimators", "rloo,ste,arm", "--replicates", "256")
    at = ("--at", "evaluations", "--budget", "4", "--seed", "3")
    one, two = (rows(*options, *at, "-j", jobs) for jobs in ("1", "2"))
    assert one == two
    expected = compare(["rloo", "ste", "arm"], f=coupled, distribution=Bernoulli([0.5, -1.0]), replicates=256, seed=3,
                       at="evaluations", budget=4)  # fmt: skip
    assert [(r["name"], r["samples"]) for r in one] == list(zip(expected["name"], expected["samples"], strict=True))
    assert [r["ratio"] for r in one] == pytest.approx(list(expected["ratio"]), rel=1e-12)
    assert not list(tmp_path.iterdir())


def test_an_objective_of_categories() -> None:
    """Rows of logits are of categorical variables; N and temperatures are given."""
    found = rows(
        "--objective", "mlp[seed=2]", "--logits", "[[0.5, -1, 0]]", "--estimators", "gumbel,reinforce",
        "--samples", "1,2", "--temperatures", "0.5,1", "--replicates", "64",
    )  # fmt: skip
    assert {r["samples"] for r in found} == {1, 2}
    assert {r["temperature"] for r in found} == {0.5, 1.0, None}
    assert "categorical D=1 K=3" in found[0]["problem"]


def test_a_config(tmp_path: Path) -> None:
    """A config is measured in memory; over its problems there is the mean ratio, at each temperature."""
    (tmp_path / "both.yaml").write_text(CONFIG)
    text = said("both.yaml", "--reference", "rloo", "--metric", "variance", "--budget", "2")
    assert "All 2 problems  budget of 2 samples" in text
    head, *means = text[text.index("All 2 problems") :].splitlines()[1:5]
    assert head.split()[:3] == ["estimator", "τ", "mean"]
    shown = {tuple(line.split()[:2]) for line in means}
    assert shown <= {("gumbel", "1"), ("gumbel", "0.5"), ("ste", "–"), ("enumerate", "–")}
    assert {("gumbel", "1"), ("gumbel", "0.5")} <= shown
    assert [path.name for path in tmp_path.iterdir()] == ["both.yaml"]


def test_the_suite_at_a_budget() -> None:
    """On the suite too each estimator has the largest N that fits."""
    found = rows("--estimators", "ste,arm", "--at", "evaluations", "--budget", "3")
    assert {(r["name"], r["samples"]) for r in found} == {("ste", 3), ("arm", 1)}


REFUSED = {
    ("--estimators", "ste", "--logits", "[1]"): "--logits goes with --objective",
    ("--estimators", "ste", "--samples", "2"): "--samples goes with --objective or a config",
    ("--estimators", "ste", "--objective", "quadratic"): "--objective needs --logits",
    ("--estimators", "ste", "--objective", "quadratic", "--logits", "x"): "--logits: expected numbers",
    ("--estimators", "ste", "--objective", "quadratic", "--logits", "[[1]]"): "K ≥ 2",
    ("--estimators", "ste", "--objective", "quadratik", "--logits", "[1]"): "Did you mean 'quadratic'",
    ("--estimators", "st", "--objective", "quadratic", "--logits", "[1]"): "Did you mean 'ste'",
    ("--objective", "quadratic", "--logits", "[1]"): "give --estimators",
    ("x.yaml", "--objective", "quadratic", "--logits", "[1]"): "does not go with run folders or a config",
    ("--estimators", "ste", "--objective", "quadratic", "--logits", "[1]", "--samples", "a"): "--samples: expected",
    ("--estimators", "arm,ste", "--budget", "1", "--at", "evaluations"): "no estimate of arm costs so few",
}


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_refused(arguments: tuple[str, ...]) -> None:
    """Options that contradict each other, and values that are none, are refused with what is allowed."""
    assert REFUSED[arguments] in said(*arguments, code=2)


def test_the_temperature_of_a_reference() -> None:
    """It is measured once, and all are compared with it; so in Python."""
    options = ("--objective", "quadratic", "--logits", "[0.5]", "--estimators", "gumbel,rloo", "--samples", "2")
    reference = "gumbel[temperature=0.5]"
    found = rows(*options, "--temperatures", "0.5,1", "--reference", reference, "--replicates", "64")
    assert sorted((r["name"], r["temperature"]) for r in found if r["name"] == "gumbel") == [
        ("gumbel", 0.5), ("gumbel", 1.0),
    ]  # fmt: skip
    assert {r["reference_temperature"] for r in found} == {0.5}
    frame = compare(["gumbel", "rloo"], f="quadratic", distribution=Bernoulli([0.5]), samples=2, replicates=64,
                    temperatures=[0.5, 1], reference=reference)  # fmt: skip
    assert frame["ratio"].tolist() == [r["ratio"] for r in found]


SLOW = """
import time

def sleeps(logits, f, samples):
    if logits.abs().max() == 1:
        time.sleep(60)
    return 0 * logits

def f(z):
    time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.parametrize("named", ["sleeps", "file:sleeps"])
def test_an_estimator_that_hangs(tmp_path: Path, named: str) -> None:
    """It is given up, by whatever name it is known, and the others are compared."""
    file = tmp_path / "hangs_here.py"
    file.write_text(SLOW)
    options = ("--objective", "quadratic", "--logits", "[0.5, -1]", "--samples", "2", "--replicates", "64")
    name = named.replace("file", str(file))
    plugin = () if ":" in named else ("--plugin", str(file))
    text = said(*options, "--estimators", f"rloo,{name}", *plugin, "--cell-timeout", "1", code=3)
    assert re.search(r"(took|takes) longer than 1 s \(--cell-timeout\)", text)  # in its call, or as it is built
    assert "1  rloo" in text


@pytest.mark.slow
@pytest.mark.parametrize("named", ["f", "file:f"])
def test_an_objective_that_hangs(tmp_path: Path, named: str) -> None:
    """The command ends with a message."""
    file = tmp_path / "hangs_there.py"
    file.write_text(SLOW)
    name, plugin = named.replace("file", str(file)), () if ":" in named else ("--plugin", str(file))
    options = ("--objective", name, "--logits", "[0.5]", "--estimators", "rloo", "--samples", "2")
    text = said(*options, *plugin, "--cell-timeout", "1", code=2)
    assert f"--objective {name}: " in text
    assert "takes longer than 1 s (--cell-timeout)" in text


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("weight", "code"), [("1e-120", 0), ("1e120", 3)])
def test_what_is_beyond_the_range_of_numbers(weight: str, code: int) -> None:
    """Where the metrics of all cells are no floats that is said of each; numpy warns of nothing."""
    options = ("--logits", "[0.3]", "--estimators", "rloo,reinforce", "--replicates", "256", "--samples", "2")
    result = CliRunner().invoke(app, ["compare", "--objective", f"linear[weights=[{weight}]]", *options])
    assert result.exit_code == code
    assert ("failed in 1 cell: its metrics are beyond the range of float64" in result.output) is (code == 3)
