"""How the exact moments of a cell are computed, as the facts of its estimator say. Its code is given weighted draws.

An estimator that depends on the samples alone is fed all samples that there can be (see `enumeration`); one that is
piecewise smooth in its noise, at D = 1, is fed quadrature nodes for that noise given z. No formula of any
estimator is repeated here.

Enumeration is tried first. Where it would take too many samples, the moments of a mean of N independent rows follow
from those of one row, but for its cosine and its share of zeros.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from torch import Tensor

from estbench.distributions.links import link_of
from estbench.errors import UsageError
from estbench.estimate import truth
from estbench.estimators.base import Estimator, Referenced, RowEstimator, why_no_estimate
from estbench.exact.enumeration import enumerated, too_many
from estbench.exact.integration import integrated
from estbench.exact.result import Exact, Unavailable
from estbench.moments import SCALARS, Floats, first, record, second
from estbench.problem import Problem


def exact(problem: Problem, estimator: Estimator, samples: int) -> Exact:
    """Exact moments of one cell; `Unavailable` with the reason where there are none.

    UsageError where the estimator does not serve the distribution, its link, or these numbers of variables and samples.
    """
    d = problem.distribution
    if (why := why_no_estimate(estimator.facts, d.name, link_of(d), problem.D, d.classes, samples)) is not None:
        raise UsageError(
            f"{type(estimator).__name__} {why}; here are {d.name} variables, D = {problem.D}, N = {samples}"
        )
    if (reason := why_not(problem, estimator, samples)) is not None:
        raise Unavailable(reason)
    if samples > 1 and enumerable(problem, estimator, samples):
        return _enumerated(problem, estimator, samples)
    one = _of_one_sample(problem, estimator)
    return one if samples == 1 else replace(one, packed=_of_mean(one.packed, samples))


def why_not(problem: Problem, estimator: Estimator, samples: int) -> str | None:
    """Why a cell has no exact moments, as far as facts, D, K and N tell without computing anything; None: it may."""
    facts, D, K = estimator.facts, problem.D, problem.distribution.classes
    if problem.route == "none" and not isinstance(estimator, Referenced):
        return f"the exact gradient is not known: {K}^{D} joint states"
    if facts.exact == "none" and facts.family == "adapted":
        return "no exact moments: the function makes random numbers of its own"
    if facts.exact == "none":
        return "no exact moments: not a function of z alone, nor smooth in few uniforms"
    reason = too_many(problem, estimator, samples) if _of_z(estimator) else ""
    if reason is None:
        return None
    if samples > 1 and isinstance(estimator, RowEstimator):
        return why_not(problem, estimator, 1)
    if reason:
        return reason
    if samples > 1:
        return "noise is integrated for one sample, or for means of independent rows"
    if facts.exact == "z":
        return "exact='z' is for estimators that read no noise but z; say exact='smooth'"
    if D > 1:
        return "noise is integrated for one variable only"
    return "noise is integrated for at most 4 classes" if K > 4 else None


def enumerable(problem: Problem, estimator: Estimator, samples: int) -> bool:
    """Whether the estimate depends on z alone and the samples are few enough to go through them all."""
    return _of_z(estimator) and too_many(problem, estimator, samples) is None


def _of_z(estimator: Estimator) -> bool:
    return not (estimator.facts.noise or estimator.facts.exact == "smooth")


def _of_one_sample(problem: Problem, estimator: Estimator) -> Exact:
    """Exact moments at N = 1; cached, as they serve every N of a mean of rows."""
    try:
        hash(estimator)
    except TypeError:  # an option of a user's estimator is a list, say
        return _found(problem, estimator)
    return _cached(problem, estimator)  # type: ignore[arg-type] # it has just been hashed


def _found(problem: Problem, estimator: Estimator) -> Exact:
    return (
        _enumerated(problem, estimator, 1)
        if enumerable(problem, estimator, 1)
        else integrated(problem, estimator, _truth(problem, estimator))
    )


_cached = lru_cache(maxsize=8)(_found)


def _enumerated(problem: Problem, estimator: Estimator, samples: int) -> Exact:
    return Exact(enumerated(problem, estimator, samples, _truth(problem, estimator)), "enumeration", 0.0)


def _of_mean(packed: Floats, N: int) -> Floats:
    """The record of a mean of N independent rows from that of one row: the same mean, variance/N, the rest unknown.

    But for E‖ḡ − m‖⁴ = [E‖ĝ − m‖⁴ + (N − 1)(v² + 2 tr Σ²)]/N³, v = tr Σ, where tr Σ² is at least Σ_d Σ_dd². Estimates
    that are not finite stay left out, and so does what they weigh.
    """
    n, non_finite = (packed[:, [SCALARS.index(name)]] for name in ("n", "non_finite"))
    if not n.any():
        return packed
    of_mean = n * record(first(packed) / n, second(packed) / n / N)
    of_mean[:, [SCALARS.index("non_finite")]] = non_finite
    d4, variance = packed[:, SCALARS.index("d4")], second(packed) / n  # [1, P]
    with np.errstate(over="ignore"):  # where v² is no float, this is infinite
        v, squares = variance.sum(1), (variance**2).sum(1)
        of_mean[:, SCALARS.index("d4")] = (d4 + n[:, 0] * (N - 1) * (v**2 + 2 * squares)) / N**3
    return of_mean


def _truth(problem: Problem, estimator: Estimator) -> Tensor:
    true = truth(problem, estimator)
    assert true is not None  # else there is a reason why not
    return true
