"""Paired comparison of estimators that saw the same draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from estbench.catalog import ALIASES
from estbench.columns import COMPARISON, names
from estbench.errors import ResultsError, UsageError
from estbench.intervals import Shards, adjust, bias_p_value, compare, mse, ratio, variance, verdict
from estbench.moments import Moments
from estbench.plan import Cell
from estbench.summary import Results, grouped, packed_shards, truth

Metric = Literal["variance", "mse", "work"]
At = Literal["samples", "evaluations", "seconds"]

NO_INTERVAL = " (timings in a row: no interval, no p-value and no verdict knows the error of the seconds)"

COLUMNS = names(COMPARISON)


@dataclass(frozen=True, eq=False)
class Entry:
    """One Monte Carlo cell of one run: its shards, and its cost per estimate."""

    run: Results
    cell: Cell
    name: str
    shards: Shards
    f: int
    df: int
    seconds: float

    def cost(self, at: At) -> float:
        """What an estimate costs: evaluations of f and ∇f, or seconds; 1 where samples are held equal."""
        return {"samples": 1.0, "evaluations": float(self.f + self.df), "seconds": self.seconds}[at]


def entries(runs: Sequence[Results], mixed: bool = False) -> list[Entry]:
    """All finished Monte Carlo cells of some runs.

    Runs of other versions or devices are refused unless `mixed`: their times are not comparable, nor their last bits.
    """
    if runs and not any("monte_carlo" in run.plan.config.methods for run in runs):
        raise ResultsError("comparing takes draws, and there are none: add monte_carlo to the methods of the config")
    for run in runs[1:]:
        for what in ("versions", "device", "dtype"):
            if run.manifest[what] != runs[0].manifest[what] and not mixed:
                raise ResultsError(
                    f"{runs[0].folder} and {run.folder} differ in {what} ({runs[0].manifest[what]} against "
                    f"{run.manifest[what]}); --mixed compares them all the same"
                )
    short = len({run.folder.name for run in runs}) == len(runs)
    where = [f" @ {run.folder.name if short else run.folder}" if len(runs) > 1 else "" for run in runs]
    return [entry for run, suffix in zip(runs, where, strict=True) for entry in _entries(run, suffix)]


def _entries(run: Results, suffix: str) -> Iterator[Entry]:
    for cell in run.plan.cells:
        if cell.method != "monte_carlo" or cell.reason is not None:
            continue
        packed, cost = packed_shards(run.plan, cell, run.items), run.items.get(("cost", cell.key, ""))
        if packed is None or cost is None or len(packed) < run.plan.layouts[cell.problem].shards:
            continue
        moments = Moments.unpack(grouped(packed), truth(run.plan, cell, run.items))
        if moments.n.sum():
            shards = Shards.of(moments, run.plan.config.level)
            name = cell.estimator.label + suffix
            yield Entry(run, cell, name, shards, cost["f"], cost["df"], cost["seconds"])


def comparison(
    pool: Sequence[Entry],
    *,
    reference: str | None = None,
    metric: Metric = "mse",
    at: Sequence[At] = ("samples",),
    correction: str = "holm",
    margin: float = 0.05,
    samples: int | None = None,
) -> pd.DataFrame:
    """Every cell against the reference's: one row each, ranked by the metric within problem, N and basis, `COLUMNS`.

    The reference is an entry's name, or the first that `selected` finds by it (default: the first of all), at the same
    problem and N, and at the same temperature where it has that one, else at its middle one. At equal evaluations (or
    seconds) a variance is multiplied by the cost of an estimate: an average over the same budget has that variance, up
    to a factor common to all. `work` is the variance at equal evaluations. An MSE does not average away, so it is
    compared where two cells cost the same. With `samples`, the N of the reference, others are shown against it alone.
    Where samples and evaluations are equal at once there is one ranking, not two. p-values are adjusted over all rows,
    those of bias over all cells shown.
    """
    if metric == "mse" and "seconds" in at:
        raise UsageError(
            "--at seconds: an MSE does not average away, and no two estimators take the same time; "
            "compare the variance (--metric variance --at seconds), or --at evaluations"
        )
    if not pool:
        raise ResultsError("there is nothing to compare: no Monte Carlo cell is finished (estbench status says more)")
    chosen = pool[0].name if reference is None else selected(pool, [reference], "--reference")[0].name
    bases: Sequence[At] = ("evaluations",) if metric == "work" else at
    rows = _once([row for basis in bases for row in _rows(pool, chosen, metric, basis, samples)])
    adjusted = adjust([row["p_value"] for row in rows], correction)
    shown = list(dict.fromkeys(row["entry"] for row in rows))
    bias = dict(zip(shown, adjust([bias_p_value(entry.shards) for entry in shown], correction), strict=True))
    for row, p in zip(rows, adjusted, strict=True):
        entry = row["entry"]
        row["p_adjusted"] = p
        timed = "seconds" in row["basis"]  # a time alone, measured once, decides nothing
        same = timed and "identical" in row["flags"]
        verdict_of = "identical" if same else compare(row["paired"], float(p), margin)
        row["verdict"] = "" if entry.name == chosen else verdict_of
        row["bias_verdict"] = verdict(entry.shards, float(bias[entry]), entry.run.plan.config.delta)
    frame = pd.DataFrame(rows, columns=COLUMNS)
    frame = frame.sort_values(["problem", "basis", "value"], kind="stable", key=_in_order)
    frame["rank"] = frame.groupby(["problem", "basis"], sort=False)["value"].rank(method="min").astype("Int64")
    return frame.reset_index(drop=True)


def _once(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows without those of a basis that repeats another's, which is named after both."""
    grounds: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        grounds.setdefault((row["problem"], row["basis"]), []).append(row)
    kept: dict[tuple[str, frozenset[tuple[Any, ...]]], list[dict[str, Any]]] = {}
    for (problem, basis), own in grounds.items():
        same = frozenset((row["name"], row["samples"], row["value"], row["ratio"]) for row in own)
        for row in kept.setdefault((problem, same), own):
            if row["basis"] != basis:
                row["basis"] += f", and {basis.removeprefix('equal ')}"
    return [row for own in kept.values() for row in own]


