"""How many threads linear algebra uses in the processes that are started here."""

from __future__ import annotations

import os
import time
from multiprocessing import parent_process
from pathlib import Path

import pytest

from estbench.plots.workers import share
from estbench.threads import ONE_THREAD
from estbench.workers import Answer, Worker


def variable(name: str) -> str | None:
    """A variable of this process."""
    return os.environ.get(name)


def written(path: str) -> None:
    """Write the variables of another process; in the first one wait until one has."""
    if parent_process() is None:
        for _ in range(6000):
            if Path(path).exists():
                return
            time.sleep(0.01)
    else:
        Path(path).write_text(" ".join(os.environ.get(name, "unset") for name in ONE_THREAD))


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that asks for many threads."""
    for name in ONE_THREAD:
        monkeypatch.setenv(name, "8")


@pytest.mark.usefixtures("many")
def test_workers_that_are_spawned_use_one_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no server forks them, the environment says so, whatever it says to this process."""
    monkeypatch.setattr("estbench.processes.prepare", lambda _: False)
    worker = Worker(variable, imports=__name__)
    assert worker.answer() is None
    for name in ONE_THREAD:
        worker.send(name)
        assert worker.answer() == Answer("1")
    worker.end()
    assert set(map(os.environ.get, ONE_THREAD)) == {"8"}


@pytest.mark.slow
@pytest.mark.usefixtures("many")
def test_processes_that_draw_figures_use_one_thread_each(tmp_path: Path) -> None:
    """What shares work with this process is told before it imports anything."""
    path = tmp_path / "threads"
    share(written, [(str(path),)] * 2, processes=2)
    assert path.read_text().split() == ["1"] * len(ONE_THREAD)
