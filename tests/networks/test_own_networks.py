"""Networks of users: the example of docs/networks.md, and what does not keep the contract."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from estbench.config import load
from estbench.engine.benchmark import Benchmark
from estbench.engine.executors import Execution
from estbench.errors import UsageError

PAGE = (Path(__file__).parents[2] / "docs" / "networks.md").read_text()
(SOURCE,) = re.findall(r"<!-- mine.py -->\n```python\n(.*?)```", PAGE, re.DOTALL)
(CONFIG,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def config(file: str) -> dict[str, Any]:
    """The config of the page with the network of a file."""
    given: dict[str, Any] = yaml.safe_load(CONFIG)
    problem = given["problems"][0] | {"network": {"name": f"{file}:Codes", "penalty": 0.2}}
    problem["training"] = {"estimator": ["exact", "own"], "epochs": 1, "batch": 600, "seeds": 2}
    return given | {"problems": [problem | {"checkpoints": [0, 1]}], "replicates": 32, "estimators": ["ste", "rloo"]}


def test_the_config_of_the_page_loads() -> None:
    """It is valid as it stands."""
    assert load(yaml.safe_load(CONFIG)).name == "small"


BOUND = """
    def importance_weighted(self, x, y, expect):
        return expect(self.f(x, y), self.kind.of(self.logits(x)))

    def minus_log_likelihood(self, x, y):
        return minus_log_mean(self.f(x, y), self.kind.of(self.logits(x)))
"""
IMPORT = "from estbench.networks.base import minus_log_mean\n"


def bounded(file: str) -> dict[str, Any]:
    """The config of a network of a file, which asks for the importance-weighted bound."""
    given = config(file)
    problem = given["problems"][0]
    return given | {"problems": [problem | {"training": problem["training"] | {"importance_samples": 5}}]}


def test_a_bound_is_asked_for_of_networks_that_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of one's own without the method is refused only where the bound is asked for; one with it is taken."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain_codes.py").write_text(SOURCE)
    load(config("plain_codes.py"))
    with pytest.raises(UsageError, match=r"importance_samples: .*Codes has no importance-weighted bound"):
        load(bounded("plain_codes.py"))
    (tmp_path / "bounded_codes.py").write_text(IMPORT.join(SOURCE.split("import torch\n", 1)) + BOUND)
    load(bounded("bounded_codes.py"))


@pytest.mark.slow
def test_a_network_of_ones_own_may_have_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bound is recorded, and lies above its −log p."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_bound.py").write_text(IMPORT.join(SOURCE.split("import torch\n", 1)) + BOUND)
    given = bounded("own_bound.py")
    for _ in Benchmark.of(given | {"estimators": ["ste"]}, tmp_path / "run").run(Execution(workers=1)):
        pass
    frame = pd.read_csv(tmp_path / "run" / "training.csv")
    assert (frame["importance_samples"] == 5).all()
    assert (frame["importance_weighted"] > frame["nll"]).all()


@pytest.mark.parametrize(
    ("written", "instead", "said"),
    [
        ("return expect(self.f", "return 2 * expect(self.f", "must be minus_log_likelihood"),
        (
            "return expect(self.f(x, y), ",
            "return expect(lambda z: 0 * self.f(x, y)(z), ",
            "must be minus_log_likelihood",
        ),
        ("self.logits(x)))\n\n", "self.logits(x))).mean()\n\n", r"importance_weighted must have the shape \[2, 3\]"),
    ],
)
def test_a_bound_of_something_else_is_refused(
    written: str, instead: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all states in the place of samples it must be −log p; that is tried before the run."""
    monkeypatch.chdir(tmp_path)
    assert written in BOUND
    source = IMPORT.join(SOURCE.split("import torch\n", 1)) + BOUND.replace(written, instead)
    (tmp_path / "faulty_bound.py").write_text(source)
    with pytest.raises(UsageError, match=said):
        load(bounded("faulty_bound.py"))


@pytest.mark.slow
def test_a_network_of_ones_own_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network of the page is trained and measured; it has no −log p; another source is not taken up again."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_codes.py").write_text(SOURCE)
    for _ in Benchmark.of(config("own_codes.py"), tmp_path / "run").run(Execution(workers=1)):
        pass
    results, training = (pd.read_csv(tmp_path / "run" / f"{name}.csv") for name in ("results", "training"))
    done = results[results.status == "ok"]
    assert set(done.label) == {"ste", "rloo"}
    assert set(done.method) == {"exact", "monte_carlo"}
    assert training.nll.isna().all()
    (tmp_path / "own_codes.py").write_text(SOURCE.replace("square()", "abs()"))
    with pytest.raises(UsageError, match=r"own_codes\.py:Codes has changed since"):
        for _ in Benchmark.of(config("own_codes.py"), tmp_path / "run").run(Execution(workers=1)):
            pass


@pytest.mark.parametrize(
    ("written", "instead", "said"),
    [
        ("def rest(", "def rst(", "has logits, f of logits, f and rest, and lacks rest"),
        ('"none").sum(-1)', '"none")', r"f must have the shape \[2, 3, 2\], and has \[2, 3, 2, 64\]"),
        ("Linears(pixels, kind.numbers, generators)", "nn.Linear(pixels, kind.numbers)", "the seeds first, here 2"),
        ("return self.encoder(x)", "return self.encoder(x)[..., 1:]", "logits must have the shape"),
        (".flatten(2).sum(-1)", ".sum()", r"rest must have the shape \[2, 3\]"),
        ("def logits(self, x):", "def logits(self):", "cannot be built and called: TypeError"),
        ("class Model(nn.Module)", "class Model(dict)", "must give a torch.nn.Module"),
        ("def build(", "def make(", "has no `build`"),
        ("x.unsqueeze(2)", "(x - x.mean(1, keepdim=True)).unsqueeze(2)", "depends on the others of its batch"),
    ],
)  # fmt: skip
def test_what_does_not_keep_the_contract_is_refused(
    written: str, instead: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One message says which member is missing, or what its shape must be, before anything is run."""
    monkeypatch.chdir(tmp_path)
    assert written in SOURCE
    (tmp_path / "faulty.py").write_text(SOURCE.replace(written, instead))
    with pytest.raises(UsageError, match=said):
        load(config("faulty.py"))
