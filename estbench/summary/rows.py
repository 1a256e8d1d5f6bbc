"""From the journal of a run to its results: one tidy row per cell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any, TypeVar

import numpy as np

from estbench.intervals import (
    FALSE_ALARM,
    Exactly,
    OutOfRange,
    Shards,
    adjust,
    disagreement,
    exact_metrics,
    exact_verdict,
    in_range,
    metrics_of,
    verdict,
)
from estbench.moments import Moments
from estbench.plan import Cell, Plan
from estbench.store import decode
from estbench.summary.cells import Items, grouped, outcome, rank, rarest, seconds, truth
from estbench.summary.identity import DONE, identity

WORSE = ": kinks in several axes, four axes of noise, or probabilities that uniforms next to 1 do not tell apart"
"""Why exact moments may be known to less than 1e-8."""

T = TypeVar("T")

NOT_FINITE = {"status": "failed", "reason": "every estimate is NaN or infinite"}


@dataclass(frozen=True, eq=False)
class Finding:
    """What was found of a cell: its row of the results, and its shards or exact moments, where it has any."""

    cell: Cell
    row: dict[str, Any]
    shards: Shards | None = None
    exactly: Exactly | None = None


def findings(plan: Plan, items: Items) -> list[Finding]:
    """All cells that are done, failed or skipped, in the order of the plan, with p-values adjusted over all of them.

    bias_verdict of Monte Carlo cells rests on p-values adjusted by Holm over all of them that the run has finished: one
    verdict per cell, the same wherever it is shown. It grows no firmer when some of them are looked at alone.
    exact_disagrees flags the exact and the Monte Carlo row of a cell that exclude each other, claim_refuted a row that
    is *biased* though its estimator is declared unbiased: exactly, or with an adjusted p below .001, as a claim is
    refuted by more than a verdict that one of twenty right runs has.
    """
    found = measured(plan, items)
    adjusted = adjust([np.nan if f.shards is None else f.row["bias_p_value"] for f in found])
    for i, (f, p) in enumerate(zip(found, adjusted, strict=True)):
        if f.shards is not None:
            try:
                with in_range():
                    f.row["bias_verdict"] = verdict(f.shards, float(p), plan.config.delta)
            except OutOfRange as error:
                found[i] = _failed(plan, f.cell, error)
                continue
        surely = f.shards is None or p < FALSE_ALARM
        if surely and f.row.get("declared_unbiased") is True and f.row.get("bias_verdict") == "biased":
            _flag(f, "claim_refuted")
    pairs = list(_pairs(found))
    p_values = np.array([_disagreement(sampled, exactly) for *_, sampled, exactly in pairs])
    for (exact, sampled, *_), p in zip(pairs, adjust(p_values.ravel()).reshape(-1, 2), strict=True):
        if (p < FALSE_ALARM).any():
            _flag(exact, "exact_disagrees")
            _flag(sampled, "exact_disagrees")
    return found


def rows_of(plan: Plan, items: Items) -> list[dict[str, Any]]:
    """The rows of all findings."""
    return [found.row for found in findings(plan, items)]


def _pairs(found: Sequence[Finding]) -> Iterator[tuple[Finding, Finding, Shards, Exactly]]:
    """The exact and the Monte Carlo finding of each cell that has both."""
    exact = {(f.cell.problem, f.cell.estimator.id, f.cell.samples): f for f in found if f.exactly is not None}
    for f in found:
        other = exact.get((f.cell.problem, f.cell.estimator.id, f.cell.samples))
        if f.shards is not None and other is not None and other.exactly is not None:
            yield other, f, f.shards, other.exactly


def _disagreement(sampled: Shards, exactly: Exactly) -> tuple[float, float]:
    with suppress(OutOfRange), in_range():
        return disagreement(sampled, exactly)
    return np.nan, np.nan  # what is out of range refutes nothing


def _flag(found: Finding, name: str) -> None:
    found.row["flags"] = f"{found.row['flags']} {name}".strip()


def measured(plan: Plan, items: Items) -> list[Finding]:
    """Each cell that is done by itself, without what takes the others: verdict and contradictions.

    Metrics may fail, as those of estimates near 1e80, whose fourth powers overflow: then that cell alone has failed.
    """
    read = [
        found for cell in plan.cells if (found := _alone(plan, cell, partial(_read, plan, cell, items))) is not None
    ]
    shards = iter(_shards([found for found in read if isinstance(found, _Sampled)], plan.config.level))
    made: list[Finding] = []
    for found in read:
        if isinstance(found, _Sampled):
            made.append(_alone(plan, found.cell, partial(_sampled, plan, found, next(shards), items)))
        else:
            made.append(found)
    return made


def _alone(plan: Plan, cell: Cell, make: Callable[[], T]) -> T | Finding:
    """What is made of a cell, or that it has failed."""
    try:
        with in_range():
            return make()
    except OutOfRange as error:
        return _failed(plan, cell, error)


def _failed(plan: Plan, cell: Cell, error: OutOfRange) -> Finding:
    return Finding(cell, identity(plan, cell) | {"status": "failed", "reason": str(error)})


@dataclass(frozen=True, eq=False)
class _Sampled:
    """A cell of finite estimates, with its row as far as it is known, and what its shards are derived from."""

    cell: Cell
    row: dict[str, Any]
    moments: Moments
    rarest: float
    rank: int | None


def _read(plan: Plan, cell: Cell, items: Items) -> Finding | _Sampled | None:
    packed, row = outcome(plan, cell, items), identity(plan, cell)
    if packed is None or isinstance(packed, dict):
        return None if packed is None else Finding(cell, row | packed)
    sampled, spec = cell.method == "monte_carlo", plan.problems[cell.problem]
    replicates = len(packed) * plan.layouts[cell.problem].shard_size if sampled else 0
    row |= {"replicates": replicates} if sampled else {}
    moments = Moments.unpack(grouped(packed), truth(plan, cell, items))
    if not moments.n.sum():
        return Finding(cell, row | NOT_FINITE)
    row |= DONE
    if sampled:
        shown = rarest(plan, cell, items) * cell.samples * replicates if spec.at is None else inf
        return _Sampled(cell, row, moments, shown, rank(plan, cell, items))
    row |= exact_metrics(moments)
    exactly = _exact(plan, moments, items[("exact", cell.key, "")], row)
    return Finding(cell, row | _costs(cell, row, items), exactly=exactly)


def _shards(cells: Sequence[_Sampled], level: float) -> Sequence[Shards | None]:
    """The shards of each, made together; None for all where some are out of range: then each is made by itself."""
    with suppress(OutOfRange), in_range():
        return Shards.of_each(
            [cell.moments for cell in cells], level, [cell.rarest for cell in cells], [cell.rank for cell in cells]
        )
    return [None] * len(cells)


def _sampled(plan: Plan, found: _Sampled, made: Shards | None, items: Items) -> Finding:
    shards = made or Shards.of(found.moments, plan.config.level, found.rarest, found.rank)
    row = found.row | metrics_of(shards)
    return Finding(found.cell, row | _costs(found.cell, row, items), shards)


def _costs(cell: Cell, row: dict[str, Any], items: Items) -> dict[str, Any]:
    """The columns of what an estimate costs, and whether its estimator is declared unbiased."""
    cost = items[("cost", cell.key, "")]
    return {
        "declared_unbiased": cell.unbiased,
        "f_evaluations": cost["f"],
        "grad_evaluations": cost["df"],
        "work_normalised_variance": row["variance"] * (cost["f"] + cost["df"]),
        "seconds_per_estimate": seconds(cell, items),
    }


def _exact(plan: Plan, moments: Moments, item: dict[str, Any], row: dict[str, Any]) -> Exactly:
    """Say in the row how exact it is and whether it is biased; return the moments for comparison."""
    error, mean_error = (float(decode(item[name], ())) for name in ("error", "mean_error"))
    row["reason"] = "" if error == 0 else f"{item['route']}, relative error {error:.0e}"
    row["reason"] += WORSE if error > 1e-8 else ""
    row["bias_verdict"] = exact_verdict(moments, mean_error, plan.config.delta)
    n = moments.n.sum()
    return Exactly(moments.s1.sum(0) / n, row["variance"], mean_error, error, float(moments.d4.sum() / n))
