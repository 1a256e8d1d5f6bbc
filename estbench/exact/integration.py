"""Exact moments by quadrature: the nodes are doubled until neither bias nor variance moves."""

from __future__ import annotations

import math
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

from estbench.estimators.base import Estimator
from estbench.exact.integrand import Integrand
from estbench.exact.noise import of_variable
from estbench.exact.quadrature import TooMany
from estbench.exact.result import Exact, Unavailable
from estbench.moments import Floats, central, first, second
from estbench.problem import Problem

_DOUBLINGS = 7
_GOAL = 1e-9  # of the change at the last doubling; what is left is less by as much again
_LOST = 1e-6  # six digits of sixteen
_LUCK = 32  # a change is not believed to be smaller than the last one by more


def integrated(problem: Problem, estimator: Estimator, true: Tensor) -> Exact:
    """Quadrature over the noise given each class of the one variable; nodes are doubled until nothing moves.

    One axis is cut into pieces until nothing moves within any, so that kinks of f′ cost no digits; so are two where
    doubling all nodes is of no help.
    """
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
