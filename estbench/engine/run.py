"""A run: what is still to be done of a plan, in which order, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from estbench.engine.task import CostTask, ExactTask, FitTask, Group, Record, ShardTask, Task
from estbench.errors import EstbenchError
from estbench.estimators.base import Fitted
from estbench.intervals import Shards, shards_needed
from estbench.moments import Moments
from estbench.plan import PILOT, Cell, Plan, ProblemSpec
from estbench.store import Item, Store
from estbench.summary import packed_shards, truth

Items = Mapping[Item, Any]
Execute = Callable[[Iterable[Task]], Iterator[tuple[Task, list[Record]]]]
"""Does tasks, in any order and anywhere, and yields each with its records."""


@dataclass(frozen=True)
class Progress:
    """So many of the tasks known so far are done; `replicates` came with the last one."""

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
    store: Store,
    execute: Execute,
    *,
    device: str = "cpu",
    timeout: float | None = None,
    stop_on_error: bool = False,
) -> Iterator[Progress | Failure]:
    """Do what the store lacks of a plan, append it as it comes, and yield what happens; what is there is never redone.

    Costs, exact moments and fits come first, then the shards; with a precision, the shards of the pilot and then as
    many as it asks for. With `stop_on_error` the first failure raises EstbenchError.
    """
    cells = {cell.key: cell for cell in plan.cells}
    failed: set[str] = set()
    done = total = 0
    for stage in (_preparations, _pilot, _extension):
        tasks = list(stage(plan, store.items, device))
        total += len(tasks)
        yield Progress(done, total)
        timed = (replace(task, timeout=timeout) for task in _unless_failed(tasks, failed))
        for task, records in execute(timed):
            store.append(*records)
            for record in records:
                if record["kind"] == "failed" and record["key"] not in failed:
                    failed.add(record["key"])
                    yield Failure(cells[record["key"]], record["reason"])
                    if stop_on_error:
                        raise EstbenchError(f"stopped at the first failure: {record['reason']}")
            done += 1
            yield Progress(done, total, _replicates(task))


def _replicates(task: Task) -> int:
    return task.shards * task.layout.shard_size if isinstance(task, ShardTask) else 0


def _unless_failed(tasks: Iterable[Task], failed: set[str]) -> Iterator[Task]:
    """The tasks, asked for one by one, without the cells that have failed by then."""
    for task in tasks:
        if not isinstance(task, ShardTask):
            yield task
        elif groups := tuple(group for group in (_without(group, failed) for group in task.groups) if group.cells):
            yield replace(task, groups=groups)


def _without(group: Group, failed: set[str]) -> Group:
    return replace(group, cells=tuple(cell for cell in group.cells if cell[1] not in failed))


def groups_of(cells: Iterable[Cell]) -> tuple[Group, ...]:
    """Cells by estimator and temperature, the temperatures in order: a draw keeps what belongs to the last one."""
    found: dict[tuple[str, tuple[tuple[str, Any], ...]], list[tuple[int, str]]] = {}
    for cell in sorted(cells, key=lambda cell: cell.temperature or 0.0):
        own = () if cell.temperature is None else (("temperature", cell.temperature),)
        found.setdefault((cell.estimator.name, cell.estimator.options + own), []).append((cell.samples, cell.key))
    return tuple(Group(name, options, tuple(sorted(cells))) for (name, options), cells in found.items())


def _of_problem(plan: Plan, method: str | None = None) -> Iterator[tuple[int, list[Cell]]]:
    """The sensible cells of each problem, by its index."""
    by_problem: dict[int, list[Cell]] = {}
    for cell in plan.cells:
        if cell.reason is None and method in (None, cell.method):
            by_problem.setdefault(cell.problem, []).append(cell)
    yield from by_problem.items()


def _preparations(plan: Plan, items: Items, device: str) -> Iterator[Task]:
    """Costs, exact moments and fits that are not there yet."""
    seed = plan.config.seed
    for i, cells in _of_problem(plan):
        spec, layout = plan.problems[i], plan.layouts[i]
        if groups := groups_of(cell for cell in cells if ("cost", cell.key, "") not in items):
            sampled = "monte_carlo" in plan.config.methods
            replicates = layout.shards_per_job * layout.block_rows * max(plan.config.samples) if sampled else 0
            yield CostTask(spec, groups, seed, replicates, device)
        for group in groups_of(c for c in cells if c.method == "exact" and ("exact", c.key, "") not in items):
            yield ExactTask(spec, group)
        for group in groups_of(c for c in cells if c.method == "monte_carlo"):
            if isinstance(group.estimator(), Fitted) and ("fit", f"{spec.id}/{group.id}", "") not in items:
                yield FitTask(spec, group, seed, device)


def _pilot(plan: Plan, items: Items, device: str) -> Iterator[Task]:
    """The shards that every cell gets: all of them, or those of the pilot."""
    for i, cells in _of_problem(plan, "monte_carlo"):
        yield from _shards(plan, i, dict.fromkeys(cells, plan.layouts[i].shards), 0, items, device)


def _extension(plan: Plan, items: Items, device: str) -> Iterator[Task]:
    """The shards beyond the pilot that a precision asks for, cell by cell, from the pilot alone."""
    if plan.config.precision is None:
        return
    for i, cells in _of_problem(plan, "monte_carlo"):
        wanted = {cell: shards_wanted(plan, cell, items) for cell in cells}
        yield from _shards(plan, i, wanted, PILOT, items, device)


def shards_wanted(plan: Plan, cell: Cell, items: Items) -> int:
    """The number of shards, pilot included, that the precision of a config asks of a cell."""
    precision, layout = plan.config.precision, plan.layouts[cell.problem]
    assert precision is not None
    packed = packed_shards(plan, cell, items)
    if packed is None:  # failed
        return PILOT
    pilot = Shards.of(Moments.unpack(packed[:PILOT], truth(plan, cell, items)))
    return shards_needed(pilot, precision.relative, layout.stages[-1], precision.metric)


def _shards(
    plan: Plan, i: int, wanted: Mapping[Cell, int], start: int, items: Items, device: str
) -> Iterator[ShardTask]:
    """The jobs from shard `start` on, each with the cells that want it and lack it."""
    spec, layout, config = plan.problems[i], plan.layouts[i], plan.config
    for first, shards in layout.jobs():
        key = f"{spec.id}/{first}"
        wanting = [cell for cell, needed in wanted.items() if start <= first < needed]
        lacking = [cell for cell in wanting if ("job", key, cell.key) not in items]
        if groups := tuple(_fitted(spec, group, items) for group in groups_of(lacking)):
            yield ShardTask(spec, groups, config.seed, max(config.samples), layout, first, shards, device)


def _fitted(spec: ProblemSpec, group: Group, items: Items) -> Group:
    """The group with the numbers that its fit found, lists made tuples again."""
    found = items.get(("fit", f"{spec.id}/{group.id}", ""), {"fields": {}})["fields"]
    return replace(group, fitted=tuple((name, _tuples(value)) for name, value in found.items()))


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
