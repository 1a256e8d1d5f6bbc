"""An estimate of the time that a run will take."""

from __future__ import annotations

import time
from collections.abc import Mapping
from math import isnan, nan

from estbench.catalogue import facts_of
from estbench.engine.stages import groups_of
from estbench.engine.tasks import FitTask, Group, problem_of
from estbench.estimators.base import Estimator, Fitted, RowEstimator
from estbench.exact import enumerable, size
from estbench.exact.integrand import Integrand
from estbench.plan import Cell, Plan
from estbench.preflight.forecast import skipped
from estbench.problem import Problem

START = 2.0
"""Seconds of processor time until the first task begins, torch mostly. The constants were measured on one machine."""

_CELL, _JOB = 1e-3, 1.5e-4  # seconds for a row of the results, and for a cell in a job
_TIMED = 4 * 2**15  # random numbers on which a cell is timed, where that is asked for
_STEP = 3e-4  # seconds for a step of a trajectory beside its estimates
_EXACT, _NODE = 1e-3, 3e-7  # seconds for exact moments, and for a node beside the estimate itself
_LONG = 0.1  # seconds of a fit that does something
_NODES, _MORE = 2000, 25  # nodes of one axis, and how many times more each further axis takes


def durations(plan: Plan, seconds: Mapping[str, float]) -> list[float]:
    """About the seconds that each problem of a plan takes on one core; a run takes START more.

    `seconds` are those of one estimate, by cell key. The sum has R estimates of each cell (where rows are averaged, of
    the largest N alone, as all N share them); the timings, if the config has them; for exact moments all multisets of N
    states (see `exact.enumeration`) or some 2000 · 25^{axes − 1} nodes; and the fits: each estimator is fitted once for
    all its temperatures and problems. A run also shares draws between estimators, and may be faster. With a
    precision only the pilot is counted. NaN where the time of an estimate is NaN: it was not measured.
    """
    fits: dict[str, float] = {}
    return [_duration(plan, i, seconds, fits) for i in range(len(plan.problems))]


def trajectories(plan: Plan, seconds: Mapping[str, float]) -> float:
    """About the seconds that the steps of all trajectories take on one core."""
    steps: dict[str, float] = {}
    for cell in plan.cells:
        at = plan.problems[cell.problem].at
        if at is None or at.training.kind != "trajectory" or cell.key not in seconds:
            continue
        training = at.training_of(cell.estimator, cell.samples)
        steps[training.id] = training.epochs * (_STEP + training.seeds * seconds[cell.key])
    return sum(steps.values())


def _duration(plan: Plan, i: int, seconds: Mapping[str, float], fits: dict[str, float]) -> float:
    spec, layout = plan.problems[i], plan.layouts[i]
    jobs = len(list(layout.jobs()))
    cells = [cell for cell in plan.cells if cell.problem == i and cell.reason is None and cell.key in seconds]
    if not cells:
        return 0.0  # all have failed: there may be no such problem
    if any(isnan(seconds[cell.key]) for cell in cells):
        return nan
    problem = problem_of(spec, "cpu")
    total = _CELL * len(cells)
    if plan.config.timings:
        total += sum(_TIMED / (spec.numbers * cell.samples) * seconds[cell.key] for cell in cells)
    for group in groups_of(cell for cell in cells if cell.method == "monte_carlo"):
        each = [seconds[key] for _, key in group.cells]
        shared = max(each) if isinstance(group.estimator(), RowEstimator) else sum(each)
        total += layout.replicates * shared + _JOB * jobs * len(each)
    for group in groups_of(cell for cell in cells if cell.method == "exact" and skipped(plan, cell) is None):
        total += _exact(problem, group, seconds)
    return total + sum(_fit(plan, cell, fits) for cell in {cell.estimator: cell for cell in cells}.values())


def _exact(problem: Problem, group: Group, seconds: Mapping[str, float]) -> float:
    """Exact moments of a group: states for each N that they are few enough for, nodes or single states once."""
    estimator, total, nodes = group.estimator(), _EXACT * len(group.cells), 0.0
    for N, key in group.cells:
        if N > 1 and enumerable(problem, estimator, N):
            M = size(problem, estimator, N)
            rows = isinstance(estimator, RowEstimator)
            total += problem.n_states * seconds[key] / N + M * _NODE if rows else M * (seconds[key] + _NODE)
        else:
            nodes = _nodes(problem, estimator) * (seconds[key] / N / facts_of(estimator).inner + _NODE)
    return total + nodes


def _nodes(problem: Problem, estimator: Estimator) -> float:
    if enumerable(problem, estimator, 1):
        return problem.n_states
    g = problem.exact_gradient
    assert g is not None
    return _NODES * float(_MORE) ** (Integrand(problem, estimator, g, g).axes - 1)


def _fit(plan: Plan, cell: Cell, fits: dict[str, float]) -> float:
    """The seconds that fitting the estimator of a cell took, now or before; 0 where there is nothing to fit."""
    label = cell.estimator.label
    if label not in fits:
        (group,) = groups_of([cell])
        task = FitTask(plan.problems[cell.problem], group, plan.config.seed)
        fitted = isinstance(group.estimator(), Fitted)
        fits[label] = _seconds(task) if fitted else 0.0
        if fitted and sum(seconds > _LONG for seconds in fits.values()) == 1:
            fits[label] = min(fits[label], _seconds(task))  # the first one loads half of torch
    return fits[label]


def _seconds(task: FitTask) -> float:
    start = time.perf_counter()
    task.perform()
    return time.perf_counter() - start
