"""What is written about the program is true of it."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from typer.main import get_command

from estbench import catalogue, guide
from estbench.cli.app import app
from estbench.columns import COLUMNS, COMPARISON, Column, heads, names
from estbench.config import load
from estbench.engine.tasks import problem_of
from estbench.exact import exact
from estbench.expand import expand
from estbench.intervals import FLAGS
from estbench.names import ALIASES
from estbench.references import REFERENCES

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
SEVEN = ROOT / "results" / "seven_methods"


def test_generated_pages_are_fresh(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """docs/estimators.md, configs/schema.json and the README's table are what `make docs` would write."""
    monkeypatch.setattr(sys, "argv", ["build.py", "--check"])
    monkeypatch.syspath_prepend(ROOT / "docs")  # where a script has the modules beside it
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / "docs" / "build.py"), run_name="__main__")
    assert not end.value.code, capsys.readouterr().out


def test_the_tables_of_the_seven_methods_are_those_of_the_config() -> None:
    """What was kept of the run has a row for every training of the shipped config, of 30 networks each."""
    plan = expand(load(ROOT / "configs" / "seven_methods.yaml"))
    trained = {str(label).split(" τ=")[0] for label in pd.read_csv(SEVEN / "training.csv")["trained_by"]}
    assert trained == {"exact", *(cell.estimator.label for cell in plan.cells)}
    kept = pd.read_csv(SEVEN / "training.csv").groupby(["network", "distribution", "trained_by", "checkpoint"])["seeds"]
    assert len(kept) == 4 * len(trained) * 2
    assert set(kept.min()) == {30}
    assert len(pd.read_csv(SEVEN / "results.csv")) == len(plan.cells)


def test_every_command_is_in_the_readme() -> None:
    """Every command is shown, and every command that is shown exists."""
    commands = set(get_command(app).commands)  # type: ignore[attr-defined] # a group
    shown = set(re.findall(r"estbench (run|plot|compare|list|show|status|export|report|check|merge|init)\b", README))
    assert shown == commands
    blocks = "".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
    assert set(re.findall(r"^estbench (\w+)", blocks, re.MULTILINE)) <= commands


def test_columns_and_flags_of_the_readme_exist() -> None:
    """Where the README says how to read the numbers, it names columns, heads and flags that there are."""
    section = README.split("## Reading the numbers\n")[1].split("\n## ")[0]
    words = re.findall(r"`([a-z]+(?:_[a-z]+)+)`", section)
    assert set(FLAGS) <= set(words) | {"constant"}
    assert set(words) <= {*names(), *FLAGS}
    metrics = re.findall(r"^- \*\*(.+?)\*\*", section, re.MULTILINE)
    assert "bias²" in metrics
    assert set(metrics) <= set(heads().values())


@pytest.mark.parametrize("columns", [COLUMNS, COMPARISON])
def test_columns_that_readers_see_have_a_head_of_their_own(columns: tuple[Column, ...]) -> None:
    """No two columns of one table for readers are called alike."""
    shown = [column.head or column.name for column in columns if column.rank is not None]
    assert len(set(shown)) == len(shown)


def test_the_glossary_can_be_read_at_once() -> None:
    """It has at most twenty words."""
    assert 0 < (ROOT / "docs" / "glossary.md").read_text().count("\n| **") <= 20


def test_linked_files_exist() -> None:
    """Every relative link of README, CONTRIBUTING and docs/ leads somewhere."""
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / link).exists(), (page, link)


def test_the_configs_of_the_readme_load(tmp_path: Path) -> None:
    """The YAML in the README is a config."""
    (block,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    path = tmp_path / "readme.yaml"
    path.write_text(block)
    assert len(load(path).problems) == 3


def test_the_objective_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The objective in the README works as written, with the name it has there, and its gradient is right."""
    (block,) = (b for b in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "class Chain" in b)
    (entry,) = re.findall(r"`objective: (\{.*?\})`", README)
    (tmp_path / "my_module.py").write_text(block)
    monkeypatch.syspath_prepend(str(tmp_path))
    problem = {"objective": yaml.safe_load(entry), "distribution": "bernoulli", "logits": [0.5, -1.0, 2.0]}
    plan = expand(load({"name": "mine", "problems": [problem], "estimators": ["ste", "reinforce"]}))
    of = problem_of(plan.problems[0], "cpu")
    p, q = of.independent.mean, 1 - of.independent.mean
    neighbours = torch.stack([p[1], p[0] + p[2], p[1]])  # ∂/∂φ_d of 0.5 (p_0 p_1 + p_1 p_2) is 0.5 p_d q_d times these
    assert of.exact_gradient is not None
    torch.testing.assert_close(of.exact_gradient, 0.5 * p * q * neighbours)
    mean = exact(of, catalogue.estimator(plan.cells[0].estimator), 1).mean  # of ste: unbiased, as f is multilinear
    np.testing.assert_allclose(mean, of.exact_gradient.numpy(), atol=1e-15)


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_configs_load(path: Path) -> None:
    """Every shipped config is valid and named as its file."""
    assert load(path).name == path.stem


def test_everything_is_everything() -> None:
    """configs/everything.yaml has the whole catalogue."""
    names = {choice.spec.name for choice in load(ROOT / "configs" / "everything.yaml").estimators}
    assert names == set(catalogue.ESTIMATORS)


@pytest.mark.parametrize("name", [*catalogue.ESTIMATORS, *catalogue.OBJECTIVES, *ALIASES])
def test_everything_can_be_shown(name: str) -> None:
    """`estbench show` has a page for every name, with options and, for estimators, sources."""
    page = guide.page(name)
    assert "Options" in page
    assert len(page.splitlines()) > 3


def test_every_reference_is_used_and_known() -> None:
    """Estimators cite known papers, and no paper stands there uncited."""
    cited = {key for kind in catalogue.ESTIMATORS.values() for key in kind().facts.sources}
    assert cited == set(REFERENCES)