def _in_order(column: pd.Series[Any]) -> pd.Series[Any]:
    """Problems and bases in the order they come in, values by size."""
    return column if column.name == "value" else pd.Series(pd.factorize(column)[0], column.index)


def _rows(
    pool: Sequence[Entry], reference: str, metric: Metric, at: At, samples: int | None
) -> Iterator[dict[str, Any]]:
    for entry in pool:
        rivals = [
            e
            for e in pool
            if e.name == reference and samples in (None, e.cell.samples) and _same_ground(e, entry, metric, at)
        ]
        if not rivals:
            continue
        rival = entry if entry.name == reference else _at_temperature(rivals, entry.cell.temperature)
        costs = metric != "mse" and at != "samples"
        measured: Literal["variance", "mse"] = "mse" if metric == "mse" else "variance"
        own = entry.cost(at) if costs else 1.0
        estimate = (mse if metric == "mse" else variance)(entry.shards)
        paired = ratio(entry.shards, rival.shards, measured, own / (rival.cost(at) if costs else 1.0))
        basis = f"equal samples, N = {entry.cell.samples}"
        if at != "samples":
            basis = f"equal {at}, N = {entry.cell.samples}" if costs else f"equal {at}, {rival.cost(at):g} each"
        if at == "seconds":
            basis += NO_INTERVAL
        yield {
            "problem": entry.run.plan.problems[entry.cell.problem].label,
            "basis": basis,
            "name": entry.name,
            "temperature": np.nan if entry.cell.temperature is None else entry.cell.temperature,
            "samples": entry.cell.samples,
            "f_evaluations": entry.f,
            "grad_evaluations": entry.df,
            "metric": f"{measured} × {at}" if costs else measured,
            "value": own * estimate.value,
            "value_low": own * estimate.low,
            "value_high": own * estimate.high,
            "ratio": paired.ratio,
            "ratio_low": paired.low,
            "ratio_high": paired.high,
            "p_value": np.nan if entry.name == reference else paired.p,
            "flags": " ".join(flag for flag in paired.flags if not (flag == "identical" and entry is rival)),
            "run": str(entry.run.folder),
            "paired": paired,
            "entry": entry,
        }


