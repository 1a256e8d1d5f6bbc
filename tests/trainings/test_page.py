"""docs/trajectories.md is true: its config runs, and its Python gives what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
import torch

from estbench import Bernoulli, Categorical, curl
from estbench.config import load
from estbench.config.shipped import find
from estbench.config.trajectory import MAX_STATES
from estbench.engine.benchmark import Benchmark
from estbench.engine.executors import Execution
from estbench.errors import UsageError

PAGE = (Path(__file__).parents[2] / "docs" / "trajectories.md").read_text()


def test_the_config_runs(tmp_path: Path) -> None:
    """As it stands, but for fewer steps and seeds."""
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "where.yaml"
    path.write_text(block)
    few = ["problems.0.training.steps=3", "problems.0.training.seeds=4", "problems.0.checkpoints=[0, 3]"]
    for _ in Benchmark.of(path, tmp_path / "where", settings=few).run(Execution()):
        pass
    assert {"exact", "ste", "relax τ=0.5"} <= set(pd.read_csv(tmp_path / "where" / "training.csv").trained_by)


def test_the_python_gives_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    """Each printed number is the one in the comment beside it."""
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(block, "docs/trajectories.md", "exec"), {})  # noqa: S102 - it is our own page
    said = [float(number) for number in re.findall(r"# ([\d.]+):", block)]
    printed = [float(number) for number in re.findall(r"tensor\(([\d.]+)", capsys.readouterr().out)]
    assert printed == said


def test_the_configs_it_names_are_shipped() -> None:
    """Each is there, with 1,000 seeds; the limit it gives is the one in force."""
    for name in re.findall(r"`(trajectory_\w+)`", PAGE):
        problems = load(find(Path(name))).problems
        assert all(getattr(problem, "training").seeds == 1000 for problem in problems)  # noqa: B009
    assert f"{MAX_STATES:,} joint states" in PAGE


def test_curl_takes_any_batch_and_says_what_it_cannot_find() -> None:
    """One number for each vector of logits; noise beside z and a wrong distribution are refused."""
    logits = torch.linspace(-1, 1, 12).view(2, 2, 3)
    assert curl("rloo", "quadratic", Bernoulli(logits), 2).shape == (2, 2)
    assert float(curl("ste", "quadratic", Categorical(logits)).max()) == 0
    with pytest.raises(UsageError, match=r"curl of gumbel is not known: .* depend on the samples alone"):
        curl("gumbel", "quadratic", Bernoulli(logits))
    with pytest.raises(UsageError, match="step must be"):
        curl("ste", "quadratic", Bernoulli(logits), step=0.0)
