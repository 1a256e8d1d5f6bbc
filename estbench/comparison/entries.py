"""What is compared: the finished Monte Carlo cells of runs, and those of them that have a name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from estbench.config import parse_selector
from estbench.config.complaint import closest
from estbench.config.selector import format_value
from estbench.errors import ResultsError, UsageError
from estbench.intervals import Shards
from estbench.names import ALIASES
from estbench.plan import Cell, EstimatorSpec
from estbench.printable import escaped
from estbench.summary import Finding, Results

At = Literal["samples", "evaluations", "seconds"]


@dataclass(frozen=True, eq=False)
class Entry:
    """One Monte Carlo cell of one run: its shards, its cost per estimate, and its row in the results of the run.

    `exactly` is the exact row of the same estimator, problem and N, where there is one that is known to 1e-8 and that
    the draws do not exclude.
    """

    run: Results
    cell: Cell
    name: str
    shards: Shards
    row: dict[str, Any]
    exactly: dict[str, Any] | None = None

    @property
    def f(self) -> int:
        """Evaluations of f."""
        return int(self.row["f_evaluations"])

    @property
    def df(self) -> int:
        """Evaluations of ∇f."""
        return int(self.row["grad_evaluations"])

    @property
    def always_zero(self) -> bool:
        """Whether every estimate is 0, as far as is known."""
        exactly = np.nan if self.exactly is None else self.exactly["zero_fraction"]
        return bool((self.row["zero_fraction"] if np.isnan(exactly) else exactly) == 1)

    def exact(self, metric: Literal["variance", "mse"]) -> float:
        """The exact value of the metric; NaN where it is not known."""
        return np.nan if self.exactly is None else float(self.exactly[metric])

    def cost(self, at: At) -> float:
        """What an estimate costs: evaluations of f and ∇f, or seconds; 1 where samples are held equal."""
        seconds = float(self.row["seconds_per_estimate"])
        return {"samples": 1.0, "evaluations": float(self.f + self.df), "seconds": seconds}[at]

    def spent(self, at: At) -> float:
        """The same, but the number of samples where these are what is counted."""
        return float(self.cell.samples) if at == "samples" else self.cost(at)


def entries(runs: Sequence[Results], mixed: bool = False) -> list[Entry]:
    """All finished Monte Carlo cells of some runs.

    Runs of other versions or devices are refused unless `mixed`: their times are not comparable, nor their last bits.
    All intervals are at the level of the first run, whatever the levels of the others.
    """
    if runs and not any("monte_carlo" in run.plan.config.methods for run in runs):
        raise ResultsError("comparing takes draws, and there are none: add monte_carlo to the methods of the config")
    if runs and all(spec.kind == "trajectory" for run in runs for spec in run.plan.problems):
        raise ResultsError(
            "trajectories are not compared in pairs: each estimator is measured where its own training has come to. "
            "Their losses, with intervals over seeds, are in training.csv, and in the figure `losses` of estbench plot"
        )
    for run in runs[1:]:
        for what in ("versions", "device", "dtype"):
            if run.manifest[what] != runs[0].manifest[what] and not mixed:
                raise ResultsError(
                    f"{runs[0].folder} and {run.folder} differ in {what} ({runs[0].manifest[what]} against "
                    f"{run.manifest[what]}); --mixed compares them all the same"
                )
    short = len({run.folder.name for run in runs}) == len(runs)
    where = [escaped(f" @ {run.folder.name if short else run.folder}") if len(runs) > 1 else "" for run in runs]
    return [entry for run, suffix in zip(runs, where, strict=True) for entry in _entries(run, suffix, runs[0])]


def _entries(run: Results, suffix: str, first: Results) -> Iterator[Entry]:
    level = first.plan.config.level
    exact = {_same_but_method(found.cell): found.row for found in run.findings if _is_exact(found)}
    for found in run.findings:
        if found.shards is not None:
            shards = found.shards if found.shards.level == level else replace(found.shards, level=level)
            exactly = exact.get(_same_but_method(found.cell))
            yield Entry(run, found.cell, found.cell.estimator.label + suffix, shards, found.row, exactly)


def _same_but_method(cell: Cell) -> tuple[int, str, int]:
    return cell.problem, cell.estimator.id, cell.samples


def _is_exact(found: Finding) -> bool:
    """Whether it is an exact row that is as good as without error, and that no draws exclude."""
    exactly = found.exactly
    if exactly is None or "exact_disagrees" in found.row["flags"]:
        return False
    return exactly.error <= 1e-8 and exactly.mean_error <= 1e-8 * float(np.linalg.norm(exactly.mean))


def skipped(runs: Iterable[Results]) -> dict[str, str]:
    """Why an estimator has no Monte Carlo cell, by its label: none of those that some runs planned makes sense."""
    reasons: dict[str, list[str | None]] = {}
    for run in runs:
        for cell in run.plan.cells:
            if cell.method == "monte_carlo":
                reasons.setdefault(cell.estimator.label, []).append(cell.reason)
    return {label: found[0] for label, found in reasons.items() if found[0] is not None and all(found)}


def selected(pool: Sequence[Entry], names: Sequence[str], option: str = "--estimators") -> list[Entry]:
    """The entries of these labels or selectors, in this order; UsageError for one that no entry fits.

    A selector is an estimator's name (or alias), with options in brackets if need be, the temperature among them:
    `reinmax[temperature=1]` are the cells of reinmax at that temperature.
    """
    chosen = []
    for name in names:
        found = [entry for entry in pool if name in (entry.name, entry.cell.estimator.label)]
        found = found or [entry for entry in pool if is_named(entry.cell.estimator, name)]
        if not found:
            known = list(dict.fromkeys(entry.name for entry in pool))
            near = closest(name, known)
            raise UsageError(f"{option}: no finished cell is of '{name}'.{near} There are {', '.join(known)}")
        chosen += [entry for entry in found if entry not in chosen]
    return chosen


def is_named(estimator: EstimatorSpec, selector: str) -> bool:
    """Whether a selector means an estimator: its name or label, and all the options that are given."""
    if selector == estimator.label:
        return True
    try:
        name, options = parse_selector(selector)
    except UsageError:  # the label of a run's folder, which need not be one
        return False
    meant, implied = parse_selector(ALIASES.get(name, name))
    if meant not in (estimator.label, estimator.name):
        return False
    has = dict(estimator.arguments)
    wanted = {**implied, **options}.items()
    return all(option in has and format_value(has[option]) == format_value(value) for option, value in wanted)


def references(pool: Sequence[Entry], name: str | None) -> list[Entry]:
    """The cells that others are compared with: those found that have the name of the first; by default all of it."""
    found = selected(pool, [name], "--reference") if name is not None else list(pool)
    return [entry for entry in found if entry.name == found[0].name]
