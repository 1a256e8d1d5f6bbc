"""Rows that are kept beside the journal are those that would be derived from it, or they are not used."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic.dataclasses import dataclass
from torch import Tensor

from estbench.draws import Draw
from estbench.engine import benchmark
from estbench.engine.benchmark import Benchmark
from estbench.estimators.base import Facts
from estbench.frames import read_frame
from estbench.store import Store, merge, read, read_manifest
from estbench.summary import findings, kept, read_results
from estbench.summary.kept import SUMMARY
from estbench.summary.table import merged
from tests.store.runs import CONFIG as SMALL
from tests.store.runs import run


@dataclass(frozen=True)
class Undefined:
    """0/0, or no answer at all."""

    answers: bool = True

    @property
    def facts(self) -> Facts:
        """Nothing exact."""
        return Facts("score function", f=1, exact="none")

    def rows(self, draw: Draw) -> Tensor:
        """NaN."""
        if not self.answers:
            raise RuntimeError('no answer, \u2014 "none"\n')
        return draw.z * float("nan")


HERE = "tests.summary.test_kept"
NETWORK: dict[str, Any] = {
    "kind": "network",
    "network": {"name": "vae", "hidden": 4},
    "distribution": "bernoulli",
    "dimensions": 2,
    "training": {"estimator": ["exact", "own"], "epochs": 1, "batch": 100, "seeds": 2, "learning_rate": 0.02},
    "checkpoints": [0, 1],
}
TRAJECTORY: dict[str, Any] = {
    "kind": "trajectory",
    "objective": "quadratic",
    "distribution": "bernoulli",
    "logits": 0.3,
    "training": {"steps": 4, "seeds": 3, "learning_rate": 0.1},
    "checkpoints": [0, 4],
}
EVERY: dict[str, Any] = SMALL | {
    "name": "every",
    "problems": [*SMALL["problems"][:1], NETWORK, TRAJECTORY],
    "samples": [1],
    "estimators": ["ste", "gumbel", "rloo", f"{HERE}:Undefined", f"{HERE}:Undefined[answers=false]"],
}
"""Rows that are done, exact, skipped, failed, of networks and over seeds."""


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of all kinds of rows."""
    folder = tmp_path_factory.mktemp("kept") / "every"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "kept_apart", lambda _: False)  # a process for them would take most of the time
        for _ in Benchmark.of(EVERY, folder).run():
            pass
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that takes no time."""
    return run(tmp_path_factory.mktemp("kept") / "small")


def derived(folder: Path) -> list[dict[str, Any]]:
    """The rows that the journal of a run gives."""
    found = read(folder)
    return [finding.row for finding in findings(found.plan, found.items)]


def used(folder: Path) -> list[dict[str, Any]] | None:
    """The kept rows of a run, if they are used."""
    found = read_results(folder)
    assert found.origin is not None
    return kept.kept(folder, found.origin)


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two rows have the same entries in the same order, to the last bit; NaN is NaN."""
    numbers = (float, int)
    return list(a) == list(b) and all(
        x == y or (isinstance(x, numbers) and isinstance(y, numbers) and math.isnan(x) and math.isnan(y))
        for x, y in zip(a.values(), b.values(), strict=True)
    )


def test_kept_rows_are_the_derived_ones(every: Path) -> None:
    """Every entry of every kind of row, to the last bit, and so is the frame that is made of them."""
    rows = used(every)
    assert rows is not None
    assert {row["status"] for row in rows} == {"ok", "skipped", "failed"}
    assert {row["kind"] for row in rows} == {"toy", "network", "trajectory"}
    assert all(map(same, rows, derived(every)))
    shown = read_frame(every)
    (every / SUMMARY).rename(every / "away")
    try:
        pd.testing.assert_frame_equal(shown, read_frame(every), check_exact=True)
    finally:
        (every / "away").rename(every / SUMMARY)


def no_constant(name: str) -> None:
    """What JSON does not have."""
    raise AssertionError(name)


def test_every_file_of_a_run_is_json_that_any_program_reads(every: Path) -> None:
    """No NaN and no Infinity in manifest, journal and kept rows."""
    texts = [(every / "manifest.json").read_text()]
    texts += [line for name in ("journal.jsonl", SUMMARY) for line in (every / name).read_text().splitlines()]
    for text in texts:
        json.loads(text, parse_constant=no_constant)
    assert '"temperature":null' in (every / SUMMARY).read_text()


def test_numbers_that_are_not_finite_come_back_and_texts_stay(tmp_path: Path) -> None:
    """NaN and both infinities, of Python and of numpy, beside texts that read like them."""
    row = {"label": "Infinity", "reason": "null", "snr": math.inf, "variance": -math.inf, "mse": math.nan, "samples": 2}
    row |= {"cosine": np.float64(0.5), "true_norm": np.float32("inf"), "replicates": None, "status": "NaN"}
    row |= {"dimensions": np.int64(3)}
    text = kept.written([row], {"journal": "x"})
    json.loads(text.splitlines()[1], parse_constant=no_constant)
    (tmp_path / SUMMARY).write_text(text)
    found = kept.kept(tmp_path, {"journal": "x"})
    assert found is not None
    assert same(found[0], {name: value.item() if hasattr(value, "item") else value for name, value in row.items()})


