"""Paired comparison of estimators that saw the same draws."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from rich.text import Text

from estbench.columns import COMPARISON, head, names
from estbench.config import parse_selector
from estbench.config.complaint import closest
from estbench.config.selector import format_value
from estbench.errors import ResultsError, UsageError
from estbench.intervals import Estimate, Ratio, Shards, adjust, compare, exact_ratio, mse, ratio, variance
from estbench.names import ALIASES
from estbench.overall import overall
from estbench.plan import Cell, EstimatorSpec
from estbench.printable import escaped
from estbench.summary import Finding, Results
from estbench.tables.overall import overall_table
from estbench.tables.ranking import ranking

Metric = Literal["variance", "mse", "work"]
At = Literal["samples", "evaluations", "seconds"]

NO_INTERVAL = " (timings in a row: intervals, p-values and verdicts leave out the error of the seconds)"

COLUMNS = names(COMPARISON)


ALWAYS_ZERO = "always zero"
"""The verdict on an estimator whose estimates were all 0: it has the smallest variance there is, and is of no use."""

TIE = 1e-9
"""Relative difference up to which two values are equal but for rounding."""


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
        rows = list(_rows(fitting, chosen, metric, basis, samples, budget))
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


def references(pool: Sequence[Entry], name: str | None) -> list[Entry]:
    """The cells that others are compared with: those found that have the name of the first; by default all of it."""
    found = selected(pool, [name], "--reference") if name is not None else list(pool)
    return [entry for entry in found if entry.name == found[0].name]


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


def _rows(
    pool: Sequence[Entry],
    reference: Sequence[Entry],
    metric: Metric,
    at: At,
    samples: int | None,
    budget: float | None,
) -> Iterator[dict[str, Any]]:
    for entry in pool:
        rivals = [e for e in reference if samples in (None, e.cell.samples)]
        if budget is None:
            rivals = [rival for rival in rivals if _comparable(rival, entry, metric, at)]
        else:
            rivals = [rival for rival in rivals if _same_problem(rival, entry)]
        if not rivals:
            continue
        rival = entry if entry in rivals else _at_temperature(rivals, entry.cell.temperature)
        costs = metric != "mse" and at != "samples" and budget is None
        measured: Literal["variance", "mse"] = "mse" if metric == "mse" else "variance"
        own = entry.cost(at) if costs else 1.0
        estimate, paired, row = _compared(entry, rival, measured, own / (rival.cost(at) if costs else 1.0), at)
        basis = f"equal samples, N = {entry.cell.samples}"
        if at != "samples":
            basis = f"equal {at}, N = {entry.cell.samples}" if costs else f"equal {at}, {rival.cost(at):g} each"
        if budget is not None:
            basis = f"budget of {budget:g} {at}"
        elif at == "seconds":
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
            "reference_temperature": np.nan if rival.cell.temperature is None else rival.cell.temperature,
            "ratio": paired.ratio,
            "ratio_low": paired.low,
            "ratio_high": paired.high,
            "p_value": np.nan if entry is rival else paired.p,
            "bias_verdict": row["bias_verdict"],
            "declared_unbiased": row["declared_unbiased"],
            "flags": " ".join(dict.fromkeys((*_paired_flags(paired, entry is rival), *row["flags"].split()))),
            "run": escaped(str(entry.run.folder)),  # pandas takes no lone surrogates
            "paired": paired,
            "entry": entry,
            "rival": rival,
        }


def _compared(
    entry: Entry, rival: Entry, metric: Literal["variance", "mse"], cost: float, at: At
) -> tuple[Estimate, Ratio, dict[str, Any]]:
    """The value, its ratio to the rival's, and the row of results that the value is of.

    The ratio is exact where both values are, and where one is exactly 0 and the other has been seen not to be. Else it
    rests on the draws that both have seen, and at equal seconds always, as times are measured.
    """
    of = mse if metric == "mse" else variance
    sampled, paired = of(entry.shards), ratio(entry.shards, rival.shards, metric, cost)
    a, b = entry.exact(metric), rival.exact(metric)
    seen = of(rival.shards).value
    if at != "seconds" and entry.exactly is not None and (b >= 0 or (a == 0 and seen > 0)):
        found = exact_ratio(a, b if b >= 0 else seen, cost)
        if "identical" in paired.flags and np.isnan(found.p):
            found = replace(found, flags=("identical",))
        return Estimate(a, a, a), found, entry.exactly
    if at != "seconds" and b == 0 and sampled.value > 0:
        return sampled, exact_ratio(sampled.value, 0.0, cost), entry.row
    return sampled, paired, entry.row


def _paired_flags(paired: Ratio, itself: bool) -> list[str]:
    return [flag for flag in paired.flags if not (flag == "identical" and itself)]


def _comparable(rival: Entry, entry: Entry, metric: Metric, at: At) -> bool:
    """Whether two cells may be compared: one problem, and one N, or for an MSE at equal cost, one cost."""
    if not _same_problem(rival, entry):
        return False
    if metric == "mse" and at != "samples":
        return rival.cost(at) == entry.cost(at)
    return rival.cell.samples == entry.cell.samples


def _same_problem(rival: Entry, entry: Entry) -> bool:
    return rival.run.plan.problems[rival.cell.problem].id == entry.run.plan.problems[entry.cell.problem].id


def _at_temperature(rivals: Sequence[Entry], temperature: float | None) -> Entry:
    """The rival at that temperature, else at its middle one."""
    same = [rival for rival in rivals if rival.cell.temperature == temperature]
    return same[0] if same else sorted(rivals, key=lambda rival: rival.cell.temperature or 0.0)[(len(rivals) - 1) // 2]


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
