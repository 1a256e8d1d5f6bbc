"""A run: what is still to be done of a plan, in which order, and what came of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from estbench.engine.tasks import CostTask, ExactTask, FitTask, Group, Record, ShardTask, Task
from estbench.errors import EstbenchError
from estbench.estimators.base import Fitted
from estbench.intervals import Shards, shards_needed
from estbench.moments import Moments
from estbench.plan import PILOT, Cell, Plan, ProblemSpec
from estbench.store import Item, Store
from estbench.summary import packed_shards, prepared, truth

Items = Mapping[Item, Any]
Execute = Callable[[Iterable[Task]], Iterator[tuple[Task, list[Record]]]]
"""Does tasks, in any order and anywhere, and yields each with its records."""

COSTS = 64
"""Cells, about, whose costs one task finds: the first results are not long in coming."""


@dataclass(frozen=True)
class Part:
    """What one machine of several does: of numbered pieces of work each `of`-th, beginning with the `number`-th."""

    number: int = 1
    of: int = 1

    def has(self, index: int) -> bool:
        """Whether the piece of this index, from 0, is in it."""
        return index % self.of == self.number - 1


WHOLE = Part()


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
    part: Part = WHOLE,
) -> Iterator[Progress | Failure]:
    """Do what the store lacks of a plan, append it as it comes, and yield what happens; what is there is never redone.

    Costs come first, then fits, exact moments, and the shards; with a precision, the shards of the pilot and then
    as many as it asks for. With `stop_on_error` the first failure raises EstbenchError.
    """
    cells = {cell.key: cell for cell in plan.cells}
    failed: set[str] = set()
    done = 0
    for total, tasks in _stages(plan, store, device, part):
        yield Progress(done, total)
        end = done + len(tasks)
        ready = (replace(task, timeout=timeout) for task in _ready(tasks, failed, store.items))
        for task, records in execute(ready):
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


def _stages(plan: Plan, store: Store, device: str, part: Part) -> Iterator[tuple[int, list[Task]]]:
    """The tasks stage by stage, each done before the next begins, and how many are known by then."""
    first: list[list[Task]] = [
        list(stage(plan, store.items, device, part)) for stage in (_costs, _fits, _exacts, _pilot)
    ]
    known = sum(map(len, first))
    for tasks in first:
        yield known, tasks
    last: list[Task] = list(_extension(plan, store.items, device, part))
    yield known + len(last), last


def _replicates(task: Task) -> int:
    return task.shards * task.layout.shard_size if isinstance(task, ShardTask) else 0


def _ready(tasks: Iterable[Task], failed: set[str], items: Items) -> Iterator[Task]:
    """The tasks, asked for one by one: without the cells that have failed by then, and with what fits have found."""
    for task in tasks:
        if isinstance(task, CostTask):
            yield task
        elif isinstance(task, ShardTask):
            if groups := _without(task.groups, failed.__contains__):
                yield replace(task, groups=tuple(_fitted(task.spec, group, items) for group in groups))
        elif left := _without([task.group], failed.__contains__):
            yield replace(task, group=_fitted(task.spec, left[0], items))


def _without(groups: Iterable[Group], gone: Callable[[str], bool]) -> tuple[Group, ...]:
    """The groups, or what is left of them, without the cells that are gone."""
    left = (replace(group, cells=tuple(cell for cell in group.cells if not gone(cell[1]))) for group in groups)
    return tuple(group for group in left if group.cells)


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


def _costs(plan: Plan, items: Items, device: str, part: Part) -> Iterator[Task]:
    """Costs that are not there yet, and what is known of each problem."""
    seed, N = plan.config.seed, max(plan.config.samples)
    sampled = "monte_carlo" in plan.config.methods
    bundles = ((i, bundle) for i, cells in _of_problem(plan) for bundle in _bundles(groups_of(cells)))
    for index, (i, bundle) in enumerate(bundles):
        spec, layout = plan.problems[i], plan.layouts[i]
        groups = _without(bundle, lambda key: ("cost", key, "") in items)
        if part.has(index) and (groups or ("problem", spec.id, "") not in items):
            yield CostTask(spec, groups, seed, layout.shards_per_job * layout.block_rows * N if sampled else 0, device)


def _bundles(groups: Iterable[Group]) -> Iterator[list[Group]]:
    """The groups in order, some `COSTS` cells at a time."""
    bundle: list[Group] = []
    for group in groups:
        bundle.append(group)
        if sum(len(each.cells) for each in bundle) >= COSTS:
            yield bundle
            bundle = []
    if bundle:
        yield bundle


def _fits(plan: Plan, items: Items, device: str, part: Part) -> Iterator[Task]:
    """The fits that are not there yet; every part needs them all."""
    del part
    for i, cells in _of_problem(plan):
        spec = plan.problems[i]
        for group in groups_of(cells):
            if isinstance(group.estimator(), Fitted) and ("fit", f"{spec.id}/{group.id}", "") not in items:
                yield FitTask(spec, group, plan.config.seed, device)


def _exacts(plan: Plan, items: Items, device: str, part: Part) -> Iterator[Task]:
    """Exact moments that are not there yet."""
    del device
    index = itertools.count()
    for i, cells in _of_problem(plan, "exact"):
        for group in groups_of(cells):
            left = _without([group], lambda key: ("exact", key, "") in items)
            if part.has(next(index)) and left:
                yield ExactTask(plan.problems[i], left[0])


def _jobs(plan: Plan, i: int, part: Part) -> Iterator[tuple[int, int]]:
    """The jobs of a problem that are of this part: (first shard, number of shards)."""
    return (job for j, job in enumerate(plan.layouts[i].jobs()) if part.has(i + j))


def _pilot(plan: Plan, items: Items, device: str, part: Part) -> Iterator[Task]:
    """The shards that every cell gets: all of them, or those of the pilot."""
    for i, cells in _of_problem(plan, "monte_carlo"):
        yield from _shards(plan, i, dict.fromkeys(cells, plan.layouts[i].shards), 0, items, device, part)


def _extension(plan: Plan, items: Items, device: str, part: Part) -> Iterator[Task]:
    """The shards beyond the pilot that a precision asks for, cell by cell, from the pilot alone."""
    if plan.config.precision is None:
        return
    for i, cells in _of_problem(plan, "monte_carlo"):
        wanted = {cell: shards_wanted(plan, cell, items) for cell in cells}
        yield from _shards(plan, i, wanted, PILOT, items, device, part)


def shards_wanted(plan: Plan, cell: Cell, items: Items) -> int:
    """The number of shards, pilot included, that the precision of a config asks of a cell."""
    precision, layout = plan.config.precision, plan.layouts[cell.problem]
    assert precision is not None
    packed = packed_shards(plan, cell, items)
    if packed is None or len(packed) < PILOT or not prepared(plan, cell, items):  # failed, or another part's
        return PILOT
    pilot = Shards.of(Moments.unpack(packed[:PILOT], truth(plan, cell, items)))
    return shards_needed(pilot, precision.relative, layout.stages[-1], precision.metric)


def _shards(
    plan: Plan, i: int, wanted: Mapping[Cell, int], start: int, items: Items, device: str, part: Part
) -> Iterator[ShardTask]:
    """The jobs of this part from shard `start` on, each with the cells that want it and lack it."""
    spec, layout, config = plan.problems[i], plan.layouts[i], plan.config
    for first, shards in _jobs(plan, i, part):
        key = f"{spec.id}/{first}"
        wanting = (cell for cell, needed in wanted.items() if start <= first < needed)
        if groups := groups_of(cell for cell in wanting if ("job", key, cell.key) not in items):
            yield ShardTask(spec, groups, config.seed, max(config.samples), layout, first, shards, device)


def _fitted(spec: ProblemSpec, group: Group, items: Items) -> Group:
    """The group with the numbers that its fit found, lists made tuples again."""
    found = items.get(("fit", f"{spec.id}/{group.id}", ""), {"fields": {}})["fields"]
    return replace(group, fitted=tuple((name, _tuples(value)) for name, value in found.items()))


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
