"""Problems of the card's own choosing, on which an estimator is looked at.

Each f is shifted so that REINFORCE has little variance there, yet constants still show: a bias is then seen in few
estimates. With b the baseline of least variance and I the Fisher information of the logits, f is f₀ − b + ‖g‖/√tr I:
the constant that is left adds as much variance as ‖g‖².
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import sqrt

import torch
from torch import Tensor

from estbench.card.transforms import affine
from estbench.objectives.base import Objective
from estbench.objectives.mlp import Mlp
from estbench.objectives.quadratic_form import QuadraticForm
from estbench.objectives.sine import Sine
from estbench.preflight.problems import named
from estbench.problem import Problem, make

TINY = 1e-9
"""Numbers below this, relative to another one, count as 0."""

Role = str
"""What a problem is for: "one", a single variable; "coupled"; "extreme", with a rare class; "two", K = 2 classes;
"own", the user's."""


@dataclass(frozen=True, eq=False)
class Probe:
    """A problem with its role and the name that it has in a line of text."""

    role: Role
    label: str
    problem: Problem


@dataclass(frozen=True)
class _Choice:
    role: Role
    objective: Objective
    logits: tuple[float, ...] | tuple[tuple[float, ...], ...]


_CHOICES: dict[str, tuple[_Choice, ...]] = {
    "bernoulli": (
        _Choice("one", Sine(frequency=2.0), (0.6,)),
        _Choice("coupled", Mlp(seed=8), (1.2, -2.0, 0.3)),
        _Choice("extreme", Sine(frequency=1.0), (-3.2, 0.4)),
    ),
    "categorical": (
        _Choice("one", Sine(frequency=2.0), ((0.4, -1.2, 1.0),)),
        _Choice("coupled", Mlp(seed=6), ((1.2, -1.0, 0.0, 0.5), (-1.0, 0.3, 1.2, -0.4))),
        _Choice("two", Sine(frequency=2.0), ((-0.2, 0.4),)),
        _Choice("extreme", Sine(frequency=1.0), ((-2.2, 0.4, 1.0), (0.3, 0.0, 1.1))),
    ),
}


def probes(distribution: str) -> tuple[Probe, ...]:
    """The problems of one distribution, "bernoulli" or "categorical", new at each call: an estimator may write."""
    return tuple(_probe(choice, distribution) for choice in _CHOICES[distribution])


def _probe(choice: _Choice, distribution: str) -> Probe:
    problem = make(choice.objective, torch.tensor(choice.logits, dtype=torch.float64), distribution)
    return Probe(choice.role, named(problem), centred(problem))


def centred(problem: Problem) -> Problem:
    """The problem of f − b + ‖g‖/√tr I."""
    d = problem.distribution
    shift = _shift(problem.objective, d.name, tuple(d.logits.flatten().tolist()), d.event_shape)  # type: ignore[arg-type] # hashable: ours
    return affine(problem, shift=shift)


@lru_cache(maxsize=64)
def _shift(objective: Objective, distribution: str, logits: tuple[float, ...], event_shape: tuple[int, ...]) -> float:
    shaped = torch.tensor(logits, dtype=torch.float64).view(event_shape)
    problem = make(objective, shaped, distribution)
    true = problem.exact_gradient
    assert true is not None
    return float(true.norm()) / sqrt(information(problem)) - float(problem.optimal_baseline.mean())


def information(problem: Problem) -> float:
    """tr I = E ‖s(z)‖², by enumeration."""
    d, total = problem.distribution, 0.0
    for z, P in problem.enumerate():
        total += float((d.lift(P) * d.score(z) ** 2).sum())
    return total


def unit(problem: Problem, gradient: Tensor) -> tuple[float, str]:
    """The size that biases are relative to, and its name: ‖g‖; where g = 0, the size of f s for f less its mean.

    Where f is constant, that of f s; 1 where f = 0.
    """
    norm, size, total, square = float(gradient.norm()), sqrt(information(problem)), 0.0, 0.0
    for z, P in problem.enumerate():
        f = problem.f(z)
        total, square = total + float((P * f).sum()), square + float((P * f * f).sum())
    rms, sd = sqrt(square), sqrt(max(square - total**2, 0.0))
    if norm > TINY * rms * size:
        return norm, "‖g‖"
    return (sd if sd > TINY * rms else rms) * size or 1.0, "sd(f) √tr I (g = 0)"


def linear(problem: Problem) -> Problem:
    """A linear f of the sample, at the logits of a problem."""
    n = problem.numbers
    b = tuple(0.7 + 0.5 * i * (-1) ** i for i in range(n))
    return centred(_with(problem, QuadraticForm(A=((0.0,) * n,) * n, b=b)))


def quadratic(problem: Problem) -> Problem:
    """A quadratic form of the sample with couplings, at the logits of a problem."""
    n = problem.numbers
    A = tuple(tuple(0.6 * (-1) ** (i + j) / (1 + abs(i - j)) for j in range(n)) for i in range(n))
    return centred(_with(problem, QuadraticForm(A=A, b=tuple(0.4 - 0.3 * i for i in range(n)))))


def _with(problem: Problem, objective: Objective) -> Problem:
    return make(objective, problem.distribution.logits, problem.distribution.name)
