"""An objective made of another one: a f + b, and f of relabelled variables and classes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import torch
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
class Relabelled:
    """f of samples whose variables and classes have other numbers: variable d here is `variables[d]` there.

    It takes samples as they are, [..., D] or one-hot [..., D, K]; `reversed_classes`: class k is called K − 1 − k.
    """

    problem: Problem
    variables: tuple[int, ...]
    reversed_classes: bool

    on: ClassVar[Literal["one-hot"]] = "one-hot"

    @property
    def distributions(self) -> frozenset[str]:
        """As f."""
        return self.problem.objective.distributions

    def value(self, v: Tensor) -> Tensor:
        """f of the sample under its first names: [...]."""
        return self.problem.objective.value(self.problem.inputs(self.renamed(v)))

    def renamed(self, v: Tensor) -> Tensor:
        """A sample, or anything of its shape but for the sign of what is reversed, under the other names."""
        event_dim = self.problem.distribution.event_dim
        index = torch.tensor(self.variables, device=v.device)
        v = v.index_select(-event_dim, index)
        if not self.reversed_classes:
            return v
        return v.flip(-1) if event_dim == 2 else 1 - v  # v may be relaxed: it is no class that has a number


def affine(problem: Problem, scale: float = 1.0, shift: float = 0.0) -> Problem:
    """The problem of scale · f + shift at the same logits."""
    try:
        objective = _affine(problem.objective, scale, shift)  # type: ignore[arg-type] # hashable, or TypeError
    except TypeError:  # an f of a user that cannot be hashed
        objective = Affine(problem.objective, scale, shift)
    return make_like(problem, objective, problem.distribution.logits)


_affine = lru_cache(maxsize=64)(Affine)
"""The same object for the same f, as what is known of an objective is kept with it."""


def relabelled(problem: Problem) -> tuple[Problem, Relabelled]:
    """The same problem with its variables and its classes in reverse order, and what made it.

    Its gradient is that of the first in reverse order (of Bernoulli variables with the other sign).
    """
    d = problem.distribution
    backwards = Relabelled(problem, tuple(reversed(range(problem.D))), True)
    return make_like(problem, backwards, _reversed(d.logits, d.event_dim).contiguous()), backwards


def under_first_names(problem: Problem, gradients: Tensor) -> Tensor:
    """Gradients [..., P] of a relabelled problem as gradients of the first one."""
    shaped = gradients.view(*gradients.shape[:-1], *problem.distribution.event_shape)
    return _reversed(shaped, problem.distribution.event_dim).reshape(gradients.shape)


def _reversed(t: Tensor, event_dim: int) -> Tensor:
    """Logits or gradients with variables and classes in reverse order: one logit is then that of the other class."""
    return t.flip(-1, -2) if event_dim == 2 else -t.flip(-1)


def make_like(problem: Problem, objective: Objective, logits: Tensor) -> Problem:
    """A problem of the same kind of distribution, with counters of its own."""
    return Problem(problem.distribution.with_logits(logits), objective, problem.tie)
