"""A run folder is read from its manifest and its journal alone: no torch, no catalogue, no plug-in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic.dataclasses import dataclass
from torch import Tensor

from estbench import catalogue
from estbench.comparison import entries
from estbench.config import load, resolve
from estbench.draws import Draw
from estbench.errors import ResultsError, UsageError
from estbench.estimators.base import Facts
from estbench.expand import expand
from estbench.plan import plan_of, recorded
from estbench.store.manifest import written
from estbench.store.records import canonical, checksum
from estbench.summary import read_results
from tests.store.runs import CONFIG, run

ROOT = Path(__file__).parents[2]

PLUGIN = """
from pydantic.dataclasses import dataclass
from estbench.estimators.base import Facts


@dataclass(frozen=True)
class X:
    @property
    def facts(self):
        return Facts("score function")

    def rows(self, draw):
        return draw.lift(draw.fz) * draw.score
"""

READ = """
import sys

sys.path.append(".")
from estbench.cli.app import app

for command in COMMANDS:
    try:
        app(command)
    except SystemExit as end:
        assert not end.code, (command, end.code)
    loaded = {"torch", "evilmod", "estbench.catalogue", "estbench.expand"} & set(sys.modules)
    assert not loaded, (command, loaded)
"""

COMMANDS = [
    ["status", "run"],
    ["export", "run", "--format", "json"],
    ["compare", "run"],
    ["compare", "run", "--estimators", "mine,loo", "--reference", "bengio_centred"],
    ["plot", "run", "--kind", "overview", "-o", "drawn"],
    ["report", "run"],
    ["merge", "run", "-o", "both"],
]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run without plug-ins."""
    return run(tmp_path_factory.mktemp("plain") / "run", problems=CONFIG["problems"][:1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with an estimator of a plug-in that is gone; what stands in its place leaves a mark."""
    place = tmp_path_factory.mktemp("reading")
    module = place / "evilmod.py"
    module.write_text(PLUGIN)
    estimators = [*CONFIG["estimators"], "evilmod:X"]
    code = "import sys; sys.path.append('.'); from pathlib import Path\nfrom tests.store.runs import CONFIG, run\n"
    code += f"run(Path('run'), estimators={estimators!r}, problems=CONFIG['problems'][:1])"
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=place, env=environment(), capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    module.write_text("open('mark', 'w')")
    return place / "run"


def environment() -> dict[str, str]:
    """The environment of a process that is to find this package, and these tests."""
    return os.environ | {"PYTHONPATH": str(ROOT)}


@pytest.mark.slow
def test_reading_imports_neither_torch_nor_plug_ins(folder: Path) -> None:
    """Every command that reads a run works without its plug-in, does not run what has its name, and needs no torch."""
    code = f"COMMANDS = {COMMANDS!r}\n{READ}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder.parent, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not (folder.parent / "mark").exists()


def test_a_plan_is_read_as_it_was_made() -> None:
    """All cells, layouts and settings come back from JSON; of the problems all but the logits, which the config has."""
    plan = expand(load(CONFIG))
    manifest = json.loads(json.dumps({"config": CONFIG | {"methods": ["exact", "monte_carlo"]}, **recorded(plan)}))
    manifest["config"] |= {"seed": 0, "level": 0.95, "delta": 0.01}
    found = plan_of(manifest, "here")
    assert found.cells == plan.cells
    assert found.layouts == plan.layouts
    assert found.config == plan.config
    assert found.problems == tuple(replace(problem, logits=()) for problem in plan.problems)


@pytest.mark.parametrize(
    ("table", "entry"),
    [
        ("cells", ["k", 9, 0, 1, "exact", None]),
        ("cells", ["k", 0, 99, 1, "exact", None]),
        ("cells", ["k", 0, 0, 0, "exact", None]),
        ("cells", ["k", 0, 0, 1, "guess", None]),
        ("cells", None),
        ("variants", ["v", 77, None, None]),
        ("variants", ["v", 0, "hot", None]),
        ("problems", {"id": 3}),
        ("estimators", []),
    ],
)
def test_a_table_that_is_no_table_is_refused(plain: Path, table: str, entry: Any) -> None:
    """An index beyond its table, a number out of range, another type: one message that names the manifest."""
    path = plain / "manifest.json"
    before = path.read_text()
    manifest = json.loads(before)
    del manifest["crc32"]
    manifest[table][-1] = entry
    try:
        path.write_text(written(manifest | {"crc32": checksum(canonical(manifest))}))
        with pytest.raises(ResultsError, match=r"manifest\.json: damaged"):
            read_results(plain)
    finally:
        path.write_text(before)


@dataclass(frozen=True)
class Before:
    """An estimator as it was."""

    slope: float = 1.0

    @property
    def facts(self) -> Facts:
        """Nothing special."""
        return Facts("straight-through")

    def rows(self, draw: Draw) -> Tensor:
        """slope · s(z)."""
        return self.slope * draw.score


@dataclass(frozen=True)
class After(Before):
    """The same with more options, a temperature among them, each with a default."""

    scale: float = 2.0
    temperature: float = 1.0


@dataclass(frozen=True)
class Renamed:
    """The same with another name for its option."""

    gradient: float = 1.0

    @property
    def facts(self) -> Facts:
        """Nothing special."""
        return Facts("straight-through")


def test_an_option_that_is_added_with_a_default_keeps_results(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys, ids and the recorded config stay as they were when an estimator gets another option with a default."""
    found = []
    for kind in (Before, After):
        monkeypatch.setitem(catalogue.ESTIMATORS, "grown", kind)
        config = load(CONFIG | {"estimators": ["grown", "grown[slope=3]"], "temperatures": []})
        found.append((expand(config), resolve(config)))
    (before, recorded_before), (after, recorded_after) = found
    assert [cell.key for cell in before.cells] == [cell.key for cell in after.cells]
    assert recorded_before == recorded_after
    assert len({cell.key for cell in after.cells}) == len(after.cells)


def test_a_run_with_an_option_that_has_another_name_now_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its rows keep the old name. To go on under the new one is refused, and says which estimator has changed."""
    changes = {"problems": CONFIG["problems"][:1], "estimators": ["grown[slope=3]", "rloo"]}
    monkeypatch.setitem(catalogue.ESTIMATORS, "grown", Before)
    folder = run(tmp_path / "run", **changes)
    monkeypatch.setitem(catalogue.ESTIMATORS, "grown", Renamed)
    assert {entry.name for entry in entries([read_results(folder)])} == {"grown[slope=3]", "rloo"}
    with pytest.raises(UsageError, match=r'removed or changed: \{"label": "grown\[slope=3\]"'):
        run(folder, **changes | {"estimators": ["grown[gradient=3]", "rloo"]})
