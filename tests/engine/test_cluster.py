"""Dask: the same bytes as one process, whatever dies, and messages that say what is wrong with a cluster."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from distributed import LocalCluster

from estbench.engine import cluster as engine
from estbench.engine.benchmark import Benchmark
from estbench.engine.executors import IN_THIS_PROCESS, Execution, versions
from estbench.errors import UsageError
from estbench.store import read
from tests.cli.forked import PATIENCE, environment, until
from tests.engine.runs import CONFIG, LESS, config, odd, once, same_as, statuses, values
from tests.sizes import SMALL, at_whole_size

ESTBENCH = [sys.executable, "-m", "estbench"]
VARIABLES = {**environment(), "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}  # each death takes seconds
LONG = {**CONFIG, "replicates": 1_000_000 if SMALL else 4_000_000}


@contextmanager
def process(folder: Path, name: str, *command: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process, with all that it starts, that is gone afterwards; what it says is in a file."""
    with (folder / f"{name}.log").open("wb") as log:
        started = subprocess.Popen(
            [*map(str, command)], cwd=folder, env=VARIABLES, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield started
    finally:
        end(started)


def end(started: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    started.wait(PATIENCE)


class Cluster:
    """A scheduler and two workers on the loopback, each a process group of its own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        file = folder / "scheduler.json"
        here = ["--host", "127.0.0.1", "--scheduler-file", file]
        dask = [sys.executable, "-m", "dask"]
        ports = ["--port", 0, "--dashboard-address", "127.0.0.1:0"]
        self.scheduler = stack.enter_context(process(folder, "scheduler", *dask, "scheduler", *here, *ports))
        until(lambda: file.exists() and file.read_text().rstrip().endswith("}"))  # it is whole
        self.address: str = json.loads(file.read_text())["address"]
        options = ["--nthreads", 1, "--no-dashboard", "--local-directory", folder]
        self.workers = [
            stack.enter_context(process(folder, f"worker{i}", *dask, "worker", *here, *options)) for i in range(2)
        ]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Such a cluster, its processes gone afterwards."""
    (tmp_path / "cluster").mkdir()
    with ExitStack() as stack:
        yield Cluster(tmp_path / "cluster", stack)


def run(folder: Path, *options: object) -> subprocess.CompletedProcess[str]:
    """`estbench run run.yaml` in a folder."""
    command = [*ESTBENCH, "run", "run.yaml", *map(str, options)]
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=False
    )


@pytest.mark.slow
def test_a_cluster_gives_the_same_bytes_though_a_worker_is_killed(cluster: Cluster, tmp_path: Path) -> None:
    """A real scheduler and two real workers, one killed in the middle, give the bytes of `-j 1`, and say nothing."""
    config(tmp_path, LONG)
    command = [*ESTBENCH, "run", "run.yaml", "-q", "--scheduler", cluster.address, "-o", "cluster-run"]
    with process(tmp_path, "run", *command) as running:
        journal = tmp_path / "cluster-run" / "journal.jsonl"
        until(lambda: journal.exists() and b'"kind":"job"' in journal.read_bytes())
        end(cluster.workers[0])
        assert running.poll() is None, "it was over before the worker was killed"
        assert running.wait(PATIENCE) == 0
    assert (tmp_path / "run.log").read_text() == ""
    assert run(tmp_path, "-qj1", "-o", "one").returncode == 0
    same_as(tmp_path / "cluster-run", tmp_path / "one")


@pytest.mark.slow
@at_whole_size
def test_a_scheduler_that_goes_is_told_and_the_run_goes_on_without(cluster: Cluster, tmp_path: Path) -> None:
    """When the scheduler is killed, one message says so; what was done is kept, and any executor goes on from there."""
    config(tmp_path, LONG)
    command = [*ESTBENCH, "run", "run.yaml", "-q", "--scheduler", cluster.address, "-o", "run"]
    with process(tmp_path, "run", *command) as running:
        journal = tmp_path / "run" / "journal.jsonl"
        until(lambda: journal.exists() and b'"kind":"job"' in journal.read_bytes())
        end(cluster.scheduler)
        assert running.wait(PATIENCE) == 1
    said = (tmp_path / "run.log").read_text()
    assert said.startswith("estbench: the Dask cluster failed")
    assert said.count("\n") == 1
    kept = read(tmp_path / "run").items
    assert run(tmp_path, "-qj1", "-o", "run").returncode == 0
    assert kept.items() <= read(tmp_path / "run").items.items()
    once(tmp_path / "run")


@pytest.mark.slow
@at_whole_size
def test_a_cluster_outlives_cells_that_kill_or_hang(cluster: Cluster, tmp_path: Path) -> None:
    """On a cluster too, what kills its workers or hangs fails with its reason, and all else is done."""
    (tmp_path / "deaths").mkdir()
    config(tmp_path, LESS, estimators=["reinforce", odd("kill", tmp_path / "deaths"), odd("loop"), "gumbel"])
    done = run(tmp_path, "-q", "--scheduler", cluster.address, "-o", "run", "--cell-timeout", 2)
    assert done.returncode == 3
    assert done.stderr.splitlines()[:-1] == [
        "failed: kill: its Dask worker died, again and again (killed, out of memory, or it took longer than 2 s "
        "(--cell-timeout) and heard no interrupt)",
        "failed: loop: TimeoutError: it took longer than 2 s (--cell-timeout)",
    ]
    assert statuses(tmp_path / "run") == {"reinforce": "ok", "kill": "failed", "loop": "failed", "gumbel": "ok"}


@pytest.mark.slow
@at_whole_size
def test_a_local_cluster_is_started_and_ended(tmp_path: Path) -> None:
    """`--executor dask` alone starts a cluster, says nothing about it, gives the bytes of `-j 1`, and ends it."""
    config(tmp_path)
    done = run(tmp_path, "-qj2", "--executor", "dask", "-o", "dask")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert run(tmp_path, "-qj1", "-o", "one").returncode == 0
    same_as(tmp_path / "dask", tmp_path / "one")


@pytest.mark.slow
@pytest.mark.parametrize("wait", [0.5, 4.0] if SMALL else [0.0, 0.5, 1.0, 2.0, 4.0, 8.0])
def test_ctrl_c_while_a_local_cluster_starts_works_and_ends(wait: float, tmp_path: Path) -> None:
    """At whatever moment: one message, exit code 130, no traceback of Dask's."""
    config(tmp_path, LONG)
    command = [*ESTBENCH, "run", "run.yaml", "--executor", "dask", "-qj2", "-o", "run"]
    with process(tmp_path, "run", *command) as started:
        until((tmp_path / "run.log").exists)
        time.sleep(1.0 + wait)
        os.killpg(started.pid, signal.SIGINT)
        assert started.wait(PATIENCE) == 130
    (line,) = (tmp_path / "run.log").read_text().splitlines()
    assert line.startswith(("Interrupted. All finished work is in run", "estbench: interrupted"))


def test_batches_on_a_cluster_of_threads(tmp_path: Path) -> None:
    """Sent in batches to workers that are threads, a run has the results it has in one process, failures included."""
    data = {**CONFIG, "replicates": 5_000, "estimators": ["reinforce", "gumbel", "rebar", odd("exit")]}
    options: dict[str, Any] = {
        "threads_per_worker": 1,
        "dashboard_address": engine.NOWHERE,
        "silence_logs": logging.CRITICAL,
    }
    start: Any = LocalCluster  # Dask has no types
    with start(n_workers=2, processes=False, **options) as threads:
        where = Execution(executor="dask", scheduler=threads.scheduler_address)
        for name, place in (("dask", where), ("one", IN_THIS_PROCESS)):
            benchmark = Benchmark.of(data, tmp_path / name)
            for _ in benchmark.run(place):
                pass
    assert read(tmp_path / "dask").items.keys() == read(tmp_path / "one").items.keys()
    assert values(tmp_path / "dask").equals(values(tmp_path / "one"))
    assert set(statuses(tmp_path / "dask").values()) == {"ok", "failed"}


def test_a_scheduler_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address where nothing answers, or that is none, is told, and nothing is made on disk or lost."""
    monkeypatch.setattr(engine, "CONNECT_SECONDS", 0.2)
    answers = {
        "tcp://127.0.0.1:1": "no Dask scheduler answers there",
        "nonsense://x": "the protocol must be tcp or tls",
    }
    for address, said in answers.items():
        benchmark = Benchmark.of(LESS, tmp_path / "run", fresh=True)
        with pytest.raises(UsageError, match=rf"--scheduler {address}: {said}"):
            list(benchmark.run(Execution(scheduler=address)))
    assert not (tmp_path / "run").exists()


def test_workers_with_other_versions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker with another torch, or without estbench, is refused by its address; that there is none yet is told."""
    ours, told = versions(), MagicMock()
    monkeypatch.setattr(engine.log, "warning", told)
    client = MagicMock()
    client.run.return_value = {"tcp://a:1": ours}
    engine.check(client, "tcp://s:1")
    client.run.assert_called_with(versions)
    client.run.return_value = {"tcp://a:1": ours, "tcp://b:2": {**ours, "torch": "1.0"}}
    with pytest.raises(UsageError, match=r"worker tcp://b:2 has torch 1\.0; this process estbench"):
        engine.check(client, "tcp://s:1")
    client.run.side_effect = ModuleNotFoundError("No module named 'estbench'")
    with pytest.raises(UsageError, match="estbench is not installed on the workers"):
        engine.check(client, "tcp://s:1")
    assert not told.called
    client.run.side_effect, client.run.return_value = None, {}
    engine.check(client, "tcp://s:1")
    ((text, *of),) = (call.args for call in told.call_args_list)
    assert text % tuple(of) == "tcp://s:1 has no workers yet; waiting for `dask worker tcp://s:1`"
