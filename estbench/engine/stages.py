"""The stages of a run: what is still to be done of a plan, in which order."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from estbench.engine.tasks import (
    CostTask,
    ExactTask,
    FitTask,
    Group,
    Looked,
    NetworkTask,
    ShardTask,
    Task,
    TimingTask,
    TrainTask,
    TrajectoryTask,
)
from estbench.estimators.base import Fitted
from estbench.intervals import OutOfRange, Shards, in_range, shards_needed
from estbench.moments import Moments
from estbench.plan import PILOT, Cell, EstimatorSpec, Plan, ProblemSpec, Training, fit_key
from estbench.store import Item, Memory, Run, Store
from estbench.summary import packed_shards, prepared, rarest, truth

Items = Mapping[Item, Any]

COSTS = 64
"""Cells, about, whose costs one task finds: the first results are not long in coming."""

EXACTS = 16
"""The same for the exact moments of one variable with two classes, which take milliseconds; others may take seconds."""


@dataclass(frozen=True)
class Part:
    """What one machine of several does: of numbered pieces of work each `of`-th, beginning with the `number`-th."""

    number: int = 1
    of: int = 1

    def has(self, index: int) -> bool:
        """Whether the piece of this index, from 0, is in it."""
        return index % self.of == self.number - 1


WHOLE = Part()


def stages(plan: Plan, store: Store | Run | Memory, device: str, part: Part) -> Iterator[tuple[int, list[Task]]]:
    """The tasks stage by stage, each done before the next begins, and how many are known by then."""
    trainings = list(_trainings(plan, store.items, part))
    if trainings:
        yield len(trainings), trainings
    first: list[list[Task]] = [
        list(stage(plan, store.items, device, part))
        for stage in (_costs, _fits, _exacts, _pilot, _networks, _trajectories)
    ]
    known = len(trainings) + sum(map(len, first))
    for tasks in first:
        yield known, tasks
    last: list[Task] = list(_extension(plan, store.items, device, part))
    known += len(last)
    yield known, last
    timings: list[Task] = list(_timings(plan, store.items, device, part))
    yield known + len(timings), timings


def without(groups: Iterable[Group], gone: Callable[[str], bool]) -> tuple[Group, ...]:
    """The groups, or what is left of them, without the cells that are gone."""
    left = (replace(group, cells=tuple(cell for cell in group.cells if not gone(cell[1]))) for group in groups)
    return tuple(group for group in left if group.cells)


def groups_of(cells: Iterable[Cell]) -> tuple[Group, ...]:
    """Cells by estimator, the temperatures in order: a draw keeps what belongs to the last one."""
    found: dict[EstimatorSpec, list[tuple[int, str]]] = {}
    for cell in sorted(cells, key=lambda cell: cell.temperature or 0.0):
        found.setdefault(cell.estimator, []).append((cell.samples, cell.key))
    return tuple(Group(spec, tuple(sorted(cells))) for spec, cells in found.items())


def _of_problem(plan: Plan, method: str | None = None, *, kind: str = "toy") -> Iterator[tuple[int, list[Cell]]]:
    """The sensible cells of each problem of a kind, by its index."""
    by_problem: dict[int, list[Cell]] = {}
    for cell in plan.cells:
        if plan.problems[cell.problem].kind != kind:
            continue
        if cell.reason is None and method in (None, cell.method):
            by_problem.setdefault(cell.problem, []).append(cell)
    yield from by_problem.items()


def _trainings(plan: Plan, items: Items, part: Part) -> Iterator[Task]:
    """Trainings of which a checkpoint is not there yet; every part needs them all."""
    del part
    by_training: dict[str, tuple[ProblemSpec, Training, set[int], list[tuple[str, int]]]] = {}
    for i, cells in _of_problem(plan, kind="network"):
        spec = plan.problems[i]
        assert spec.at is not None
        for cell in cells:
            training = spec.at.training_of(cell.estimator, cell.samples)
            *_, epochs, looked = by_training.setdefault(training.id, (spec, training, set(), []))
            epochs.add(spec.at.epoch)
            looked.append((cell.key, spec.at.epoch))
    for id_, (spec, training, epochs, looked) in by_training.items():
        left = sorted(epoch for epoch in epochs if ("trained", f"{id_}/{epoch}", "") not in items)
        if left:
            yield TrainTask(spec, training, tuple(left), tuple(looked), plan.config.seed)


def _networks(plan: Plan, items: Items, device: str, part: Part) -> Iterator[Task]:
    """Moments at the checkpoints of trainings, that are not there yet; each task has cells of one training."""
    del device
    index = itertools.count()
    for i, cells in _of_problem(plan, kind="network"):
        spec, methods = plan.problems[i], {cell.key: cell.method for cell in cells}
        at, job = spec.at, f"{spec.id}/0"
        assert at is not None
        for group in groups_of(cells):
            by_samples = itertools.groupby(group.cells, key=lambda cell: cell[0])
            for each in [tuple(same) for _, same in by_samples] if at.own else [group.cells]:
                missing = tuple(c for c in each if ("exact", c[1], "") not in items and ("job", job, c[1]) not in items)
                if part.has(next(index)) and missing:
                    key = f"{at.training_of(group.of, missing[0][0]).id}/{at.epoch}"
                    own = tuple((key, methods[key]) for _, key in missing)
                    yield NetworkTask(
                        spec, (replace(group, cells=missing),), own, key, plan.layouts[i], plan.config.seed
                    )


def _trajectories(plan: Plan, items: Items, device: str, part: Part) -> Iterator[Task]:
    """Trainings of logits by which something is not there yet, those by the exact gradient first."""
    del device
    by_training: dict[str, tuple[ProblemSpec, Training, str, set[int], list[Looked]]] = {}
    for trainer in (None, "own"):
        for i, cells in _of_problem(plan, kind="trajectory"):
            spec, at = plan.problems[i], plan.problems[i].at
            assert at is not None
            for cell in cells:
                training = at.training if trainer is None else at.training_of(cell.estimator, cell.samples)
                found = by_training.setdefault(training.id, (spec, training, at.training.id, set(), []))
                found[3].add(at.epoch)
                if trainer is not None and ("seeds", cell.key, "") not in items:
                    found[4].append(Looked(at.epoch, cell.key, cell.method))
    for index, (spec, training, noise, steps, looked) in enumerate(by_training.values()):
        unrecorded = {step for step in steps if ("trained", f"{training.id}/{step}", "") not in items}
        left = unrecorded | {cell.step for cell in looked}
        if part.has(index) and left:
            yield TrajectoryTask(spec, training, tuple(sorted(left)), tuple(looked), noise, plan.config.seed)


def _costs(plan: Plan, items: Items, device: str, part: Part) -> Iterator[Task]:
    """Costs that are not there yet, and what is known of each problem."""
    bundles = ((i, bundle) for i, cells in _of_problem(plan) for bundle in _bundles(groups_of(cells), COSTS))
    for index, (i, bundle) in enumerate(bundles):
        spec = plan.problems[i]
        groups = without(bundle, lambda key: ("cost", key, "") in items)
        if part.has(index) and (groups or ("problem", spec.id, "") not in items):
            yield CostTask(spec, groups, plan.config.seed, device)


def _timings(plan: Plan, items: Items, device: str, part: Part) -> Iterator[Task]:
    """The timings that are asked for and not there yet; last, so that no result waits for them."""
    if not plan.config.timings:
        return
    index = itertools.count()
    for i, cells in _of_problem(plan):
        for bundle in _bundles(groups_of(cells), COSTS):
            groups = without(bundle, lambda key: ("timing", key, "") in items)
            if part.has(next(index)) and groups:
                yield TimingTask(plan.problems[i], groups, plan.config.seed, device)


def _bundles(groups: Iterable[Group], size: int) -> Iterator[list[Group]]:
    """The groups in order, about so many cells at a time."""
    bundle: list[Group] = []
    for group in groups:
        bundle.append(group)
        if sum(len(each.cells) for each in bundle) >= size:
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
            if isinstance(group.estimator(), Fitted) and ("fit", fit_key(spec, group.of), "") not in items:
                yield FitTask(spec, group, plan.config.seed, device)


def _exacts(plan: Plan, items: Items, device: str, part: Part) -> Iterator[Task]:
    """Exact moments that are not there yet."""
    del device
    index = itertools.count()
    for i, cells in _of_problem(plan, "exact"):
        spec = plan.problems[i]
        size = EXACTS if spec.dimensions == 1 and spec.classes == 2 else 1
        for bundle in _bundles(groups_of(cells), size):
            left = without(bundle, lambda key: ("exact", key, "") in items)
            if part.has(next(index)) and left:
                yield ExactTask(spec, left)


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
    shown = rarest(plan, cell, items) * cell.samples * PILOT * layout.shard_size
    try:
        with in_range():
            pilot = Shards.of(Moments.unpack(packed[:PILOT], truth(plan, cell, items)), rarest=shown)
            return shards_needed(pilot, precision.relative, layout.stages[-1], precision.metric)
    except OutOfRange:  # more of it would be no better
        return PILOT


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
