"""A run: the stages of a plan, performed one after the other, with their results and failures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from estbench.engine.stages import WHOLE, Items, Part, stages, without
from estbench.engine.tasks import (
    CostTask,
    FitTask,
    Group,
    NetworkTask,
    Record,
    ShardTask,
    Task,
    TrainTask,
    TrajectoryTask,
)
from estbench.errors import EstbenchError
from estbench.plan import Cell, Plan, ProblemSpec, fit_key
from estbench.store import Memory, Store

Execute = Callable[[Iterable[Task]], Iterator[tuple[Task, list[Record]]]]
"""Does tasks, in any order and anywhere, and yields each with its records."""


@dataclass(frozen=True)
class Progress:
    """How many of the tasks known so far are done; `replicates` came with the last one."""

    done: int
    total: int
    replicates: int = 0


@dataclass(frozen=True)
class Failure:
    """A cell failed; the others go on, unless the run is to stop at the first failure."""

    cell: Cell
    reason: str


def run(
    plan: Plan,
    store: Store | Memory,
    execute: Execute,
    *,
    device: str = "cpu",
    timeout: float | None = None,
    stop_on_error: bool = False,
    part: Part = WHOLE,
) -> Iterator[Progress | Failure]:
    """Do what the store lacks of a plan, append it as it comes, and yield what happens; what is there is never redone.

    Costs come first, then fits, exact moments, and the shards; with a precision, the shards of the pilot and then
    as many as it asks for; last the timings, where they are asked for. With `stop_on_error` the first failure raises
    EstbenchError.
    """
    cells = {cell.key: cell for cell in plan.cells}
    failed: set[str] = set()
    done = 0
    for total, tasks in stages(plan, store, device, part):
        yield Progress(done, total)
        end = done + len(tasks)
        limited = (replace(task, timeout=timeout) for task in ready(tasks, failed, store.items))
        for task, records in execute(limited):
            store.append(*records)
            for record in records:
                if record["kind"] == "failed" and record["key"] not in failed:
                    failed.add(record["key"])
                    yield Failure(cells[record["key"]], record["reason"])
                    if stop_on_error:
                        raise EstbenchError(f"stopped at the first failure: {record['reason']}")
            done += 1
            yield Progress(done, total, _replicates(task))
        done = end  # those of failed cells were not asked for


def _replicates(task: Task) -> int:
    return task.shards * task.layout.shard_size if isinstance(task, ShardTask) else 0


def ready(tasks: Iterable[Task], failed: set[str], items: Items) -> Iterator[Task]:
    """The tasks, asked for one by one: without the cells that have failed by then, and with what fits have found."""
    for task in tasks:
        if isinstance(task, CostTask | TrajectoryTask):
            yield task
        elif isinstance(task, TrainTask):
            if looked := tuple(cell for cell in task.looked if cell[0] not in failed):
                yield replace(task, looked=looked)
        elif isinstance(task, NetworkTask):
            if groups := without(task.groups, failed.__contains__):
                yield replace(task, groups=groups, parameters=items[("trained", task.trained, "")]["parameters"])
        elif isinstance(task, FitTask):
            if left := without([task.group], failed.__contains__):
                yield replace(task, group=left[0])
        elif groups := without(task.groups, failed.__contains__):
            yield replace(task, groups=tuple(_fitted(task.spec, group, items) for group in groups))


def _fitted(spec: ProblemSpec, group: Group, items: Items) -> Group:
    """The group with the numbers that its fit found, lists made tuples again."""
    found = items.get(("fit", fit_key(spec, group.of), ""), {"fields": {}})["fields"]
    return replace(group, fitted=tuple((name, _tuples(value)) for name, value in found.items()))


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
