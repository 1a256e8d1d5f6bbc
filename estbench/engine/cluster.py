"""Tasks on a Dask cluster."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import islice
from typing import Any

import dask
from distributed import Client, KilledWorker, LocalCluster, Security, as_completed

from estbench.engine.executors import Done, perform, redo_in_pieces, versions
from estbench.engine.run import Execute
from estbench.engine.tasks import Record, Task, reason
from estbench.errors import EstbenchError, UsageError
from estbench.interrupts import deferred
from estbench.processes import interrupts_blocked

BATCH_SECONDS, MAX_BATCH = 1.0, 256
CONNECT_SECONDS = 10
NOWHERE = "127.0.0.1:0"  # a dashboard there is always, so one that no other can be in the way of

log = logging.getLogger(__name__)


@contextmanager
def cluster(workers: int, scheduler: str | None = None) -> Iterator[Execute]:
    """An executor on the Dask cluster of that scheduler, or on a local one of so many worker processes.

    Tasks are sent in batches that take a second or more, as the scheduler's own work is some milliseconds a batch.
    When a worker dies of a batch, Dask gives it to others, as often as `distributed.scheduler.allowed-failures` says
    (on a local cluster: not at all). Then its tasks are sent one by one, and what kills again in pieces.
    """
    for name in ("distributed", "distributed.client"):  # what concerns the user is said here, once
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if scheduler is None:
        options = {"threads_per_worker": 1, "dashboard_address": NOWHERE, "silence_logs": logging.CRITICAL}
        with dask.config.set({"distributed.scheduler.allowed-failures": 0}), ExitStack() as opened:
            with deferred(), interrupts_blocked():  # of a cluster that starts half Dask cannot close
                local = opened.enter_context(_closed(LocalCluster(n_workers=workers, **options)))
                client = opened.enter_context(_closed(Client(local, set_as_default=False)))
            yield partial(_on, client)
        return
    _check_address(scheduler)
    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--scheduler {scheduler}: no Dask scheduler answers there ({error}). `dask scheduler` starts one and says "
            "its address, such as tcp://host:8786."
        ) from error
    with _closed(client):
        check(client, scheduler)
        yield partial(_on, client)


@contextmanager
def _closed(opened: Any) -> Iterator[Any]:
    """A cluster or client of Dask, which is closed at the end, and wholly, though Ctrl-C is pressed meanwhile."""
    try:
        yield opened
    finally:
        with deferred():
            opened.close()


def _check_address(scheduler: str) -> None:
    """UsageError for an invalid address, or one that needs certificates, where a client would wait for its timeout."""
    scheme, _, place = scheduler.rpartition("://")
    wanted = None
    if scheme == "inproc":  # of a scheduler in this very process
        return
    if scheme not in ("", "tcp", "tls"):
        wanted = "the protocol must be tcp or tls"
    elif not re.fullmatch(r"(\[[0-9a-fA-F:.%\w]+\]|[^\s\[\]:/]+)(:\d{1,5})?", place):
        wanted = "expected HOST:PORT"
    elif scheme == "tls" and Security().get_connection_args("client").get("ssl_context") is None:
        wanted = "tls needs certificates, which the configuration of Dask names (distributed.comm.tls.client)"
    if wanted:
        raise UsageError(f"--scheduler {scheduler}: {wanted}, such as tcp://host:8786")


def check(client: Client, scheduler: str) -> None:
    """UsageError unless all workers compute with what this process computes with."""
    try:
        theirs = client.run(versions)
    except ImportError as error:
        raise UsageError(f"--scheduler {scheduler}: estbench is not installed on the workers ({error})") from error
    if not theirs:
        log.warning("%s has no workers yet; waiting for `dask worker %s`", scheduler, scheduler)
    ours = versions()
    for worker, found in theirs.items():
        if other := [f"{package} {found.get(package)}" for package in ours if found.get(package) != ours[package]]:
            wanted = ", ".join(f"{package} {ours[package]}" for package in ours)
            raise UsageError(f"--scheduler {scheduler}: worker {worker} has {', '.join(other)}; this process {wanted}")


def _on(client: Client, tasks: Iterable[Task]) -> Iterator[Done]:
    queue, size = iter(tasks), 1
    sent: dict[Any, list[Task]] = {}
    answered = as_completed(loop=client.loop)

    def send() -> None:
        if batch := list(islice(queue, size)):
            future = client.submit(timed, batch, pure=False)
            sent[future.key] = batch
            answered.add(future)

    def alone(task: Task) -> list[Record] | str:
        answer = _result(client.submit(timed, [task], pure=False))
        if answer is None:
            return f"its Dask worker died, again and again ({_causes(task)})"
        records: list[Record] = answer[1][0]
        return records

    for _ in range(2 * max(1, len(client.scheduler_info(n_workers=-1)["workers"]))):
        send()
    for future in answered:
        batch = sent.pop(future.key)
        answer = _result(future)
        if answer is None:
            for task in batch:
                records = alone(task) if len(batch) > 1 else ""  # a task that was sent alone has had its death
                yield task, redo_in_pieces(task, alone) if isinstance(records, str) else records
            send()
            continue
        seconds, answers = answer
        size = max(1, min(MAX_BATCH, round(BATCH_SECONDS * len(batch) / max(seconds, 1e-6))))
        send()
        yield from zip(batch, answers, strict=True)


def _causes(task: Task) -> str:
    """What a worker may have died of."""
    if task.timeout is None:
        return "killed, or out of memory"
    return f"killed, out of memory, or it took longer than {task.timeout:g} s (--cell-timeout) and heard no interrupt"


def _result(future: Any) -> tuple[float, list[list[Record]]] | None:
    """What `timed` returned, waited for; None if its workers died. EstbenchError for what is wrong with the cluster."""
    try:
        answer: tuple[float, list[list[Record]]] = future.result()
    except KilledWorker:
        return None
    except Exception as error:
        raise EstbenchError(
            f"the Dask cluster failed ({reason(error)}). What was done is kept; run again to go on."
        ) from error
    return answer


def timed(tasks: list[Task]) -> tuple[float, list[list[Record]]]:
    """The seconds that some tasks took, and their records."""
    start = time.perf_counter()
    records = perform(tasks)
    return time.perf_counter() - start, records
