"""Executors: where tasks are done. Each yields every task with its records, in whatever order they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch

from estbench.engine.task import Record, Task


def serial(tasks: Iterable[Task]) -> Iterator[tuple[Task, list[Record]]]:
    """Do the tasks here, one after the other, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for task in tasks:
            yield task, task.perform()
    finally:
        torch.set_num_threads(threads)
