"""Problems of the tests."""

from __future__ import annotations

from torch import Tensor

from estbench.distributions import Bernoulli, Categorical
from estbench.objectives.base import Objective
from estbench.problem import Problem
from estbench.problem import make as made


def make(objective: Objective, logits: Tensor, tie: bool = False) -> Problem:
    """The problem at logits without a batch: a vector is of Bernoulli variables, a matrix of categorical ones."""
    return made(objective, logits, ("bernoulli", "categorical")[logits.ndim - 1], tie=tie)


def independent(problem: Problem) -> Bernoulli | Categorical:
    """The distribution of a problem of independent variables."""
    assert isinstance(problem.distribution, Bernoulli | Categorical)
    return problem.distribution
