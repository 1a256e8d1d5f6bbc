"""Ratios to a reference, ranked within problem and basis, with adjusted p-values and verdicts."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from rich.text import Text

from estbench.columns import COMPARISON, head, names
from estbench.comparison.entries import At, Entry, references
from estbench.comparison.pairs import Metric, pairs
from estbench.errors import ResultsError, UsageError
from estbench.intervals import adjust, compare
from estbench.overall import overall
from estbench.tables.overall import overall_table
from estbench.tables.ranking import ranking

COLUMNS = names(COMPARISON)

ALWAYS_ZERO = "always zero"
"""The verdict on an estimator whose estimates were all 0: it has the smallest variance there is, and is of no use."""

TIE = 1e-9
"""Relative difference up to which two values are equal but for rounding."""


@dataclass(frozen=True, eq=False)
class Compared:
    """A comparison: its rows (`COLUMNS`), what it says of all problems together, and what is to be said beside it.

    `level` is that of the intervals, `left_out` names the estimators that were skipped, and the cells that have no
    counterpart of the reference.
    """

    frame: pd.DataFrame
    overall: pd.DataFrame
    reference: str
    level: float
    left_out: tuple[str, ...] = ()

    def shown(self, frame: pd.DataFrame | None = None) -> list[Any]:
        """What is printed of it, or of some of its rows: its table, the means over problems, and a sentence."""
        rows = self.frame if frame is None else frame
        parts: list[Any] = [ranking(rows, self.reference, self.level)]
        if len(self.overall):
            parts += [Text(), overall_table(self.overall, self.reference, self.level)]
        return [*parts, *map(Text, (*self.left_out, sentence(rows)))]


def compared(
    pool: Sequence[Entry],
    *,
    reference: str | None = None,
    metric: Metric = "mse",
    at: Sequence[At] = ("samples",),
    correction: str = "holm",
    margin: float = 0.05,
    samples: int | None = None,
    budget: float | None = None,
    without: Mapping[str, str] | None = None,
) -> Compared:
    """Compare every cell with that of the reference: one row each, ranked within problem and basis; see `COLUMNS`.

    The reference is the cells that `selected` finds by that name (default: the first of all). A row is compared with
    the cell of the reference on the same problem, at the same N and the same temperature. Where the reference lacks
    that temperature, its middle one is taken; the column reference_temperature says which.

    at       what is held equal: samples, evaluations or seconds; one ranking for each. At equal evaluations or seconds
             a variance is multiplied by the cost of an estimate: an average over a fixed budget has that variance, up
             to a factor common to all. An MSE does not average away, so it is compared where two cells cost the same
    metric   mse, variance, or work: the variance at equal evaluations
    samples  compare with this N of the reference alone
    budget   of samples, evaluations or seconds for one estimate: each estimator, the reference too, has the largest N
             that fits (`within`), and the metric is compared as it is. What is left of the budget is not used
    without  estimators that have no cell, and why (`skipped`): it is said beside the comparison

    Values, ratios and verdicts are exact where both cells have exact rows, but at equal seconds.
    Where samples and evaluations are equal at once there is one ranking, not two. p-values of ratios are adjusted over
    all rows. Verdicts on bias are those of the run, whatever is shown beside them. An estimator whose estimates are all
    0 has no rank.
    """
    if metric == "mse" and "seconds" in at and budget is None:
        raise UsageError(
            "--at seconds: an MSE does not average away, and no two estimators take the same time; "
            "compare the variance (--metric variance --at seconds), or --at evaluations, or give a --budget"
        )
    if metric == "work" and budget is not None:
        raise UsageError("--metric work is the variance at equal evaluations already; with a --budget give variance")
    missing = [f"{label}: {why}" for label, why in (without or {}).items()]
    if not pool:
        why = "; ".join(missing) or "no Monte Carlo cell is finished (estbench status says more)"
        raise ResultsError(f"there is nothing to compare: {why}")
    if reference is not None and reference in (without or {}):
        raise UsageError(f"--reference: {reference} was skipped: {(without or {})[reference]}")
    if "seconds" in at:
        _demand_timings(pool)
    bases: Sequence[At] = ("evaluations",) if metric == "work" else at
    first = references(pool, reference)
    found, said = [], [f"Skipped: {'; '.join(missing)}."] if missing else []
    for basis in bases:
        fitting = list(pool) if budget is None else within(pool, basis, budget)
        chosen = [entry for entry in first if entry in fitting]
        if not chosen:
            raise UsageError(f"--budget {budget:g}: no estimate of {first[0].name} costs so few {basis}")
        rows = list(pairs(fitting, chosen, metric, basis, samples, budget))
        found += rows
        said.append(_beyond(pool, fitting, basis, budget) if budget is not None else _apart(pool, rows, metric, basis))
    level = pool[0].shards.level
    means = overall(found, level)
    rows = _once(found)
    adjusted = adjust([row["p_value"] for row in rows], correction)
    for row, p in zip(rows, adjusted, strict=True):
        row["p_adjusted"] = p
        row["verdict"] = _verdict(row, float(p), margin)
    frame = pd.DataFrame(rows, columns=COLUMNS)
    frame["declared_unbiased"] = frame["declared_unbiased"].astype("boolean")
    frame["rank"] = frame["value"].mask(frame["verdict"] == ALWAYS_ZERO)
    frame = frame.sort_values(["problem", "basis", "rank"], kind="stable", key=_in_order)
    frame["rank"] = frame.groupby(["problem", "basis"], sort=False)["rank"].transform(_ranks).astype("Int64")
    said = [text for text in said if text]
    return Compared(frame.reset_index(drop=True), means, first[0].name, level, tuple(said))


def within(pool: Sequence[Entry], at: At, budget: float) -> list[Entry]:
    """Of each estimator on each problem, the cell with the largest N whose estimate costs at most the budget."""
    best: dict[tuple[int, int, str], Entry] = {}
    for entry in pool:
        key = _whose(entry)
        if entry.spent(at) <= budget and (key not in best or best[key].cell.samples < entry.cell.samples):
            best[key] = entry
    return list(best.values())


def _whose(entry: Entry) -> tuple[int, int, str]:
    """The run, the problem and the estimator of a cell: runs of several seeds have cells of the same keys."""
    return id(entry.run), entry.cell.problem, entry.cell.estimator.id


def _beyond(pool: Sequence[Entry], fitting: Sequence[Entry], at: At, budget: float) -> str:
    """Which estimators cost more than the budget at every N of the run; empty if none do."""
    there = {_whose(entry) for entry in fitting}
    least: dict[str, float] = {}
    for entry in pool:
        if _whose(entry) not in there:
            least[entry.name] = min(least.get(entry.name, np.inf), entry.spent(at))
    named = ", ".join(f"{name} (at least {cost:g})" for name, cost in least.items())
    return f"Beyond the budget of {budget:g} {at}: {named}." if named else ""


def _demand_timings(pool: Sequence[Entry]) -> None:
    """Raise UsageError, which says how to get them, unless all cells have been timed."""
    untimed = [entry for entry in pool if np.isnan(entry.cost("seconds"))]
    if untimed:
        runs = dict.fromkeys(str(entry.run.folder) for entry in untimed)
        each = "".join(f"\n  estbench run CONFIG -o {shlex.quote(run)} --timings" for run in runs)
        raise UsageError(
            f"--at seconds: {len(untimed)} of {len(pool)} cells have not been timed. With the config of the run, this "
            f"measures what is missing and does nothing again:{each}"
        )


def _verdict(row: dict[str, Any], p: float, margin: float) -> str:
    if row["entry"].always_zero:
        return ALWAYS_ZERO
    if row["entry"] is row["rival"]:
        return ""
    if "seconds" in row["basis"] and "identical" in row["flags"]:  # a time alone, measured once, decides nothing
        return "identical"
    return compare(row["paired"], p, margin)


def _ranks(ordered: pd.Series[float]) -> list[float]:
    """Places of values that are in order: 1 for the smallest; values that differ by rounding share one."""
    places: list[float] = []
    last = np.nan
    for i, value in enumerate(ordered):
        tied = abs(value - last) <= TIE * abs(last)
        last = last if tied else value
        places.append(np.nan if np.isnan(value) else places[-1] if tied else i + 1.0)
    return places


def _once(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows without those of a basis that repeats another's, which is named after both."""
    rankings: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        rankings.setdefault((row["problem"], row["basis"]), []).append(row)
    kept: dict[tuple[str, frozenset[tuple[Any, ...]]], list[dict[str, Any]]] = {}
    for (problem, basis), own in rankings.items():
        same = frozenset((row["entry"], row["rival"], f"{row['ratio']:.12g}") for row in own)
        for row in kept.setdefault((problem, same), own):
            if row["basis"] != basis:
                row["basis"] += f", and {basis.removeprefix('equal ')}"
    return [row for own in kept.values() for row in own]


