"""Problems of the tests."""

from __future__ import annotations

from torch import Tensor

from estbench.objectives.base import Objective
from estbench.problem import Problem
from estbench.problem import make as made


def make(objective: Objective, logits: Tensor, tie: bool = False) -> Problem:
    """The problem at logits without a batch: a vector is of Bernoulli variables, a matrix of categorical ones."""
    return made(objective, logits, ("bernoulli", "categorical")[logits.ndim - 1], tie=tie)
