"""A plan done in memory: nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from estbench.engine.benchmark import executor
from estbench.engine.executors import Execution, versions
from estbench.engine.run import Failure, Progress, run
from estbench.plan import Plan
from estbench.store import Memory
from estbench.summary import Results


def run_in_memory(
    plan: Plan,
    workers: int = 1,
    see: Callable[[Progress | Failure], None] | None = None,
    *,
    device: str = "cpu",
    apart: bool = False,
    timeout: float | None = None,
) -> Results:
    """What `estbench run` would have recorded of a plan; each event is seen.

    What the plan was given itself (`Given`) goes to the workers by value.
    `workers`: 1 is this process, 0 is one process for each core. `apart`: code of users is called in other processes,
    where a job is given up after `timeout` seconds.
    """
    memory = Memory()
    with executor(Execution(workers=workers), device, apart=apart, script=False) as execute:
        for event in run(plan, memory, execute, device=device, timeout=timeout if apart else None):
            if see is not None:
                see(event)
    manifest = {"versions": versions(), "device": device, "dtype": "float64"}
    return Results(Path(plan.config.name), manifest, _as_read(plan), memory.items)


def _as_read(plan: Plan) -> Plan:
    """The plan without the objects that it was given: as it would be read from a manifest."""
    problems = tuple(replace(spec, objective_given=None, distribution_given=None) for spec in plan.problems)
    estimators = {cell.estimator: replace(cell.estimator, given=None) for cell in plan.cells}
    cells = tuple(replace(cell, estimator=estimators[cell.estimator]) for cell in plan.cells)
    return replace(plan, problems=problems, cells=cells)
