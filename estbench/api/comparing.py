"""Comparing estimators from Python: those of a frame that `measure` returned, or ones that are measured first."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, get_args

import pandas as pd
import torch

from estbench.api.estimators import choices
from estbench.api.frames import Comparison, Measurements, comparison_frame
from estbench.api.measuring import Seed, computed, kept, listed, planned, problems, seed_of
from estbench.api.problem import F
from estbench.budget import least_for_all, plan_within
from estbench.columns import names
from estbench.comparison import At, Entry, Metric, compared, entries, is_named, skipped
from estbench.config.problem import ProblemConfig
from estbench.distributions import Distribution
from estbench.errors import UsageError
from estbench.intervals import ADJUSTMENTS
from estbench.objectives.function import On
from estbench.plan import Plan
from estbench.summary import Results

KEY = ("problem", "label", "temperature", "samples", "method")
"""The columns that tell a row from all others of a measurement."""


@torch.inference_mode(mode=False)  # as in `measure`
def compare(
    measured: Measurements | Any,
    *,
    reference: str | None = None,
    at: At = "samples",
    budget: float | None = None,
    metric: Metric | None = None,
    correction: str = "holm",
    margin: float = 0.05,
    f: F | Sequence[F] | None = None,
    distribution: Distribution | Sequence[Distribution] | None = None,
    samples: int | Iterable[int] | None = None,
    temperatures: float | Iterable[float] = (),
    replicates: int | None = None,
    seed: Seed = 0,
    on: On | None = None,
    jobs: int = 1,
) -> Comparison:
    """Rank estimators that saw the same draws: ratios to a reference with paired intervals, and a verdict each.

    The frame has one row per ranking, estimator and temperature, and prints itself as `estbench compare` does. A
    ratio below 1 is a smaller error than the reference's. Over several problems `overall` has, for each estimator and
    temperature, the geometric mean of its ratios with its interval.

    measured    what `measure` returned, or rows of it; or estimators, as `measure` takes them, which are measured on
                `f` and `distribution` first (Monte Carlo alone)
    reference   a name or label: "rloo", "gumbel[temperature=0.5]"; by default the first. Where it stands at several
                temperatures, each row is compared with the same one, or else the middle one: reference_temperature
    at          what is held equal: "samples", "evaluations" (of f and ∇f together) or "seconds"
    budget      so many of these are allowed for one estimate: of each estimator, the reference too, the largest N whose
                estimate costs at most the budget is taken, and the metric at that N is compared as it is. What is left
                of the budget is not used. Where estimators are measured first and `samples` is not given, that N is
                looked for among 1, 2, …, budget. Without a budget, estimates of equal N are compared at equal samples;
                at equal evaluations (or seconds) the variance times the cost of an estimate, and the MSE where two
                estimates cost the same
    metric      "mse" (default; "variance" at equal seconds), "variance", or "work": the variance times evaluations
    correction  of the p-values for their number: "holm", "bh" or "none"; `margin`: ratios so near to 1 are equivalent
    f, distribution, samples, temperatures, replicates, seed, on, jobs
                of the measurement, see `measure`; samples by default the smallest N that all take, without a budget

    UsageError for a frame that is not of one measurement, as one that was joined of two: what pairs the draws is not in
    its columns; and for a reference that is not there. ResultsError where no Monte Carlo cell is finished.
    """
    if metric is None:
        metric = "variance" if isinstance(at, str) and at == "seconds" and budget is None else "mse"
    _demand_choices(at, metric, correction)
    _demand_numbers(budget, margin)
    if not (reference is None or isinstance(reference, str)):
        raise UsageError(f"reference: expected a name or a label, got {reference!r:.80}")
    if isinstance(measured, pd.DataFrame):
        if f is not None or distribution is not None or samples is not None:
            raise UsageError("f, distribution and samples go with estimators that are to be measured, not with a frame")
        pool, without = entries_of(measured), {}
    else:
        if f is None or distribution is None:
            raise UsageError("give f= and distribution= to measure the estimators on, or a frame that measure returned")
        with kept(f):
            plan = plan_to_compare(
                measured,
                problems(f, distribution, on),
                reference=reference,
                at=at,
                budget=budget,
                samples=samples,
                temperatures=listed(temperatures),
                replicates=replicates,
                seed=seed_of(seed),
            )
            results = computed(plan, jobs)
            pool, without = entries([results]), skipped([results])
    if at == "seconds" and any(math.isnan(entry.cost("seconds")) for entry in pool):
        raise UsageError("at='seconds': not all cells have been timed; measure with timings=True")
    try:
        found = compared(
            pool,
            reference=reference,
            metric=metric,
            at=(at,),
            correction=correction,
            margin=margin,
            budget=budget,
            without=without,
        )
    except UsageError as error:  # it is worded for the command line
        raise UsageError(re.sub(r"--([a-z]+)", r"\1", str(error))) from None
    return comparison_frame(found)


def plan_to_compare(
    estimators: Any,
    on_problems: tuple[ProblemConfig, ...],
    *,
    reference: str | None,
    at: At,
    budget: float | None,
    samples: int | Iterable[int] | None,
    temperatures: tuple[float, ...],
    timeout: float | None = None,
    **settings: Any,
) -> Plan:
    """The plan that measures estimators, as `choices` takes them, for a comparison.

    The reference is measured too, unless it is among the estimators: `gumbel[temperature=0.5]` is, if there is gumbel
    and 0.5 is among the temperatures. Without `samples`, each N is the largest that the budget allows, or the smallest
    that all estimators take; what takes longer than `timeout` seconds to be counted has its smallest N. `settings` are
    others of the config.
    """
    chosen = [*choices(estimators)]
    given = (spec for choice in chosen for spec in choice.specs(temperatures))
    if reference is not None and not any(is_named(spec, reference) for spec in given):
        chosen += choices(reference)
    fixed: Mapping[str, Any] = {
        "temperatures": temperatures,
        "methods": ("monte_carlo",),
        "timings": at == "seconds",
        **settings,
    }
    if budget is None and samples is None:
        samples = least_for_all(planned(tuple(chosen), on_problems, samples=(1,), **fixed))
    if samples is not None:
        return planned(tuple(chosen), on_problems, samples=listed(samples), **fixed)
    assert budget is not None
    if at == "seconds":
        raise UsageError("a budget of seconds: give samples too, as only what is timed is known to fit")
    return plan_within(lambda N: planned(tuple(chosen), on_problems, samples=N, **fixed), at, budget, timeout)


def _demand_choices(at: Any, metric: Any, correction: Any) -> None:
    """Raise UsageError for an unknown basis, metric or correction."""
    for name, given, known in (
        ("at", at, get_args(At)),
        ("metric", metric, get_args(Metric)),
        ("correction", correction, tuple(ADJUSTMENTS)),
    ):
        if not (isinstance(given, str) and given in known):
            raise UsageError(f"{name}: expected {', '.join(map(repr, known))}, got {given!r:.80}")


def _demand_numbers(budget: Any, margin: Any) -> None:
    """Raise UsageError for a budget or a margin that is not a number, or out of range."""
    if budget is not None and not (_is_number(budget) and 0 < budget < math.inf):
        raise UsageError(f"budget: expected a number above 0, got {budget!r:.80}")
    if not (_is_number(margin) and 0 <= margin <= 10):
        raise UsageError(f"margin: expected a number from 0 to 10, got {margin!r:.80}")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def entries_of(frame: pd.DataFrame) -> list[Entry]:
    """The Monte Carlo cells of the rows of a frame that `measure` returned, in their order.

    UsageError where the frame does not remember its results, or has rows that are not of that measurement.
    """
    found: Results | None = getattr(frame, "_measured", None)
    if found is None:
        raise UsageError(
            "this frame does not hold the draws that pair its estimators: compare takes what measure returned, or rows "
            "of it, but none that were joined, read from a file, or made otherwise. Measure all estimators in one call"
        )
    missing = [name for name in (*KEY, "status", "variance") if name not in frame.columns]
    if missing:
        raise UsageError(f"the frame lacks the columns {', '.join(missing)}, which tell its rows from each other")
    pool = {_key(entry.row): entry for entry in entries([found])}
    measured = {_key(finding.row): finding.row for finding in found.findings}
    chosen: dict[tuple[Any, ...], Entry] = {}
    for label, row in zip(frame.index, frame.to_dict("records"), strict=True):
        key = _key(row)
        if key not in measured or not _unchanged(row, measured[key]):
            raise UsageError(f"row {label} of the frame is not as it was measured: {dict(zip(KEY, key, strict=True))}")
        if key in pool:
            chosen[key] = pool[key]
    return list(chosen.values())


def _key(row: Mapping[Any, Any]) -> tuple[Any, ...]:
    """The values of `KEY` in a row, None for a missing temperature (NaN)."""
    return tuple(None if row[name] != row[name] else row[name] for name in KEY)


def _unchanged(row: Mapping[Any, Any], measured: Mapping[str, Any]) -> bool:
    """Whether all its numbers are those that were measured; what was not is NaN."""
    known = names()
    floats = {name: value for name, value in row.items() if isinstance(value, float) and name in known}
    return all(value == measured.get(name) or math.isnan(value) for name, value in floats.items())
