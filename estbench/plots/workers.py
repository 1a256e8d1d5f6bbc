"""Work shared by this process with others."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

Result = TypeVar("Result")


def share(work: Callable[..., Result], tasks: Sequence[tuple[Any, ...]], processes: int) -> list[Result]:
    """work(*task) of every task, in their order, by so many processes.

    This one is one of them: it takes from the end what no other has begun, and has no second to wait for its imports.
    """
    if processes <= 1:
        return [work(*task) for task in tasks]
    deaf = (signal.SIGINT, signal.SIG_IGN)
    with ProcessPoolExecutor(processes - 1, get_context("spawn"), signal.signal, deaf) as pool:
        futures = [pool.submit(work, *task) for task in tasks]
        try:
            own = {i: work(*tasks[i]) for i in reversed(range(len(tasks))) if futures[i].cancel()}
            return [own[i] if i in own else future.result() for i, future in enumerate(futures)]
        finally:
            pool.shutdown(cancel_futures=True)
