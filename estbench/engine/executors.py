"""Executors: where tasks are done. Each yields every task with its records, in whatever order they come.

Tasks are pure, so the records are the same wherever and however often a task is done; a worker that dies costs time and
nothing else, unless one and the same cell kills its worker every time.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import torch

from estbench.engine.run import Execute
from estbench.engine.task import Record, Task
from estbench.errors import UsageError

LIVES = 3
"""How often a worker may die of a task before the task's cells are marked failed."""

Done = tuple[Task, list[Record]]


@dataclass(frozen=True)
class Where:
    """Where to work: in this process or so many others (0: one for each core), or on a Dask cluster."""

    executor: Literal["local", "dask"] = "local"
    workers: int = 1
    scheduler: str | None = None


HERE = Where()


def choose(where: Where, device: str) -> AbstractContextManager[Execute]:
    """The executor that works there, open until its context ends; on an accelerator, this process."""
    count = where.workers or len(os.sched_getaffinity(0))
    if where.executor == "dask" or where.scheduler is not None:
        try:
            from estbench.engine.cluster import dask  # noqa: PLC0415 - Dask is an optional dependency
        except ImportError as error:
            raise UsageError("--executor dask needs Dask: pip install 'estbench[dask]'") from error
        return dask(count, where.scheduler)
    return nullcontext(serial) if count == 1 or device != "cpu" else Pool(count)


def settle() -> None:
    """One torch thread, and memory that is kept.

    Blocks are of half a megabyte and live for microseconds. By default malloc hands each back to the system, and the
    page faults of getting it again cost ten times what the arithmetic does.
    """
    torch.set_num_threads(1)
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # not glibc
        return
    trim_threshold, mmap_threshold = -1, -3
    mallopt(mmap_threshold, 2**30)
    mallopt(trim_threshold, 2**30)


def serial(tasks: Iterable[Task]) -> Iterator[Done]:
    """Do the tasks here, one after the other."""
    threads = torch.get_num_threads()
    settle()
    try:
        for task in tasks:
            yield task, task.perform()
    finally:
        torch.set_num_threads(threads)


def perform(tasks: list[Task]) -> list[list[Record]]:
    """The records of some tasks, each a list."""
    settle()
    return [task.perform() for task in tasks]


class Pool:
    """So many processes, each with one torch thread, started when there is something to do.

    When a process dies (of a signal, say, or for want of memory) those tasks that were under way are done again, one at
    a time, each in a process of its own: so the one to blame is found.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=kind is None, cancel_futures=True)
            if kind is not None:  # an interrupt, say: what is under way is not worth waiting for
                for process in multiprocessing.active_children():
                    process.terminate()

    def __call__(self, tasks: Iterable[Task]) -> Iterator[Done]:
        """Do the tasks."""
        queue = iter(tasks)
        pending: dict[Future[list[list[Record]]], Task] = {}
        while True:
            for task in islice(queue, 2 * self._workers - len(pending)):
                pending[self._submit(task)] = task
            if not pending:
                return
            done = wait(pending, return_when=FIRST_COMPLETED).done
            if any(isinstance(future.exception(), BrokenProcessPool) for future in done):
                self._executor = None
                suspects, pending = list(pending.values()), {}
                for task in suspects:
                    yield task, alone(task)
            for future in done & pending.keys():
                (records,) = future.result()
                yield pending.pop(future), records

    def _submit(self, task: Task) -> Future[list[list[Record]]]:
        if self._executor is None:
            self._executor = _processes(self._workers)
        try:
            return self._executor.submit(perform, [task])
        except BrokenProcessPool as error:  # it broke since the last answer
            broken: Future[list[list[Record]]] = Future()
            broken.set_exception(error)
            return broken


def alone(task: Task) -> list[Record]:
    """A task's records, each try in a process of its own; after the last, its cells one group at a time, or failed."""
    for _ in range(LIVES):
        with _processes(1) as executor:
            try:
                (records,) = executor.submit(perform, [task]).result()
            except BrokenProcessPool:
                continue
            return records
    return casualties(task, alone)


def casualties(task: Task, retry: Callable[[Task], list[Record]]) -> list[Record]:
    """What becomes of a task whose worker died too often: its pieces are retried; what cannot be cut has failed."""
    if pieces := task.pieces():
        return [record for piece in pieces for record in retry(piece)]
    reason = f"its worker process died {LIVES} times (killed, or out of memory)"
    return [{"kind": "failed", "key": key, "reason": reason} for key in task.cells()]


def _processes(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _ignore_interrupts)


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