def _same_ground(rival: Entry, entry: Entry, metric: Metric, at: At) -> bool:
    """Whether two cells may be compared: one problem, and one N, or for an MSE at equal cost, one cost."""
    problems = (e.run.plan.problems[e.cell.problem].id for e in (rival, entry))
    if len(set(problems)) > 1:
        return False
    if metric == "mse" and at != "samples":
        return rival.cost(at) == entry.cost(at)
    return rival.cell.samples == entry.cell.samples


def _at_temperature(rivals: Sequence[Entry], temperature: float | None) -> Entry:
    """The rival at that temperature, else at its middle one."""
    same = [rival for rival in rivals if rival.cell.temperature == temperature]
    return same[0] if same else sorted(rivals, key=lambda rival: rival.cell.temperature or 0.0)[(len(rivals) - 1) // 2]


def sentence(frame: pd.DataFrame) -> str:
    """The comparison in one sentence: which estimator ranks first on how many grounds, and whether it is biased.

    A ground on which an estimator stands alone says nothing.
    """
    first = frame[(frame["rank"] == 1) & (frame.groupby(["problem", "basis"])["name"].transform("size") > 1)]
    if first.empty:
        return "No two estimators stand on equal ground."
    parts = []
    for name, count in first["name"].value_counts().items():
        biased = first.loc[first["name"] == name, "bias_verdict"].eq("biased").any()
        parts.append(f"{name} in {count} of {len(first)} rankings{' (biased)' if biased else ''}")
    metric = {"mse": "MSE"}.get(frame["metric"].iloc[0], frame["metric"].iloc[0])
    return f"Smallest {metric}: {', '.join(parts)}."


def left_out(pool: Sequence[Entry], frame: pd.DataFrame, metric: Metric, at: At) -> str:
    """Which estimators stand on no ground with the reference where that is held equal, and why; empty if all do."""
    at = "evaluations" if metric == "work" else at
    by_cost = metric == "mse" and at != "samples"
    shown = set(frame.loc[frame["basis"].str.contains(at, regex=False), "name"])
    theirs: dict[str, set[float]] = {}
    for entry in pool:
        if entry.name not in shown:
            theirs.setdefault(entry.name, set()).add(entry.cost(at) if by_cost else entry.cell.samples)
    named = [f"{name} ({', '.join(f'{x:g}' for x in sorted(own))})" for name, own in theirs.items()]
    what = "cost" if by_cost else "N"
    return f"At equal {at}, the reference has no estimate of their {what}: {', '.join(named)}." if named else ""


def selected(pool: Sequence[Entry], names: Sequence[str], option: str = "--estimators") -> list[Entry]:
    """The entries of these labels or estimator names (or aliases), in this order; UsageError for one no entry has."""
    chosen = []
    for name in names:
        found = [entry for entry in pool if name in (entry.name, entry.cell.estimator.label)]
        meant = ALIASES.get(name, name)
        found = found or [entry for entry in pool if meant in (entry.cell.estimator.label, entry.cell.estimator.name)]
        if not found:
            known = ", ".join(dict.fromkeys(entry.name for entry in pool))
            raise UsageError(f"{option}: no finished cell is of '{name}'; there are {known}")
        chosen += [entry for entry in found if entry not in chosen]
    return chosen
