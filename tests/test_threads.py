"""How many threads linear algebra uses in the processes that are started here."""

from __future__ import annotations

import os
import time
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from estbench.plots.workers import share
from estbench.processes import start_worker
from estbench.threads import ONE_THREAD


def told(connection: Connection) -> None:
    """Tell the variables of this process."""
    connection.send({name: os.environ.get(name) for name in ONE_THREAD})


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
    process, connection = start_worker(told)
    assert connection.recv() == ONE_THREAD
    process.join()
    assert set(map(os.environ.get, ONE_THREAD)) == {"8"}


@pytest.mark.usefixtures("many")
def test_processes_that_draw_figures_use_one_thread_each(tmp_path: Path) -> None:
    """What shares work with this process is told before it imports anything."""
    path = tmp_path / "threads"
    share(written, [(str(path),)] * 2, processes=2)
    assert path.read_text().split() == ["1"] * len(ONE_THREAD)
