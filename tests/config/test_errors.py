"""What is wrong with a config: where, what was given, what is allowed, what to do; all of it at once."""

# ruff: noqa: E501 - the tables have one fault in a line, with its whole message

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
import torch
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from estbench import catalogue
from estbench.config import load
from estbench.errors import UsageError

GOOD = """\
name: x
seed: 0
replicates: 1000
samples: [1, 2]
temperatures: [0.5, 1.0]
problems:
  - objective: {name: quadratic, target: 0.45}
    distribution: bernoulli
    logits: [0.5, -1.0]
  - objective: sine
    distribution: categorical
    dimensions: 2
    categories: 3
    logits: 0.5
estimators:
  - reinforce
  - {name: gumbel, label: G}
  - name: ste
    slope: 2
"""

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a config as x.yaml in the working directory."""
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> Path:
        Path("x.yaml").write_text(text, encoding="utf-8")
        return Path("x.yaml")

    return write


def errors(source: Path | dict[str, Any], *settings: str) -> list[str]:
    """The lines of the error without the excerpts of the config."""
    with pytest.raises(UsageError) as caught:
        load(source, settings)
    return [line for line in str(caught.value).splitlines() if not line.startswith("  ")]


def test_the_good_config_is_good(write: Write) -> None:
    """What the faults below are planted in has none."""
    assert len(load(write(GOOD)).toys) == 2


ESTIMATORS = "(estbench list estimators)"
OBJECTIVES = "(estbench list objectives)"
FAULTS = [
    # names
    ("  - reinforce\n", "  - gumble\n", f"16:5 estimators[0].name: unknown estimator 'gumble'. Did you mean 'gumbel'? {ESTIMATORS}"),
    ("- reinforce", "- zzz", f"16:5 estimators[0].name: unknown estimator 'zzz'. {ESTIMATORS}"),
    ("name: ste", "name: stee", f"18:11 estimators[2].name: unknown estimator 'stee'. Did you mean 'ste'? {ESTIMATORS}"),
    ("name: ste\n", "label: ste\n", f"18:5 estimators[2].name: expected the name of an estimator, got nothing {ESTIMATORS}"),
    ("- reinforce", "- 7", "16:5 estimators[0]: expected a name, or a mapping with a name, got 7"),
    ("- reinforce", "- reinforce[baseline=mean", "16:5 estimators[0].name: 'reinforce[baseline=mean' is not a name or name[option=value,…]"),
    ("objective: sine", "objective: sin", f"10:16 problems[1].objective.name: unknown objective 'sin'. Did you mean 'sine'? {OBJECTIVES}"),
    ("bernoulli", "bernouli", "8:19 problems[0].distribution.name: unknown distribution 'bernouli'. Did you mean 'bernoulli'? (estbench list distributions)"),
    ("- reinforce", "- no.such.module:Class", "16:5 estimators[0].name: estimator plug-in 'no.such.module:Class' cannot be imported: No module named 'no'"),
    ("- reinforce", "- pathlib:Path", "16:5 estimators[0].name: 'pathlib:Path' is not an estimator: it has no `facts`"),
    # keys
    ("seed: 0", "sed: 0", "2:1 sed: unknown key 'sed'. Did you mean 'seed'? Allowed: name, seed, precision, replicates, samples, temperatures, methods, level, delta, timings, problems, estimators"),
    ("    dimensions: 2", "    dimension: 2", "12:5 problems[1].dimension: unknown key 'dimension'. Did you mean 'dimensions'? Allowed: distribution, dimensions, categories, tie, logits, objective, kind, sweep"),
    ("slope: 2", "slop: 2", "19:5 estimators[2].slop: unknown key 'slop'. Did you mean 'slope'? Allowed: *"),
    ("target: 0.45", "goal: 0.45", "7:34 problems[0].objective.goal: unknown key 'goal'. Allowed: target, reduction"),
    ("- reinforce", "- reinforce[base=mean]", "16:5 estimators[0].name: base: unknown key 'base'. Did you mean 'baseline'? Allowed: *"),
    ("- reinforce", "- darn[center=mean]", "16:5 estimators[0].name: center: unknown key 'center'. Did you mean 'centre'? Allowed: centre, label, anneal"),
    ("- reinforce", "- {name: darn, center: mean}", "16:18 estimators[0].center: unknown key 'center'. Did you mean 'centre'? Allowed: centre, label, anneal"),
    ("    distribution: bernoulli\n", "", "7:5 problems[0].distribution: this key is required"),
    ("seed: 0", "seed: 0\nseed: 1", "3:1 seed: given twice, first in line 2"),
    # types
    ("replicates: 1000", "replicates: '1000'", "3:13 replicates: expected an integer, got '1000'. Write it without quotes"),
    ("replicates: 1000", "replicates: 1000.5", "3:13 replicates: expected an integer, got 1000.5"),
    ("replicates: 1000", "replicates: yes", "3:13 replicates: expected an integer, got 'yes'"),
    ("replicates: 1000", "replicates: true", "3:13 replicates: expected an integer, got true"),
    ("replicates: 1000", "replicates: [1000]", "3:13 replicates: expected an integer, got a list"),
    ("seed: 0", "tie: 0", "2:1 tie: unknown key 'tie'. Allowed: *"),
    ("label: G", "label: 3", "17:27 estimators[1].label: expected text, got 3. Write it in quotes"),
    ("label: G", "label: ' '", "17:27 estimators[1].label: expected one line of 1 to 200 characters, no space at its ends, got ' '"),
    ("target: 0.45", "target: near", "7:42 problems[0].objective.target: expected a number, got 'near'"),
    ("slope: 2", "slope: {a: 1}", "19:12 estimators[2].slope: expected a number, got a mapping"),
    (GOOD[GOOD.index("problems") : GOOD.index("estimators")], "problems: 3\n", "6:11 problems: expected a list, got 3"),
    (GOOD[GOOD.index("problems") : GOOD.index("estimators")], "problems: [5]\n", "6:12 problems[0]: expected a mapping, got 5"),
    (GOOD[GOOD.index("problems") : GOOD.index("estimators")], "problems: []\n", "6:11 problems: expected at least one item, got an empty list"),
    (GOOD[GOOD.index("problems") : GOOD.index("estimators")], "", "1:1 problems: this key is required"),
    ("  - objective: sine\n", "  - 5\n  - objective: sine\n", "10:5 problems[1]: expected a mapping, got 5"),
    ("slope: 2", "options: 2", "19:14 estimators[2].options: expected a mapping of options, got 2"),
    # values
    ("name: x", "name: a/b", "1:7 name: expected up to 100 letters, digits, '.', '_' and '-' that name a folder of results, got 'a/b'; give the config a `name`"),
    ("seed: 0", "seed: -1", "2:7 seed: expected a number ≥ 0, got -1"),
    ("seed: 0", "seed: .nan", "2:7 seed: expected a finite number, got .nan"),
    ("replicates: 1000", "replicates: 31", "3:13 replicates: expected a number ≥ 32, got 31"),
    ("[1, 2]", "[1, 0]", "4:14 samples[1]: expected a number ≥ 1, got 0"),
    ("[1, 2]", "0", "4:10 samples: expected a number ≥ 1, got 0"),
    ("[1, 2]", "[]", "4:10 samples: expected at least one item, got an empty list"),
    ("[0.5, 1.0]", "[0.5, 0]", "5:21 temperatures[1]: expected a number > 0, got 0"),
    ("[0.5, 1.0]", "[-0.5]", "5:16 temperatures[0]: expected a number > 0, got -0.5"),
    ("[0.5, 1.0]", "[.inf]", "5:16 temperatures[0]: expected a finite number, got .inf"),
    ("label: G", "temperature: 0", "17:33 estimators[1].temperature: expected a number > 0, got 0"),
    ("label: G", "temperatures: [1, -1]", "17:38 estimators[1].temperatures[1]: expected a number > 0, got -1"),
    ("label: G", "temperatures: []", "17:34 estimators[1].temperatures: expected at least one item, got an empty list"),
    ("label: G", "anneal: {temperature: [1]}", "17:42 estimators[1].anneal.temperature: expected 2 items, got 1"),
    ("label: G", "anneal: {temperature: []}", "17:42 estimators[1].anneal.temperature: expected 2 items, got 0"),
    ("label: G", "anneal: {temperature: [1, .5, .3]}", "17:42 estimators[1].anneal.temperature: expected at most 2 items, got 3"),
    ("label: G", "temperatures: [1], temperature: 1", "17:34 estimators[1].temperatures: give temperature or temperatures, not both"),
    ("slope: 2", "temperatures: [1]", "19:5 estimators[2].temperatures: unknown key 'temperatures'. Allowed: *"),
    ("seed: 0", "level: 95", "2:8 level: expected a number < 1, got 95"),
    ("seed: 0", "delta: 0", "2:8 delta: expected a number > 0, got 0"),
    ("seed: 0", "methods: [exakt]", "2:11 methods[0]: expected 'exact' or 'monte_carlo', got 'exakt'. Did you mean 'exact'?"),
    ("replicates: 1000", "precision: {relative: 2}", "3:23 precision.relative: expected a number < 1, got 2"),
    ("replicates: 1000", "precision: {relative: .1, metric: bias}", "3:35 precision.metric: expected 'variance', 'mse' or 'cosine', got 'bias'"),
    ("replicates: 1000", "precision: {relativ: .1}", "3:12 precision.relative: this key is required", "3:13 precision.relativ: unknown key 'relativ'. Did you mean 'relative'? Allowed: relative, metric, max_replicates"),
    ("seed: 0", "precision: {relative: .1}", "3:13 replicates: give replicates or precision, not both: the one is fixed, the other decides it"),
    # shapes
    ("categories: 3", "categories: 1", "13:17 problems[1].categories: expected a number ≥ 2, got 1"),
    ("    categories: 3\n", "", "13:13 problems[1].logits: categorical variables need categories: K, or logits as rows of K ≥ 2 numbers"),
    ("    logits: [0.5", "    categories: 2\n    logits: [0.5", "9:17 problems[0].categories: bernoulli variables have no categories; drop the key, or say distribution: categorical"),
    ("dimensions: 2", "dimensions: 0", "12:17 problems[1].dimensions: expected a number ≥ 1, got 0"),
    ("dimensions: 2", "dimensions: 1000000000", "12:17 problems[1].dimensions: expected a number ≤ 100000, got 1000000000"),
    ("dimensions: 2", "dimensions: 50000", "14:13 problems[1].logits: 150000 logits are more than 100000; lower dimensions or categories"),
    ("    logits: [0.5", "    dimensions: 3\n    logits: [0.5", "10:13 problems[0].logits: expected a list of 3 (dimensions: 3), got one of 2"),
    ("logits: 0.5", "logits: [[1, 2, 3], [1, 2]]", "14:25 problems[1].logits[1]: expected a list of 3 (one logit a category), got one of 2"),
    ("logits: 0.5", "logits: [1, 2, 3]", "14:13 problems[1].logits: expected rows, one for each variable, of logits, one for each category; for one variable of 3 categories write [[…]]"),
    ("[0.5, -1.0]", "[[1, 2]]", "9:14 problems[0].logits[0]: expected a number, got a list"),
    ("[0.5, -1.0]", "[]", "9:13 problems[0].logits: expected at least one logit, got an empty list"),
    ("[0.5, -1.0]", "[1, .nan]", "9:17 problems[0].logits[1]: expected a finite number, got .nan"),
    ("[0.5, -1.0]", "[1, 1e6]", "9:17 problems[0].logits[1]: expected a logit between -100 and 100, got 1000000"),
    ("[0.5, -1.0]", "[-.inf, x]", "9:14 problems[0].logits[0]: expected a finite number, got -.inf", "9:21 problems[0].logits[1]: expected a number, got 'x'"),
    ("logits: 0.5", "logits: -1e6", "14:13 problems[1].logits: expected a logit between -100 and 100, got -1000000"),
    ("logits: 0.5", "logits: text", "14:13 problems[1].logits: expected a number, a list or {normal: {scale: …, seed: …}}, got 'text'"),
    ("logits: 0.5", "logits: {normal: {scale: 0}}", "14:30 problems[1].logits.normal.scale: expected a number > 0, got 0"),
    ("logits: 0.5", "logits: {normal: {sd: 1}}", "14:23 problems[1].logits.normal.sd: unknown key 'sd'. Did you mean 'seed'? Allowed: scale, seed"),
    ("logits: 0.5", "logits: {uniform: 1}", "14:13 problems[1].logits.normal: this key is required", "14:14 problems[1].logits.uniform: unknown key 'uniform'. Did you mean 'normal'? Allowed: normal"),
    ("[0.5, -1.0]", "[0.5, -1.0]\n    tie: true", "9:13 problems[0].logits: tie: true needs the same logits for all variables; give one number, or equal ones, or drop tie"),
    ("[1, 2]", "[1, 10000000]", "10:5 problems[1]: one estimate with N = 10000000 takes 60000000 random numbers; at most 16777216", "7:5 problems[0]: one estimate with N = 10000000 takes 20000000 random numbers; at most 16777216"),
    # objectives that do not fit
    ("objective: {name: quadratic, target: 0.45}", "objective: arsm_toy", "7:16 problems[0].objective: arsm_toy serves 'categorical' variables, not 'bernoulli'"),
    ("objective: {name: quadratic, target: 0.45}", "objective: {name: linear, weights: [1]}", "7:16 problems[0].objective: *1 weights for 2 variables*"),
    ("objective: {name: quadratic, target: 0.45}", "objective: {name: quadratic_form, A: [[1]], b: [1]}", "7:16 problems[0].objective: *"),
    # sweeps
    ("    logits: [0.5, -1.0]", "    sweep: {logits: [1, 1e6, [1, oops]]}", "9:25 problems[0].sweep.logits[1]: expected a logit between -100 and 100, got 1000000", "9:34 problems[0].sweep.logits[2][1]: expected a number, got 'oops'"),
    ("    logits: 0.5", "    sweep: {logits: 0.5}", "14:21 problems[1].sweep.logits: expected a list of values, one a problem, got 0.5", "10:5 problems[1].logits: this key is required"),
    ("    logits: 0.5", "    logits: 0.5\n    sweep: [1]", "15:12 problems[1].sweep: expected keys with lists of values, such as {logits: [-1, 1]}, got a list"),
    ("    logits: 0.5", "    logits: 0.5\n    sweep: {logit: [1]}", "15:13 problems[1].sweep.logit: unknown key 'logit'. Did you mean 'logits'? Allowed: distribution, dimensions, categories, tie, logits, objective, objective.<option>, distribution.<option>"),
    ("    logits: 0.5", "    logits: 0.5\n    sweep: {distribution.lnk: [probit]}", "15:32 problems[1].sweep.distribution.lnk[0]: unknown key 'lnk'. Allowed: none"),
    ("    logits: 0.5", "    logits: 0.5\n    sweep: {logits: [1]}", "15:21 problems[1].sweep.logits: logits is both given and swept; keep one"),
    ("    logits: 0.5", "    sweep: {logits: [1, 2, 1]}", "14:28 problems[1].sweep.logits[2]: is the same as problems[1].sweep.logits[0]"),
    ("    logits: 0.5", "    sweep: {objective.phas: [1, 2], logits: [1]}", "14:30 problems[1].sweep.objective.phas[0]: unknown key 'phas'*", "14:33 problems[1].sweep.objective.phas[1]: unknown key 'phas'*"),
    # what is there twice
    ("  - objective: sine", "  - {objective: quadratic, distribution: bernoulli, logits: [0.5, -1]}\n  - objective: sine", "10:5 problems[1]: is the same as problems[0]"),
    ("label: G", "label: reinforce", "17:5 estimators[1]: has the label 'reinforce' of estimators[0]; give it another"),
    ("- reinforce", "- ste[slope=2]", "18:5 estimators[2]: is the same as estimators[0]; drop one of them"),
    ("- reinforce", "- gumbel[temperature=0.5]", "17:5 estimators[1]: is the same as estimators[0]; drop one of them"),
    ("slope: 2", "slope: 2\n    options: {slope: 3}", "19:12 estimators[2].slope: slope is given twice"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), [(old, new, expected) for old, new, *expected in FAULTS])
def test_each_fault_gets_its_message_at_its_place(write: Write, old: str, new: str, expected: list[str]) -> None:
    """One planted fault: its line and column, path, what was given, what is allowed; and nothing else is complained of."""
    assert GOOD.count(old) >= 1
    got = errors(write(GOOD.replace(old, new, 1)))
    assert len(got) == len(expected)
    for line, pattern in zip(got, sorted(expected, key=_position), strict=True):
        head, *tail = f"x.yaml:{pattern}".split("*")
        assert line.startswith(head)
        assert all(part in line for part in tail)
        assert tail or line == head


def _position(message: str) -> tuple[int, int]:
    line, column = message.split(" ", maxsplit=1)[0].split(":")
    return int(line), int(column)


def test_the_offending_line_stands_below_with_a_caret(write: Write) -> None:
    """The excerpt is the line with its number, and a caret under the fault."""
    with pytest.raises(UsageError) as caught:
        load(write(GOOD.replace("- reinforce", "- gumble")))
    assert str(caught.value).splitlines()[1:] == ["  16 |   - gumble", "     |     ^"]


def test_all_faults_are_told_at_once_in_the_order_of_the_file(write: Write) -> None:
    """A config with a fault of every kind, and in the same problem and estimator, gets one error with all of them."""
    text = (
        GOOD.replace("seed: 0", "seed: -1")
        .replace("[1, 2]", "[0]")
        .replace("quadratic, target: 0.45", "quadratik")
        .replace("[0.5, -1.0]", "[0.5, 1e6]")
        .replace("slope: 2", "slope: x\n    slop: 1")
        .replace("- reinforce", "- gumble")
    )
    places = [line.split(":")[1:3] for line in errors(write(text))]
    assert [line for line, _ in places] == ["2", "4", "7", "9", "16", "19", "20"]


def test_hundreds_of_faults_are_counted_not_shown(write: Write) -> None:
    """After fifty faults the rest is a number."""
    shown = errors(write(GOOD.replace("[1, 2]", f"[{'0, ' * 200}1]")))
    assert len(shown) == 51
    assert shown[-1] == "… and 150 more errors"


def test_plain_data_is_complained_of_by_path() -> None:
    """Without a file the path alone says where; what is not plain data is refused."""
    data: dict[str, Any] = {
        "name": "x",
        "problems": [{"objective": "sine", "distribution": "bernoulli", "logits": 1}],
        "estimators": ["gumble"],
    }
    assert errors(data) == [
        f"config estimators[0].name: unknown estimator 'gumble'. Did you mean 'gumbel'? {ESTIMATORS}"
    ]
    assert errors(data | {"seed": object()})[0].startswith("config: expected plain data")


# Faults that the objects of the catalogue find themselves


@dataclass(frozen=True)
class Fussy:
    """An estimator with a condition on two options, a temperature of at least 1, and no default for one option."""

    low: float
    high: float = 1.0
    shape: float | tuple[float, ...] = 1.0
    temperature: Annotated[float, Field(ge=1)] = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> Fussy:
        if self.low > self.high:
            raise ValueError(f"low = {self.low:g} is above high = {self.high:g}")
        return self


@dataclass(frozen=True)
class Nowhere:
    """An objective that is NaN."""

    on: ClassVar[str] = "values"
    distributions: ClassVar[frozenset[str]] = frozenset({"bernoulli"})

    def value(self, v: torch.Tensor) -> torch.Tensor:
        """0/0."""
        return v.sum(-1) * torch.nan


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        ("{name: fussy, low: 2}", ["16:5 estimators[0]: low = 2 is above high = 1"]),
        ("fussy", ["16:5 estimators[0].low: this key is required"]),
        ("{name: fussy, low: 0, shape: x}", ["16:34 estimators[0].shape: expected a number or a list, got 'x'"]),
        ("{name: fussy, low: 0, temperatures: [0.5, 2]}", ["16:42 estimators[0].temperatures[0]: expected a number ≥ 1, got 0.5"]),
        ("'fussy[low=0,temperature=0.5]'", ["16:5 estimators[0].name: temperature: expected a number ≥ 1, got 0.5"]),
    ],
)  # fmt: skip
def test_what_an_estimator_refuses_is_told_like_all_else(
    write: Write, monkeypatch: pytest.MonkeyPatch, new: str, expected: list[str]
) -> None:
    """Conditions on several options, missing options, unions and an estimator's own range of temperatures."""
    monkeypatch.setitem(catalogue.ESTIMATORS, "fussy", Fussy)
    assert errors(write(GOOD.replace("reinforce", new))) == [f"x.yaml:{line}" for line in expected]


