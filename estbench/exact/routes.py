"""Exact moments: the unchanged estimator code, fed weighted draws.

An estimator that depends on the samples alone is fed all samples that there can be (see `enumeration`); one that is
piecewise smooth in its noise, at D = 1, is fed quadrature nodes for that noise given z. No formula of any estimator
stands here: what an estimator needs is read from its facts.

Enumeration is tried first. Where it would take too many samples, the moments of a mean of N independent rows follow
from those of one row, but for its cosine and its share of zeros.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from estbench.estimate import truth
from estbench.estimators.base import Estimator, Referenced, RowEstimator
from estbench.exact.enumeration import enumerated, too_many
from estbench.exact.integrand import Integrand
from estbench.exact.noise import of_variable
from estbench.exact.quadrature import TooMany
from estbench.moments import SCALARS, Floats, central, first, record, second
from estbench.problem import Problem

_DOUBLINGS = 7
_GOAL = 1e-9  # of the change at the last doubling; what is left is less by as much again
_LOST = 1e-6  # six digits of sixteen
_LUCK = 32  # a change is not believed to be smaller than the last one by more


class Unavailable(Exception):  # noqa: N818 - it is an answer, not a failure
    """Why exact moments cannot be had for a cell."""


@dataclass(frozen=True)
class Exact:
    """Exact moments of an estimator at N samples: one packed record of total weight 1, how, and how exactly.

    `error` is the larger relative change of bias and variance when the nodes were last doubled, `mean_error` the change
    of the mean, ‖·‖; both are 0 for enumeration.
    What the record cannot say (cosines of a mean of rows known only by their moments) is NaN.
    """

    packed: Floats
    route: str
    error: float
    mean_error: float = 0.0

    @property
    def mean(self) -> Floats:
        """E ĝ, [P]."""
        found: Floats = (first(self.packed) / self.packed[:, :1])[0]
        return found

    @property
    def variance(self) -> Floats:
        """Var ĝ of each coordinate, [P]."""
        found: Floats = (second(self.packed) / self.packed[:, :1])[0]
        return found


def exact(problem: Problem, estimator: Estimator, samples: int) -> Exact:
    """Exact moments of one cell; `Unavailable` with the reason where there are none."""
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
    """Exact moments at N = 1; kept, as they serve every N of a mean of rows."""
    try:
        hash(estimator)
    except TypeError:  # an option of a user's estimator is a list, say
        return _found(problem, estimator)
    return _cached(problem, estimator)  # type: ignore[arg-type] # it has just been hashed


def _found(problem: Problem, estimator: Estimator) -> Exact:
    return _enumerated(problem, estimator, 1) if enumerable(problem, estimator, 1) else _integrated(problem, estimator)


_cached = lru_cache(maxsize=8)(_found)


def _enumerated(problem: Problem, estimator: Estimator, samples: int) -> Exact:
    return Exact(enumerated(problem, estimator, samples, _truth(problem, estimator)), "enumeration", 0.0)


def _of_mean(packed: Floats, N: int) -> Floats:
    """The record of a mean of N independent rows from that of one row: the same mean, variance/N, the rest unknown.

    Estimates that are not finite stay left out, and so does what they weigh.
    """
    n, non_finite = (packed[:, [SCALARS.index(name)]] for name in ("n", "non_finite"))
    if not n.any():
        return packed
    of_mean = n * record(first(packed) / n, second(packed) / n / N)
    of_mean[:, [SCALARS.index("non_finite")]] = non_finite
    return of_mean


def _integrated(problem: Problem, estimator: Estimator) -> Exact:
    """Quadrature over the noise given each class of the one variable; nodes are doubled until nothing moves.

    One axis is cut into pieces until nothing moves within any, so that kinks of f′ cost no digits; so are two where
    doubling all nodes is of no help.
    """
    true = _truth(problem, estimator)
    shift, size = true, float(true.norm())
    integrand = Integrand(problem, estimator, true, shift)
    found, error, change = None, np.full(2, math.inf), np.zeros(2)  # as `_change` gives them
    with suppress(TooMany):
        start = integrand.pair(1)[1]
        if _cancels(start):
            shift = true + torch.from_numpy(first(start)[0] / start[0, 0])
            integrand = Integrand(problem, estimator, true, shift)
        offset = (shift - true).numpy()
        for level in range(1, _DOUBLINGS + 1):
            before, found = integrand.pair(level)
            last, change = change, _change(before, found, offset, size)
            error = np.maximum(change, last / _LUCK)
            if error[0] < _GOAL or integrand.axes <= 1:
                break
    if error[0] >= _GOAL:
        with suppress(TooMany):
            before, after = integrand.nested()
            if (change := _change(before, after, (shift - true).numpy(), size))[0] < error[0]:
                found, error = after, change
    if found is None:
        raise Unavailable(f"{integrand.axes} uniforms are too many to integrate over")
    blur = _resolution(problem, estimator)
    error = np.maximum(error, (blur, blur * size)) if integrand.axes else np.zeros(2)
    return Exact(central(found, shift.numpy()), "quadrature", *map(float, error))


def _cancels(sums: Floats) -> bool:
    """Whether a coordinate varies so little beside its distance from the shift that digits of its variance are lost."""
    n = float(sums[0, 0])
    if not n > 0:
        return False
    mean = first(sums) / n
    return bool((second(sums) / n - mean**2 < _LOST * mean**2).any())


def _change(before: Floats, after: Floats, offset: Floats, size: float) -> Floats:
    """What moved: [the larger relative change of bias and variance, the change of the mean].

    That of the bias is taken against ‖g‖ where it is next to nothing.
    """
    bias, moved = (float(np.linalg.norm(x)) for x in (offset + first(after), first(after) - first(before)))
    relative = moved / max(bias if bias > 1e-6 * size else size, 1e-300)
    old, new = (float((second(p) - first(p) ** 2).sum()) for p in (before, after))
    of_variance = abs(new - old) / max(abs(new), 1e-300) if abs(new) > 1e-20 * size**2 else 0.0
    return np.array([max(relative, of_variance), moved])


def _resolution(problem: Problem, estimator: Estimator) -> float:
    """The relative error of the smallest probability as the noise tells it: it is the same with more nodes."""
    return problem.independent.noise_resolution() if any(map(of_variable, estimator.facts.noise)) else 0.0


def _truth(problem: Problem, estimator: Estimator) -> Tensor:
    true = truth(problem, estimator)
    assert true is not None  # else there is a reason why not
    return true
