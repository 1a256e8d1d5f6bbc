"""How seldom samples show what the gradient is made of: classes, and events of several variables together."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from estbench.problem import Problem


def rarest(problem: Problem) -> float:
    """The share of samples that show the rarest class that can be, or the rarest effect on f: [0, 1]."""
    of_classes = problem.marginals[problem.marginals > 0]
    return min(float(of_classes.min()), rarest_event(problem))


@lru_cache(maxsize=16)
def rarest_event(problem: Problem) -> float:
    """The share of samples that show the rarest effect on f: min over effects h of (E h²)²/E h⁴, at most 1.

    Where h is c in an event of probability π and 0 elsewhere this is π. In general it is 1 over the kurtosis of h about
    0, so that R N times it counts the samples that make up E h². The effects are that of all variables together,
    h = f − E f, and that of each, h² = Var(f | all others), which local differences of f estimate. So Π_d v_d has about
    Π_d p_d, although each class is common. It is 1 where the joint states are too many to go through, or f is not
    finite at all of them.
    """
    o = problem.oracle
    if not o.enumerable:
        return 1.0
    parts = [(o.f(z), P) for z, P in o.enumerate()]
    f, P = (torch.cat(each) for each in zip(*parts, strict=True))
    size = f.abs().max()
    if not (size > 0 and size.isfinite()):
        return 1.0
    h = f / size - P @ (f / size)
    return min([_share(h**2, P), *(_share(*of) for of in _of_each(h, P, o))])


def _of_each(h: Tensor, P: Tensor, problem: Problem) -> list[tuple[Tensor, Tensor]]:
    """Var(h | all others) of each variable, and the probabilities of all others."""
    grid = [problem.distribution.classes] * problem.D
    h, P = h.view(grid), P.view(grid)
    found = []
    for d in range(problem.D):
        others = P.sum(d, keepdim=True)
        given = (P / others).nan_to_num(0.0)  # of what cannot be
        about = h - (given * h).sum(d, keepdim=True)
        found.append(((given * about**2).sum(d).flatten(), others.flatten()))
    return found


def _share(square: Tensor, P: Tensor) -> float:
    """(E h²)²/E h⁴ from h² and the probabilities; 1 where h is rounding of an f of size 1, or always 0."""
    square = torch.where(square > (64 * torch.finfo(P.dtype).eps) ** 2, square, 0.0)
    second, fourth = (P @ square).item(), (P @ square**2).item()
    return min(1.0, second**2 / fourth) if fourth > 0 else 1.0