def test_an_objective_that_is_nan_is_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """f is asked for one value before anything runs."""
    monkeypatch.setitem(catalogue.OBJECTIVES, "nowhere", Nowhere)
    text = GOOD.replace("{name: quadratic, target: 0.45}", "nowhere")
    assert errors(write(text)) == ["x.yaml:7:16 problems[0].objective: nowhere is nan at a sample"]


# --set


def test_settings_replace_and_add_values(write: Write) -> None:
    """Dots and brackets go down, names on the way become mappings, new keys are added, later settings win."""
    config = load(
        write(GOOD),
        [
            "seed=1",
            "seed=3",
            "problems.1.dimensions=4",
            "problems[0].logits=[1, 2, 3]",
            "estimators.0.baseline=optimal",
            "precision.relative=0.05",
            "replicates=",
            "problems.1.objective.phase=0.7",
        ],
    )
    assert config.seed == 3
    assert [p.dimensions for p in config.toys] == [3, 4]
    assert dict(config.estimators[0].spec.options)["baseline"] == "optimal"
    assert config.precision is not None
    assert config.precision.relative == 0.05
    assert dict(config.toys[1].objective.options)["phase"] == 0.7
    assert [e.spec.name for e in load(write(GOOD), ["estimators=[ste, gumbel]"]).estimators] == ["ste", "gumbel"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("seed", "--set seed: write key=value, for example replicates=5000 or problems.0.logits=1"),
        ("=3", "--set =3: write key=value, for example replicates=5000 or problems.0.logits=1"),
        ("seed=-1", "--set seed=-1 seed: expected a number ≥ 0, got -1"),
        ("sed=1", "--set sed=1 sed: unknown key 'sed'. Did you mean 'seed'? Allowed: *"),
        ("samples=[1,", "--set samples=[1,: not YAML: *"),
        ("estimators=[ste, gumble]", "--set estimators=[ste, gumble] estimators[1].name: unknown estimator 'gumble'. *"),
        ("problems.7.dimensions=1", "--set problems.7.dimensions=1 problems[7].dimensions: expected an index into a list of 2 (0 is the first), got 7"),
        ("problems.x=1", "--set problems.x=1 problems.x: expected an index into a list of 2 (0 is the first), got 'x'"),
        ("seed.a=1", "--set seed.a=1 seed.a: there is no 'a' in 0"),
    ],
)  # fmt: skip
def test_faults_of_a_setting_name_it(write: Write, setting: str, message: str) -> None:
    """A fault that --set brings in is told at the option, not in the file."""
    (got,) = errors(write(GOOD), setting)
    head, *tail = message.split("*")
    assert got.startswith(head)
    assert tail or got == head


def test_a_setting_is_shown_with_a_caret(write: Write) -> None:
    """The excerpt is the option itself."""
    with pytest.raises(UsageError) as caught:
        load(write(GOOD), ["samples=[1, 0]"])
    assert str(caught.value).splitlines() == [
        "--set samples=[1, 0] samples[1]: expected a number ≥ 1, got 0",
        "   | --set samples=[1, 0]",
        "   |                   ^",
    ]


def test_a_setting_mends_what_the_file_has_wrong(write: Write) -> None:
    """A value that is replaced is not complained of, nor is its key for being there twice."""
    assert load(write(GOOD.replace("seed: 0", "seed: -1")), ["seed=2"]).seed == 2
    assert load(write(GOOD.replace("seed: 0", "seed: 0\nseed: 1")), ["seed=2"]).seed == 2
