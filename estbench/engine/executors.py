"""Executors perform tasks, in this process or in others. Each yields every task with its records, in any order.

Tasks are pure, so the records are the same wherever and however often a task is done; a worker that dies costs time and
nothing else, unless one and the same cell kills its worker every time.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Literal

import torch

from estbench.engine.tasks import Record, Task
from estbench.version import __version__

MAX_WORKER_DEATHS = 3
"""How many workers may die of a cell before it is marked failed."""

Done = tuple[Task, list[Record]]


@dataclass(frozen=True)
class Execution:
    """Where to work: in this process or so many others (0: one for each core), or on a Dask cluster."""

    executor: Literal["local", "dask"] = "local"
    workers: int = 1
    scheduler: str | None = None


IN_THIS_PROCESS = Execution()


def versions() -> dict[str, str]:
    """What this process computes with: the last bits of results may depend on any of it."""
    return {"estbench": __version__, "python": platform.python_version(), **_of_packages()}


@cache
def _of_packages() -> dict[str, str]:
    return {package: version(package) for package in ("torch", "numpy", "scipy")}


def configure_process() -> None:
    """One torch thread, and memory that is kept.

    Blocks are of a megabyte and live for microseconds. By default malloc hands each back to the system, and the
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
    configure_process()
    try:
        for task in tasks:
            yield task, task.perform()
    finally:
        torch.set_num_threads(threads)


def perform(tasks: list[Task]) -> list[list[Record]]:
    """The records of some tasks, each a list."""
    configure_process()
    return [task.perform() for task in tasks]


def redo_in_pieces(task: Task, again: Callable[[Task], list[Record] | str]) -> list[Record]:
    """What becomes of a task that a worker died of: its pieces are done `again`; what kills once more has failed.

    `again` returns the records of a piece, or how its workers died.
    """
    records = []
    for piece in task.pieces() or [task]:
        answer = again(piece)
        if isinstance(answer, str):
            answer = [{"kind": "failed", "key": key, "reason": answer} for key in piece.cells()]
        records += answer
    return records