def test_whoever_reads_a_run_derives_nothing_again(small: Path) -> None:
    """`export` writes results.csv again, and has not imported scipy, which metrics need."""
    code = (
        "import sys; from pathlib import Path; from estbench.frames import read_frame; from estbench.summary.table "
        "import as_csv; print(as_csv(read_frame(Path(sys.argv[1]))), end=''); assert 'scipy' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, small], capture_output=True, text=True, check=True)
    assert done.stdout == (small / "results.csv").read_text()


def other_journal(folder: Path) -> None:
    """One more result."""
    with Store(folder, read_manifest(folder)) as store:
        key = read(folder).plan.cells[0].key
        store.append({"kind": "failed", "key": key, "reason": "once more"})


def other_level(folder: Path) -> None:
    """The manifest of a config with another level, the journal as it is."""
    manifest = read_manifest(folder)
    with Store(folder, manifest | {"config": manifest["config"] | {"level": 0.9}}):
        pass


def no_file(folder: Path) -> None:
    """Nothing is kept."""
    (folder / SUMMARY).unlink()


def link(folder: Path) -> None:
    """A symbolic link to the right rows."""
    (folder / SUMMARY).rename(folder / "elsewhere")
    (folder / SUMMARY).symlink_to("elsewhere")


def pipe(folder: Path) -> None:
    """A pipe, which nobody may wait for."""
    (folder / SUMMARY).unlink()
    os.mkfifo(folder / SUMMARY)


def a_folder(folder: Path) -> None:
    """A folder."""
    (folder / SUMMARY).unlink()
    (folder / SUMMARY).mkdir()


def deep(folder: Path) -> None:
    """JSON that no parser follows."""
    (folder / SUMMARY).write_text("[" * 100_000 + "\n[]\n")


@pytest.mark.parametrize("change", [other_journal, other_level, no_file, link, pipe, a_folder, deep])
def test_rows_of_something_else_are_not_used(change: Callable[[Path], None], small: Path, tmp_path: Path) -> None:
    """Another journal or manifest, or another kind of file: rows are derived, and nobody is told off."""
    folder = Path(shutil.copytree(small, tmp_path / "run"))
    assert used(folder) is not None
    change(folder)
    assert used(folder) is None
    assert all(map(same, read_results(folder).rows, derived(folder)))


@pytest.mark.parametrize("part", ["estbench", "numpy", "scipy"])
def test_rows_of_another_program_are_not_used(part: str, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit of a source, or another numpy or scipy, may change the numbers."""
    before = kept._program()
    assert used(small) is not None
    monkeypatch.setattr(kept, "_program", lambda: {**before, part: "another"})
    assert used(small) is None


def test_every_source_of_the_program_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new file, another name, or text that moves from one file into the next is another program."""
    monkeypatch.setattr(kept, "_PROGRAM", tmp_path)
    seen = set()
    for files in ({"a.py": "x"}, {"b.py": "x"}, {"a.py": "x", "b.py": ""}, {"a.py": "", "b.py": "x"}, {"a.py": "y"}):
        for old in tmp_path.iterdir():
            old.unlink()
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        seen.add(kept._program.__wrapped__()["estbench"])
    assert len(seen) == 5


@settings(max_examples=60, deadline=None)
@given(at=st.floats(0, 1, exclude_max=True), byte=st.integers(1, 255))
def test_a_changed_byte_is_noticed(small: Path, at: float, byte: int) -> None:
    """Whatever byte of the file is another, no row of it is used."""
    path = small / SUMMARY
    right = path.read_bytes()
    wrong = bytearray(right)
    wrong[int(at * len(wrong))] ^= byte
    found = read_results(small)
    assert found.origin is not None
    try:
        path.write_bytes(wrong)
        assert kept.kept(small, found.origin) is None
    finally:
        path.write_bytes(right)


def test_a_torn_line_changes_nothing(small: Path, tmp_path: Path) -> None:
    """What a crash leaves of a line after the last whole one is left out by whoever reads, here too."""
    folder = Path(shutil.copytree(small, tmp_path / "run"))
    with (folder / "journal.jsonl").open("ab") as file:
        file.write(b'{"crc32"')
    assert used(folder) is not None


def test_rows_follow_a_run_that_goes_on(small: Path, tmp_path: Path) -> None:
    """What was kept before is replaced, by `run` and by `merge`; `--fresh` deletes it first."""
    folder = Path(shutil.copytree(small, tmp_path / "run"))
    before = used(folder)
    run(folder, estimators=[*SMALL["estimators"], "disarm"])
    after = used(folder)
    assert before is not None
    assert after is not None
    assert len(after) > len(before)
    merge([small], tmp_path / "joined")
    assert used(tmp_path / "joined") is None
    merged([small], tmp_path / "joined")
    assert used(tmp_path / "joined") is not None
    with Store(folder, read_manifest(folder), fresh=True):
        assert not (folder / SUMMARY).exists()


def test_an_interrupted_run_keeps_what_it_has(tmp_path: Path) -> None:
    """The rows are written with results.csv, however the run ends."""
    work = Benchmark.of(SMALL, tmp_path / "run").run()
    for _, _ in zip(range(12), work, strict=False):
        pass
    work.close()
    rows = used(tmp_path / "run")
    assert rows
    assert all(map(same, rows, derived(tmp_path / "run")))
