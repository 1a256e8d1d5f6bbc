"""Figures drawn by several processes at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from estbench.errors import EstbenchError
from estbench.workers import Death, Worker

Result = TypeVar("Result")


def share(
    work: Callable[..., Result],
    tasks: Sequence[tuple[Any, ...]],
    processes: int,
    show: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """work(*task) of every task, in their order, by so many processes; `show` is told (done, all) as they get done.

    This process is one of them: it begins at the end of the list, while the others import what they need. A thread for
    each of the others gives it tasks from the front. Raises what `work` raises.
    """
    told = show or _nobody
    workers = _started(work, processes - 1)
    if not workers:
        results = []
        for task in tasks:
            results.append(work(*task))
            told(len(results), len(tasks))
        return results
    idle: SimpleQueue[Worker] = SimpleQueue()
    for worker in workers:
        idle.put(worker)
    theirs: list[int] = []
    try:
        with ThreadPoolExecutor(len(workers)) as threads:
            futures = [threads.submit(_by_worker, idle, task) for task in tasks]
            for i, future in enumerate(futures):
                future.add_done_callback(lambda done, i=i: None if done.cancelled() else theirs.append(i))  # type: ignore[misc]
            try:
                own = {}
                for i in reversed(range(len(tasks))):
                    if futures[i].cancel():
                        own[i] = work(*tasks[i])
                        told(len(own) + len(theirs), len(tasks))
                results = [own[i] if i in own else future.result() for i, future in enumerate(futures)]
                told(len(tasks), len(tasks))
                return results
            finally:
                threads.shutdown(cancel_futures=True)
    finally:
        for worker in workers:
            worker.end()


def _started(work: Callable[..., Any], count: int) -> list[Worker]:
    """`count` workers, or as many as the system allows. They are spawned: this process need not wait for them."""
    workers: list[Worker] = []
    with suppress(OSError):
        while len(workers) < count:
            workers.append(Worker(partial(_applied, work), imports=None))
    return workers


def _applied(work: Callable[..., Result], task: tuple[Any, ...]) -> Result:
    return work(*task)


def _by_worker(idle: SimpleQueue[Worker], task: tuple[Any, ...]) -> Any:
    """The result of a task by a worker that has none."""
    worker = idle.get()
    try:
        worker.send(task)
        while (answer := worker.answer()) is None:
            pass
    finally:
        idle.put(worker)
    if isinstance(answer, Death):
        raise EstbenchError(f"a process that draws figures died {answer.text}")
    return answer.value


def _nobody(done: int, whole: int) -> None:
    """Progress is not shown."""
    del done, whole
