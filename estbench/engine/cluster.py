"""Tasks on a Dask cluster."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any

from distributed import Client, KilledWorker, LocalCluster, as_completed

from estbench.engine.executors import Done, casualties, perform
from estbench.engine.run import Execute
from estbench.engine.task import Record, Task
from estbench.errors import UsageError

BATCH_SECONDS, MAX_BATCH = 1.0, 256


@contextmanager
def dask(workers: int, scheduler: str | None = None) -> Iterator[Execute]:
    """An executor on the Dask cluster of that scheduler, or on a local one of so many worker processes.

    Tasks are sent in batches that take a second or more, as the scheduler's own work is some milliseconds a batch.
    Dask itself repeats what a dead worker had; a batch that no worker survives is taken apart.
    """
    if scheduler is None:
        options = {"threads_per_worker": 1, "dashboard_address": None, "silence_logs": logging.ERROR}
        with LocalCluster(n_workers=workers, **options) as cluster, Client(cluster, set_as_default=False) as client:
            yield partial(_on, client)
        return
    try:
        client = Client(scheduler, timeout="10s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise UsageError(f"--scheduler {scheduler}: no Dask scheduler answers there ({error})") from error
    with client:
        yield partial(_on, client)


def _on(client: Client, tasks: Iterable[Task]) -> Iterator[Done]:
    queue, size = iter(tasks), 1
    sent: dict[Any, list[Task]] = {}
    answered = as_completed(loop=client.loop)

    def send() -> None:
        if batch := list(islice(queue, size)):
            future = client.submit(timed, batch, pure=False)
            sent[future.key] = batch
            answered.add(future)

    def again(task: Task) -> list[Record]:
        try:
            _, answers = client.submit(timed, [task], pure=False).result()
        except KilledWorker:
            return casualties(task, again)
        records: list[Record] = answers[0]
        return records

    for _ in range(2 * max(1, len(client.scheduler_info(n_workers=-1)["workers"]))):
        send()
    for future in answered:
        batch = sent.pop(future.key)
        try:
            seconds, answers = future.result()
            size = max(1, min(MAX_BATCH, round(BATCH_SECONDS * len(batch) / max(seconds, 1e-6))))
        except KilledWorker:
            answers = [again(task) for task in batch]
        send()
        yield from zip(batch, answers, strict=True)


def timed(tasks: list[Task]) -> tuple[float, list[list[Record]]]:
    """The seconds that some tasks took, and their records."""
    start = time.perf_counter()
    records = perform(tasks)
    return time.perf_counter() - start, records
