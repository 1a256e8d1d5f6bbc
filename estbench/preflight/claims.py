"""What estimators claim, held against what they do, wherever that is known at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from estbench.engine.exact import Exact, Unavailable, exact
from estbench.engine.tasks import Group, Record, reason
from estbench.engine.tasks.failure import FAULTS
from estbench.estimators.base import Estimator, RowEstimator, evaluations
from estbench.intervals import exact_verdict
from estbench.moments import Moments, first
from estbench.problem import Problem

MAX_TUPLES = 2**12
"""Joint states, or N-tuples of them, that are gone through here."""

Fault = tuple[str, Literal["cost", "mean"], str]


def contradictions(problem: Problem, groups: Sequence[Group], records: Sequence[Record]) -> Iterator[Fault]:
    """(id of the group, what its claim is about, which claim is false and how), one of each kind at most.

    `records` are those of the cost of all cells; cells without one have failed, and are left out.
    """
    counted = {record["key"]: (record["f"], record["df"]) for record in records if record["kind"] == "cost"}
    for group in groups:
        cells = [(N, counted[key]) for N, key in group.cells if key in counted]
        if not cells:
            continue
        estimator = group.estimator()
        if text := _cost(problem, estimator, cells):
            yield group.id, "cost", text
        if text := _mean(problem, estimator, cells[0][0]):
            yield group.id, "mean", text


def _cost(problem: Problem, estimator: Estimator, cells: Sequence[tuple[int, tuple[int, int]]]) -> str:
    """Whether f and ∇f are evaluated as often as declared."""
    facts, D, K = estimator.facts, problem.D, problem.distribution.classes
    for N, counted in cells:
        declared = tuple(evaluations(count, D, K, N) for count in (facts.f, facts.df))
        if declared != counted:
            words = [f"{f} f and {df} ∇f" for f, df in (declared, counted)]
            return f"its facts declare {words[0]} an estimate at N = {N}, but {words[1]} were counted"
    return ""


def _mean(problem: Problem, estimator: Estimator, samples: int) -> str:
    """Whether there are exact moments where the facts allow them, and E ĝ = g where they say that it is unbiased."""
    facts = estimator.facts
    N = facts.min_samples if isinstance(estimator, RowEstimator) else samples
    integrated = facts.exact == "smooth" or bool(facts.noise)
    affordable = problem.n_states == 2 if integrated else problem.n_states**N <= MAX_TUPLES
    if not affordable:
        return ""
    try:
        found = exact(problem, estimator, N)
    except Unavailable:
        return ""
    except FAULTS as error:
        return f"its facts say exact = '{facts.exact}', but {reason(error)}"
    return _bias(problem, found, N) if facts.unbiased else ""


def _bias(problem: Problem, found: Exact, N: int) -> str:
    """Whether the verdict is that the mean is not g, beyond what rounding and quadrature explain."""
    assert problem.true is not None
    if exact_verdict(Moments.unpack(found.packed, problem.true.numpy()), found.mean_error) != "biased":
        return ""
    bias, size = float(np.linalg.norm(first(found.packed))), float(problem.true.norm())
    return f"its facts say that it is unbiased, but ‖E ĝ − g‖ = {bias:.3g} at N = {N}, exactly, where ‖g‖ = {size:.3g}"
