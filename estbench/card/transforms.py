"""An objective made of another one: a f + b, and f of variables and classes in reverse order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

from torch import Tensor

from estbench.objectives.base import Objective
from estbench.objectives.mlp import Mlp
from estbench.objectives.quadratic_form import QuadraticForm
from estbench.objectives.sine import Sine
from estbench.problem import Problem

CARD = (Mlp, QuadraticForm, Sine)
"""The objectives of the card's own problems: all are made of torch's operations over leading axes."""


@dataclass(frozen=True, eq=False)
class Affine:
    """scale · f(v) + shift. Its gradient is that of scale · f."""

    objective: Objective
    scale: float = 1.0
    shift: float = 0.0

    @property
    def calls_like(self) -> object:
        """What is equal for objectives with which a function is called in the same way (see `adapters.calls`)."""
        return "card" if type(self.objective) in CARD else getattr(self.objective, "calls_like", id(self.objective))

    @property
    def on(self) -> Literal["values", "flat", "one-hot"]:
        """As f."""
        return self.objective.on

    @property
    def distributions(self) -> frozenset[str]:
        """As f."""
        return self.objective.distributions

    def value(self, v: Tensor) -> Tensor:
        """scale · f(v) + shift: [...]."""
        return self.objective.value(v) * self.scale + self.shift


@dataclass(frozen=True, eq=False)
class Reversed:
    """f of samples whose variables and classes are in reverse order: [..., D] or one-hot [..., D, K]."""

    problem: Problem

    on: ClassVar[Literal["one-hot"]] = "one-hot"

    @property
    def distributions(self) -> frozenset[str]:
        """As f."""
        return self.problem.objective.distributions

    def value(self, v: Tensor) -> Tensor:
        """f of the sample in its first order: [...]."""
        return self.problem.objective.value(self.problem.inputs(self.problem.independent.reverse(v)))


def affine(problem: Problem, scale: float = 1.0, shift: float = 0.0) -> Problem:
    """The problem of scale · f + shift at the same logits."""
    try:
        objective = _affine(problem.objective, scale, shift)  # type: ignore[arg-type] # hashable, or TypeError
    except TypeError:  # an f of a user that cannot be hashed
        objective = Affine(problem.objective, scale, shift)
    return make_like(problem, objective, problem.distribution.logits)


_affine = lru_cache(maxsize=64)(Affine)
"""The same object for the same f, as what is known of an objective is kept with it."""


def in_reverse(problem: Problem) -> Problem:
    """The same problem with its variables and its classes in reverse order, and so with its gradient in that order."""
    logits = problem.independent.reverse_vjp(problem.distribution.logits)
    return make_like(problem, Reversed(problem), logits.contiguous())


def in_first_order(problem: Problem, gradients: Tensor) -> Tensor:
    """Gradients [..., P] of a problem in reverse as gradients of the first one."""
    shaped = gradients.view(*gradients.shape[:-1], *problem.distribution.event_shape)
    return problem.independent.reverse_vjp(shaped).reshape(gradients.shape)


def make_like(problem: Problem, objective: Objective, logits: Tensor) -> Problem:
    """A problem of the same kind of distribution, with counters of its own."""
    return Problem(problem.distribution.with_logits(logits), objective, problem.tie)
