"""Executors: where tasks are done. Each yields every task with its records, in whatever order they come."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import partial
from multiprocessing import get_context

import torch

from estbench.engine.run import Execute
from estbench.engine.task import Record, Task
from estbench.errors import UsageError


def choose(executor: str, workers: int, scheduler: str | None, device: str) -> Execute:
    """The executor of that name; `workers` 0 means one for each core that this process may use."""
    count = workers or len(os.sched_getaffinity(0))
    if executor == "dask" or scheduler is not None:
        raise UsageError("--executor dask is not here yet")
    return serial if count == 1 or device != "cpu" else partial(pool, workers=count)


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
    m_trim_threshold, m_mmap_threshold = -1, -3
    mallopt(m_mmap_threshold, 2**30)
    mallopt(m_trim_threshold, 2**30)


def serial(tasks: Iterable[Task]) -> Iterator[tuple[Task, list[Record]]]:
    """Do the tasks here, one after the other."""
    threads = torch.get_num_threads()
    settle()
    try:
        for task in tasks:
            yield task, task.perform()
    finally:
        torch.set_num_threads(threads)


def pool(tasks: Iterable[Task], workers: int) -> Iterator[tuple[Task, list[Record]]]:
    """Do the tasks in so many processes, each with one torch thread."""
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin) as executor:
        pending: dict[Future[list[Record]], Task] = {}
        queue = iter(tasks)
        try:
            while True:
                while len(pending) < 2 * workers and (task := next(queue, None)) is not None:
                    pending[executor.submit(perform, task)] = task
                if not pending:
                    return
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    yield pending.pop(future), future.result()
        finally:
            executor.shutdown(wait=False, cancel_futures=True)


def perform(task: Task) -> list[Record]:
    """A task's records."""
    return task.perform()


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    settle()
