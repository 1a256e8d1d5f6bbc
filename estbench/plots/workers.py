"""Work shared by this process with others."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

from estbench.threads import one_thread

Result = TypeVar("Result")


def share(
    work: Callable[..., Result],
    tasks: Sequence[tuple[Any, ...]],
    processes: int,
    show: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """work(*task) of every task, in their order, by so many processes; `show` is told (done, all) as they get done.

    This one is one of them: it takes from the end what no other has begun, and has no second to wait for its imports.
    """
    told = show or _nobody
    if processes <= 1:
        results = []
        for task in tasks:
            results.append(work(*task))
            told(len(results), len(tasks))
        return results
    deaf = (signal.SIGINT, signal.SIG_IGN)
    with ProcessPoolExecutor(processes - 1, get_context("spawn"), signal.signal, deaf) as pool:
        with one_thread():  # they are started as tasks are submitted
            futures = [pool.submit(work, *task) for task in tasks]
        theirs: list[int] = []
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
            pool.shutdown(cancel_futures=True)


def _nobody(done: int, whole: int) -> None:
    """Nobody asked."""
    del done, whole
