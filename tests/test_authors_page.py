"""docs/authors.md is true: its Python runs, and its tables name what there is."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from estbench.adapters import FORMS
from estbench.cli.app import app
from estbench.distributions import Bernoulli, Categorical
from estbench.draws import Draw, Relaxed
from estbench.estimators.base import Facts

PAGE = (Path(__file__).parents[1] / "docs" / "authors.md").read_text()


def table(heading: str) -> set[str]:
    """The names in the first column of the table below a heading."""
    rows = re.findall(r"^\| (`[^|]*) \|", PAGE.split(heading)[1].split("\n#")[0], re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)[^`]*`", row)}


@pytest.mark.slow
def test_the_code_of_the_page_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All blocks, one after the other in one session, and the commands of the first section that take no time."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) >= 5
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks:
        exec(compile(block, "authors.md", "exec"), names)  # noqa: S102 - it is our own page
    (tmp_path / "mine.py").write_text(blocks[0])
    shown = CliRunner().invoke(app, ["show", "mine.py:StraightThrough"])
    assert "form sampler" in shown.output


def test_the_tables_name_what_there_is() -> None:
    """All facts but the family, all members of a draw that are public, and the forms."""
    facts = {field.name for field in dataclasses.fields(Facts)} - {"family"}
    assert table("### Facts") == facts
    members = table("### The draw")
    of_draw = {name for name in dir(Draw) if not name.startswith("_")} | {
        "R",
        "N",
        "problem",
        "distribution",
        "weights",
    }
    engine = {"written", "differences", "shared", "with_same_noise", "unserved", "shard"}
    assert of_draw - engine <= members
    for name in members - of_draw:
        assert all(hasattr(kind, name) for kind in (Bernoulli, Categorical)), name
    (relaxed,) = re.findall(r"^\| `relaxed.*$", PAGE, re.MULTILINE)
    assert {*re.findall(r"`\.(\w+)`", relaxed)} == {"y", "f", "df"} <= {*dir(Relaxed)}
    assert table("## The four forms") >= set(FORMS)


@pytest.mark.parametrize("what", ["estimator", "objective"])
def test_what_init_writes_works(what: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`init estimator` and `init objective` write a file and a test, which passes; neither replaces anything."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"my_{what}_of_the_tests"
    assert CliRunner().invoke(app, ["init", what, name]).output.split()[:2] == [f"{name}.py", f"test_{name}.py"]
    names: dict[str, object] = {}
    exec(compile((tmp_path / f"test_{name}.py").read_text(), "test", "exec"), names)  # noqa: S102 - it is our own
    for each, test in names.items():
        if each.startswith("test_") and callable(test):
            test()
    again = CliRunner().invoke(app, ["init", what, name])
    assert again.exit_code == 2
