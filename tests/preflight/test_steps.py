"""`estbench check` beside code of users that ends or stops the process that asks it."""

from __future__ import annotations

import time
from math import isnan
from pathlib import Path
from typing import Any

import pytest

from estbench.config import load
from estbench.engine.guarded import demand_survived, fatal
from estbench.errors import UsageError
from estbench.expand import expand
from estbench.preflight import check
from estbench.preflight.asked import Place
from estbench.preflight.check import checked

SINE: dict[str, Any] = {"objective": "sine", "distribution": "bernoulli", "logits": [0.6]}
PATIENCE = 4.0
"""Seconds: a hundred times what a look takes, for a machine that is busy with other things."""
ENDS = {
    "of SIGSEGV": "ends/of SIGSEGV",
    "SystemExit: os._exit(7)": "throws/SystemExit: os._exit(7)",
    "KeyboardInterrupt": "throws/KeyboardInterrupt",
    f"it took longer than {PATIENCE:g} s (--cell-timeout)": "ends/took longer",
}


def config(estimators: list[Any], *problems: Any) -> dict[str, Any]:
    """A small config."""
    some = {"name": "ends", "replicates": 512, "samples": [1, 2], "methods": ["monte_carlo"]}
    return {**some, "problems": list(problems) or [SINE], "estimators": estimators}


@pytest.mark.slow
def test_what_ends_or_stops_its_process_is_found_to_do_so() -> None:
    """Each has a line with its name and what it does; the others are looked at as if it were not there."""
    unruly = [{"name": "tests.unruly:Unruly", "how": how, "label": why} for why, how in ENDS.items()]
    grasping = {"name": "tests.unruly:Grasping", "label": "grasping"}
    found = checked(expand(load(config(["reinforce", *unruly, grasping]))), apart=True, timeout=PATIENCE)
    alone = checked(expand(load(config(["reinforce"]))))
    assert [line.partition(": ")[0] for line in found.faults] == [why.partition(": ")[0] for why in ENDS]
    assert all(why in line for why, line in zip(ENDS, found.faults, strict=True)), found.faults
    rows = {row["estimator"]: row for row in found.estimators}
    assert rows["reinforce"] == alone.estimators[0]
    assert rows["grasping"]["verdict"] == "ok"
    assert {row["verdict"] for name, row in rows.items() if name in ENDS} == {"false"}
    assert [row["verdict"] for row in found.problems] == ["ok"]
    assert [row["s"] for row in found.problems] == ["–"]  # one is too slow: how long it takes was not measured
    assert isnan(found.seconds)
    assert rows[list(ENDS)[-1]]["checked"] == "mean not checked: its cells fail; cost not checked"


def test_of_many_temperatures_three_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether an estimator is pure is asked at its lowest, its highest, and one between; one without has one answer."""
    asked: list[tuple[str, float | None]] = []

    def purity(place: Place) -> tuple[bool | None, str]:
        asked.append((place.label, place.group.of.temperature))
        return True, ""

    monkeypatch.setattr(check, "purity", purity)
    temperatures = {"temperatures": [2.0, 0.1, 0.3, 0.5, 0.2]}
    checked(expand(load(config(["gumbel", "ste"]) | temperatures)))
    assert sorted(asked, key=str) == [("gumbel", 0.1), ("gumbel", 0.3), ("gumbel", 2.0), ("ste", None)]


def test_an_objective_that_ends_its_process() -> None:
    """All cells of its problem will fail; those of the others are looked at."""
    crash = SINE | {"objective": {"name": "tests.unruly:Odd", "how": "crash"}}
    found = checked(expand(load(config(["reinforce"], crash, SINE))), apart=True)
    (line,) = found.faults
    assert "all its cells will fail: its worker process died 3 times, the last time of SIGSEGV" in line
    assert [row["verdict"] for row in found.problems] == ["false", "ok"]
    assert [row["verdict"] for row in found.estimators] == ["ok"]


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        (
            "ends_at_import",
            "import ctypes; ctypes.string_at(0)",
            "importing the plug-in module ends_at_import ends the",
        ),
        ("stops_at_import", "while True: pass", "importing the plug-in module stops_at_import takes longer than 1 s"),
    ],
)
def test_a_config_that_ends_who_reads_it(
    name: str, body: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process reads it first; the message names the module."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / f"{name}.py").write_text(body)
    (tmp_path / "run.yaml").write_text("name: a\n")
    settings = [f"estimators=[reinforce,'{name}:Mine']"]
    with pytest.raises(UsageError, match=f"run.yaml: {said}.*Nothing ran"):
        demand_survived(tmp_path / "run.yaml", settings, 1.0)


def test_no_process_reads_a_config_without_plugins_first(tmp_path: Path) -> None:
    """It costs nothing where there is none, and says nothing of what is wrong otherwise."""
    (tmp_path / "run.yaml").write_text("estimators: [reinforce, 'label: of mine']\n")
    start = time.process_time()
    assert fatal(tmp_path / "run.yaml") is None
    assert time.process_time() - start < 0.1
    assert fatal(tmp_path / "run.yaml", ["estimators.0=missing_module:Mine"]) is None
