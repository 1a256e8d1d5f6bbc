"""The rows of a comparison: each cell with the cell of the reference that it is compared with, and their ratio."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from estbench.comparison.entries import At, Entry
from estbench.intervals import Estimate, Ratio, exact_ratio, mse, ratio, variance
from estbench.printable import escaped

Metric = Literal["variance", "mse", "work"]

NO_INTERVAL = " (timings in a row: intervals, p-values and verdicts leave out the error of the seconds)"


def pairs(
    pool: Sequence[Entry],
    reference: Sequence[Entry],
    metric: Metric,
    at: At,
    samples: int | None,
    budget: float | None,
) -> Iterator[dict[str, Any]]:
    """A row for each cell that has a counterpart among the cells of the reference: see `ranking.compared`."""
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
