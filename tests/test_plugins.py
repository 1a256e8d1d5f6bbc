"""Names of code of users: in files and modules, given by --plugin, and offered by installed packages."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from estbench import catalogue, guide, offers, plugins
from estbench.cli.app import app
from estbench.config import ProblemConfig, load
from estbench.config.plugged import in_form, named
from estbench.engine.benchmark import Benchmark
from estbench.engine.executors import Execution
from estbench.errors import UsageError
from tests.sizes import at_whole_size, thinned

FILE = '''
"""Code of a user."""

from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch

from estbench.estimators.base import Facts

SCALE = 1.0


class StraightThrough(torch.autograd.Function):
    """z, as if it were its mean."""

    @staticmethod
    def forward(ctx, logits):
        p = logits.sigmoid()
        ctx.save_for_backward(p)
        return torch.bernoulli(p)

    @staticmethod
    def backward(ctx, g):
        (p,) = ctx.saved_tensors
        return SCALE * g * p * (1 - p)


def leave_one_out(logits, f, samples):
    p = logits.sigmoid()
    z = (torch.rand(samples, *logits.shape) < p).double()
    fz = f(z)
    return ((fz - (fz.sum() - fz) / (samples - 1))[:, None] * (z - p)).mean(0)


def in_numpy(logits, f):
    p = 1 / (1 + np.exp(-logits))
    z = (np.random.rand(*p.shape) < p).astype(float)
    return f(z[None])[0] * (z - p)


def shrunk(rewards, factor: float = 1.0):
    return factor * (rewards - rewards.mean())


half = partial(shrunk, factor=0.5)


@dataclass(frozen=True)
class Plain:
    """f(z) s(z) less a constant, a standard dataclass."""

    baseline: float
    weights: list[float] = field(default_factory=lambda: [1.0])

    @property
    def facts(self):
        """Unbiased."""
        return Facts("score function", f=1)

    def rows(self, draw):
        return draw.lift(draw.fz - self.baseline) * draw.score


third = Plain(0.3)


def energy(z, a: float = 1.0):
    return torch.sin(a * z.sum(-1))


net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))


@dataclass(frozen=True)
class Sum:
    """The sum of the values, a standard dataclass."""

    factor: float = 1.0
    on = "values"
    distributions = frozenset({"bernoulli", "categorical"})

    def value(self, v):
        return self.factor * v.sum(-1)
'''

LISTED = '''
from dataclasses import dataclass
from typing import ClassVar
from estbench.estimators.base import BERNOULLI, Facts
from tests.coupled import Chain

@dataclass(frozen=True)
class Biased:
    """Half of REINFORCE."""
    facts: ClassVar[Facts] = Facts("score function", distributions=BERNOULLI, f=1, unbiased=False)

    def rows(self, draw):
        return draw.lift(draw.fz) * draw.score / 2

class NoEstimator:
    facts = 3

@dataclass(frozen=True)
class Sum:
    """The sum."""
    factor: float = 1.0
    on = "values"
    distributions = frozenset({"bernoulli", "categorical"})

    def value(self, v):
        return self.factor * v.sum(-1)

class Coupled(Chain):
    """A chain."""

summed = Sum(2.0)

def energy(z):
    return z.sum(-1)

def halved(logits, f, samples: int = 1):
    return 0 * logits
'''

SLEEPING = """
import time

@dataclass(frozen=True)
class Sleeping(Biased):
    def __post_init__(self):
        time.sleep(60)
