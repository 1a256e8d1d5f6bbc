"""Tests that plug-ins still give the values that a run recorded: a data file or the environment may have changed.

Its source is hashed (`estbench.sources`); what it reads is not. So before a run goes on, some of its values are
computed again: for each problem of a user the exact gradient, and for each estimator that runs code of a user, on each
problem, one cell of its first job, or its exact moments where there is no job.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from estbench.engine.run import Execute, ready
from estbench.engine.stages import Items, groups_of
from estbench.engine.tasks import CostTask, ExactTask, Group, Record, ShardTask, Task
from estbench.engine.tasks.group import has_user_code
from estbench.errors import UsageError
from estbench.moments import SCALARS, Floats, first, second
from estbench.plan import Cell, Plan
from estbench.store import decode
from estbench.store.records import items_of

SAME = 1e-9
"""Values that differ by less, relative to the largest of their kind, are the same: another machine may round."""


def demand_reproduced(
    folder: Path, plan: Plan, items: Items, execute: Execute, *, device: str = "cpu", timeout: float | None = None
) -> None:
    """Raise UsageError, with what differs, unless code of users gives the values that the run in `folder` recorded."""
    labels = {cell.key: f"{cell.estimator.label} on {plan.problems[cell.problem].label}" for cell in plan.cells}
    labels |= {spec.id: spec.label for spec in plan.problems}
    tasks = (replace(task, timeout=timeout) for task in ready(recorded(plan, items, device), set(), items))
    for task, records in execute(tasks):
        for key, said in _differences(task.spec.parameters, records, items):
            raise UsageError(
                f"{folder}: this run cannot go on. Its plug-ins give other values than those it has recorded, though "
                f"their source is the same: {labels[key]}: {said}. Did a data file that they read change, or a "
                "library? Restore it, start over with --fresh, or write elsewhere with -o. Nothing was touched."
            )


def recorded(plan: Plan, items: Items, device: str) -> Iterator[Task]:
    """The tasks, one for each thing to be compared, that give again what is recorded of code of users."""
    for i, spec in enumerate(plan.problems):
        if spec.at is not None:  # its training would have to be done again
            continue
        of_problem = [cell for cell in plan.cells if cell.problem == i]
        if has_user_code(spec) and items.get(("problem", spec.id, ""), {}).get("true") is not None:
            yield CostTask(spec, (), plan.config.seed, device)
        for group in groups_of(of_problem):
            if group.runs_user_code(spec):
                yield from _of_group(plan, i, group, of_problem, items, device)


def _of_group(
    plan: Plan, i: int, group: Group, cells: list[Cell], items: Items, device: str
) -> Iterator[ShardTask | ExactTask]:
    """One cell alone: what an estimator of a user draws for one N may depend on those that it was asked for before."""
    spec, layout, config = plan.problems[i], plan.layouts[i], plan.config
    method = {cell.key: cell.method for cell in cells}
    sampled, integrated = ([c for c in group.cells if method[c[1]] == m] for m in ("monte_carlo", "exact"))
    for start, shards in layout.jobs():
        for cell in sampled:
            if ("job", f"{spec.id}/{start}", cell[1]) in items:
                one = replace(group, cells=(cell,))
                yield ShardTask(spec, (one,), config.seed, max(config.samples), layout, start, shards, device)
                return
    for cell in integrated:
        if "moments" in items.get(("exact", cell[1], ""), {}):
            yield ExactTask(spec, (replace(group, cells=(cell,)),))
            return


def _differences(parameters: int, records: list[Record], items: Items) -> Iterator[tuple[str, str]]:
    """The key of a problem or a cell, and what differs there.

    What fails now is no difference: it fails again when the run goes on, and is said then.
    """
    width = len(SCALARS) + 3 * parameters
    for record in records:
        for (kind, key, cell), now in items_of(record).items():
            before = items.get((kind, key, cell), {})
            if kind == "problem" and None not in (before.get("true"), now["true"]):
                a, b = (decode(known["true"], (1, parameters)) for known in (before, now))
                if not _same(a, b, np.abs(a).max()):
                    yield key, f"‖g‖ was {np.linalg.norm(a):.6g} and is {np.linalg.norm(b):.6g}"
            elif "moments" in before and "moments" in now:
                a, b = (decode(known["moments"], (-1, width)) for known in (before, now))
                if not _alike(a, b):
                    yield cell or key, f"the variance was {_variance(a):.6g} and is {_variance(b):.6g}"


def _alike(a: Floats, b: Floats) -> bool:
    """Whether the means and variances of two packed records are the same."""
    squares = np.nanmax(np.abs(second(a)), initial=0.0)
    size = max(np.nanmax(np.abs(first(a)), initial=0.0), squares**0.5)
    return (
        np.array_equal(a[:, :2], b[:, :2])
        and _same(first(a), first(b), size)
        and _same(second(a), second(b), max(squares, (SAME * size) ** 2))
    )


def _same(a: Floats, b: Floats, size: float) -> bool:
    return np.allclose(a, b, rtol=0.0, atol=SAME * size if np.isfinite(size) else 0.0, equal_nan=True)


def _variance(packed: Floats) -> float:
    """Tr Var ĝ within shards."""
    return float(second(packed).sum() / packed[:, 0].sum())