def _in_order(column: pd.Series[Any]) -> pd.Series[Any]:
    """Problems and bases in the order they come in, values by size."""
    return column if column.name == "rank" else pd.Series(pd.factorize(column)[0], column.index)


def sentence(frame: pd.DataFrame) -> str:
    """The comparison in one sentence: which estimator is first in how many rankings, and whether it is biased.

    A ranking of one estimator alone is not counted.
    """
    ranked = frame[frame["rank"].notna()]
    rankings = [part for _, part in ranked.groupby(["problem", "basis"], sort=False) if len(part) > 1]
    if not rankings:
        return "No two estimators can be compared."
    count: Counter[str] = Counter()
    for part in rankings:
        first = part[part["rank"] == 1]
        names = list(dict.fromkeys(first["name"]))
        biased = first.loc[first["bias_verdict"] == "biased", "name"].unique()
        count[" = ".join(f"{name} (biased)" if name in biased else name for name in names)] += 1
    of = f"of {len(rankings)} ranking{'s' * (len(rankings) > 1)}"
    parts = [f"{names} in {number} {of}" for names, number in count.most_common()]
    return f"Smallest {head(frame['metric'].iloc[0])}: {', '.join(parts)}."


def _apart(pool: Sequence[Entry], rows: Sequence[dict[str, Any]], metric: Metric, at: At) -> str:
    """Which estimators have no N, or no cost, in common with the reference; empty if all have."""
    by_cost = metric == "mse" and at != "samples"
    shown = {row["name"] for row in rows}
    theirs: dict[str, set[float]] = {}
    for entry in pool:
        if entry.name not in shown:
            theirs.setdefault(entry.name, set()).add(entry.cost(at) if by_cost else entry.cell.samples)
    named = [f"{name} ({', '.join(f'{x:g}' for x in sorted(own))})" for name, own in theirs.items()]
    what = "cost" if by_cost else "N"
    return f"At equal {at}, the reference has no estimate of their {what}: {', '.join(named)}." if named else ""