"""

CONFIG: dict[str, Any] = {
    "name": "mine",
    "replicates": 256,
    "samples": [2, 4],
    "problems": [
        {"objective": "mine.py:energy[a=2]", "distribution": "bernoulli", "logits": [0.5, -1.0]},
        {"objective": {"name": "mine.py:Sum", "factor": 2}, "distribution": "bernoulli", "logits": [0.5, -1.0]},
        {"objective": "mine.py:net", "distribution": "bernoulli", "logits": [0.5, -1.0]},
    ],
    "estimators": [
        "mine.py:StraightThrough",
        {"name": "mine.py:leave_one_out", "form": "gradient"},
        "mine.py:in_numpy",
        "mine.py:shrunk",
        "mine.py:half",
        {"name": "mine.py:Plain", "baseline": 0.5},
        "./mine.py:third",
        "rloo",
    ],
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory with the user's file in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(FILE)
    yield tmp_path
    offers.FILES.clear()


def run(folder: Path, workers: int = 1, **changes: Any) -> str:
    """The results of the config, as they are written."""
    for _ in Benchmark.of({**CONFIG, **changes}, folder).run(Execution(workers=workers)):
        pass
    return (folder / "results.csv").read_text()


@at_whole_size
@pytest.mark.slow
def test_a_run_takes_files_wherever_it_takes_names(here: Path) -> None:
    """Functions in three forms, dataclasses, instances, modules: the same bytes for one worker and three.

    The exact rows of plain dataclasses and advantages are those of the formulas, another seed gives other numbers.
    """
    one = run(here / "one")
    assert one == run(here / "three", workers=3)
    run(here / "other", seed=1, estimators=["mine.py:StraightThrough"])
    ours, theirs = (
        pd.read_csv(here / name / "results.csv").query("label == 'mine.py:StraightThrough' and status == 'ok'")
        for name in ("one", "other")
    )
    assert len(ours) == len(theirs)
    assert not np.isclose(ours["variance"], theirs["variance"].to_numpy(), rtol=1e-9)[ours["variance"] > 1e-9].any()
    frame = Benchmark.of(CONFIG, here / "one").results()
    assert set(frame["status"]) <= {"ok", "skipped"}
    exact = frame[(frame["method"] == "exact") & (frame["status"] == "ok")]
    assert set(exact["label"]) == {
        "mine.py:shrunk", "mine.py:half", "mine.py:Plain[baseline=0.5]", "mine.py:third[baseline=0.3]",
        "rloo",
    }  # fmt: skip
    for _, rows in exact.groupby(["problem", "samples"]):
        row = rows.set_index("label")
        N = int(rows["samples"].iloc[0])
        assert row.loc["mine.py:shrunk", "relative_bias"] == pytest.approx(1 / N)
        assert row.loc["mine.py:half", "relative_bias"] == pytest.approx(1 - 0.5 * (1 - 1 / N))
        assert row.loc["mine.py:Plain[baseline=0.5]", "relative_bias"] == pytest.approx(0, abs=1e-7)
    sampled = frame[frame["label"].str.contains("leave_one_out") & (frame["status"] == "ok")]
    assert len(sampled) == 6
    assert not (sampled["bias_verdict"] == "biased").any()


EDITS = [
    ("# nothing", False, 'SCALE = 1.0', "SCALE = 1.0  # the step"),
    ("another class", False, "\nnet = ", "\nclass Unused:\n    pass\n\n\nnet = "),
    ("a docstring", False, '"""z, as if it were its mean."""', '"""z."""'),
    ("another function", False, "1 / (1 + np.exp(-logits))", "1 / (1.0 + np.exp(-logits))"),
    ("what it uses", True, "SCALE = 1.0", "SCALE = 2.0"),
    ("itself", True, "p * (1 - p)", "p * (1 - p) * 2"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "voids", "old", "new"), thinned(8, EDITS))
def test_what_voids_a_run(what: str, voids: bool, old: str, new: str, here: Path) -> None:
    """A comment or another thing in the file leaves a run of one function valid; what the function uses does not."""
    changes = {"estimators": ["mine.py:StraightThrough"], "problems": CONFIG["problems"][1:2]}
    before = run(here / "run", **changes)
    text = FILE.replace(old, new)
    assert text != FILE, what
    (here / "mine.py").write_text(text)
    stat = (here / "mine.py").stat()
    os.utime(here / "mine.py", ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**7))
    if voids:
        with pytest.raises(UsageError, match="changed"):
            run(here / "run", **changes)
    else:
        assert run(here / "run", **changes) == before


def test_options_of_a_partial_void_a_run(here: Path) -> None:
    """What is bound to a name in the file belongs to it, though the function is another's."""
    kind = catalogue.estimator_class("mine.py:half")
    before = plugins.hash_of("mine.py:half", kind)
    (here / "mine.py").write_text(
        FILE.replace("half = partial(shrunk, factor=0.5)", "half = partial(shrunk, factor=.6)")
    )
    stat = (here / "mine.py").stat()
    os.utime(here / "mine.py", ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**7))
    assert plugins.hash_of("mine.py:half", catalogue.estimator_class("mine.py:half")) != before


