"""The problems on which every estimator is checked: small, coupled, not quadratic, with moderately extreme logits."""

from __future__ import annotations

import torch

from estbench.distributions.base import size_text
from estbench.estimators.base import Facts
from estbench.objectives.mlp import Mlp
from estbench.objectives.sine import Sine
from estbench.problem import Problem, make


def own_problems() -> tuple[Problem, ...]:
    """One to three variables, two to four classes; no state is rarer than 1 in 30 000, no class than 1 in 60.

    They are new at each call: an estimator may write into what it is given.
    """
    problems = (
        (Sine(frequency=2.0), "bernoulli", [0.6]),
        (Sine(frequency=2.0), "bernoulli", [-3.5, 0.4]),
        (Mlp(seed=1), "bernoulli", [1.2, -2.5, 0.3]),
        (Sine(frequency=3.0), "categorical", [[0.4, -1.2, 1.0]]),
        (Mlp(seed=2), "categorical", [[1.5, -2.0, 0.0, 0.5], [-1.0, 0.3, 1.5, -0.4]]),
    )
    return tuple(make(f, torch.tensor(logits, dtype=torch.float64), name) for f, name, logits in problems)


def served(problem: Problem, facts: Facts) -> bool:
    """Whether an estimator with these facts serves a problem."""
    return (
        facts.unserved(problem.distribution.name) is None
        and (facts.max_variables is None or facts.max_variables >= problem.D)
        and (facts.max_states is None or problem.n_states <= facts.max_states)
    )


def named(problem: Problem, objective: str | None = None) -> str:
    """What a problem is called in a line of text; by default with the name of the class of its objective."""
    d = problem.distribution
    return f"{objective or type(problem.objective).__name__.lower()} {d.name} {size_text(d.event_shape)}"