def test_a_file_beside_others(here: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A file in another folder finds what lies beside it; one that is called like a module is itself."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "json.py").write_text("from beside_it import energy\n")
    (folder / "beside_it.py").write_text("def energy(z):\n    return z.sum(-1)\n")
    kind = catalogue.objective_class(f"{folder}/json.py:energy")
    assert kind.__qualname__ == "energy"
    assert json.loads("1") == 1
    assert here


def test_plugin_makes_names_known(here: Path) -> None:
    """With --plugin a name of the file is a name; its label is what was written."""
    offers.use([Path("mine.py")])
    config = load({**CONFIG, "estimators": ["half", {"name": "leave_one_out", "form": "gradient"}], "problems": [
        {"objective": "energy", "distribution": "bernoulli", "logits": 0.5}]})  # fmt: skip
    assert [each.spec.name for each in config.estimators] == ["mine.py:half", "mine.py:leave_one_out"]
    assert [each.spec.label for each in config.estimators] == ["half", "leave_one_out"]
    (problem,) = config.problems
    assert isinstance(problem, ProblemConfig)
    assert problem.objective.name == "mine.py:energy"
    assert plugins.exported("estimator", "mine.py") == [
        "StraightThrough", "leave_one_out", "in_numpy", "shrunk", "half", "Plain", "third",
    ]  # fmt: skip
    assert plugins.exported("objective", "mine.py") == ["energy", "net", "Sum"]
    assert here


def test_a_name_of_two_is_neither(here: Path) -> None:
    """A file that exports a name of the catalogue, or of another file, is not guessed at."""
    (here / "own.py").write_text("def ste(logits):\n    return logits\n\n\ndef half(logits):\n    return logits\n")
    offers.use([Path("mine.py"), Path("own.py")])
    with pytest.raises(UsageError, match=r"write own.py:ste"):
        load({**CONFIG, "estimators": ["ste"]})
    with pytest.raises(UsageError, match=r"mine.py:half and by own.py:half"):
        load({**CONFIG, "estimators": ["half"]})
    with pytest.raises(UsageError, match=r"expected a Python file"):
        offers.use([Path("none.py")])


def test_entry_points(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package offers names, which are imported when they are asked for and not before."""
    group = "estbench.estimators"
    points = (EntryPoint("theirs", "their_package:half", group), EntryPoint("broken", "no_such_module:x", group))
    (here / "their_package.py").write_text(FILE)
    monkeypatch.setattr(plugins, "points", lambda what: points if what == "estimator" else ())
    monkeypatch.syspath_prepend(str(here))
    assert dict(plugins.offered("estimator")) == {"theirs": "their_package:half", "broken": "no_such_module:x"}
    (choice,) = load({**CONFIG, "estimators": ["theirs"]}).estimators
    assert (choice.spec.name, choice.spec.label) == ("their_package:half", "theirs")
    with pytest.raises(UsageError, match="no_such_module"):
        load({**CONFIG, "estimators": ["broken"]})


def test_the_form_of_functions_on_the_command_line(here: Path) -> None:
    """--as is for the functions that may have that form, and refused where there is none."""
    offers.use([Path("mine.py")])
    assert in_form(["ste", "half", "leave_one_out"], "gradient") == ["ste", "half", "leave_one_out[form=gradient]"]
    assert in_form(["ste"], None) == ["ste"]
    with pytest.raises(UsageError, match=r"--as loss: among ste, half there is no function"):
        in_form(["ste", "half"], "loss")
    assert named("half[factor=2]") == "mine.py:half[factor=2]"
    assert here


WRONG = [
    ("estimator", "none.py:x", "there is no file none.py"),
    ("estimator", "mine.py:nothing", "nothing"),
    ("estimator", "mine.py:Sum", "it has no `facts`"),
    ("objective", "mine.py:Plain", "it has no `on`"),
    ("estimator", "mine.py:SCALE", "is not a function"),
    ("objective", "mine.py:SCALE", "is a function of samples"),
    ("distribution", "mine.py:energy", "it is not a class"),
]


@pytest.mark.parametrize(("what", "name", "message"), WRONG)
def test_what_is_no_plugin(what: Any, name: str, message: str, here: Path) -> None:
    """What cannot be found, or is something else, is refused with the reason."""
    with pytest.raises(UsageError, match=message):
        plugins.class_of(what, name)
    assert here


def test_commands_take_files(here: Path) -> None:
    """show, list and compare take names of a file, with --plugin short ones."""
    runner = CliRunner()

    def said(*arguments: str) -> str:
        found = runner.invoke(app, list(arguments), env={"COLUMNS": "120"})
        assert found.exit_code == 0, found.output
        return found.output

    assert "form gradient" in said("show", "mine.py:leave_one_out")
    assert "factor=1" in said("show", "shrunk", "--plugin", "mine.py")
    assert "a=1" in said("show", "mine.py:energy")
    listed = json.loads(said("list", "estimators", "--plugin", "mine.py", "--format", "json"))
    assert {"name": "half", "reference": "mine.py:half"}.items() <= listed[-3].items()
    assert here


def test_things_are_listed_for_what_they_are(here: Path) -> None:
    """Functions are estimators or objectives and nothing else, and filters look at the facts of users' estimators."""
    listed = here / "listed.py"
    listed.write_text(LISTED)
    offers.use([listed])
    mine = {what: plugins.exported(what, str(listed)) for what in get_args(plugins.What)}
    assert mine == {
        "estimator": ["Biased", "halved"],
        "objective": ["Sum", "summed", "energy"],
        "distribution": ["Coupled"],
        "network": [],
    }

    def rows(*arguments: str) -> set[str]:
        found = CliRunner().invoke(app, ["list", *arguments, "--format", "json"])
        assert found.exit_code == 0, found.output
        return {row["name"] for row in json.loads(found.output)} & {name for names in mine.values() for name in names}

    assert rows("metrics") == rows("networks") == set()
    assert rows("distributions") == {"Coupled"}
    assert rows() == {"Biased", "halved"}
    assert rows("--biased") == rows("--family", "score") == {"Biased"}
    assert rows("--family", "antithetic") == rows("--gradient", "--family", "score") == set()
    assert rows("--distribution", "categorical", "--biased") == set()


def test_an_estimator_that_does_not_answer_is_not_listed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter asks for the facts of users' estimators, each for a limited time; the others are listed."""
    monkeypatch.setattr(guide, "SECONDS", 0.2)
    (here / "slow.py").write_text(LISTED + SLEEPING)
    offers.use([here / "slow.py"])
    found = CliRunner().invoke(app, ["list", "--biased", "--format", "json"])
    names = {row["name"] for row in json.loads(found.output)}
    assert "Biased" in names
    assert "Sleeping" not in names


@pytest.mark.parametrize("what", ["estimator", "objective"])
def test_a_class_whose_instances_are_functions(what: plugins.What) -> None:
    """Where a class of modules is named, the message says to name an instance."""
    with pytest.raises(UsageError, match=r"its instances can be called: write mine = Linear\(…\) in a file"):
        plugins.class_of(what, "torch.nn:Linear")
