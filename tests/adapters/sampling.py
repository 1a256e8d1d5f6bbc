"""Estimates of adapted functions."""

from __future__ import annotations

from torch import Tensor

from estbench.draws import Draw
from estbench.estimate import estimates
from estbench.estimators.base import Estimator
from estbench.problem import Problem
from estbench.streams import Streams


def sampled(estimator: Estimator, problem: Problem, N: int, R: int = 2**13, seed: int = 0) -> Tensor:
    """Estimates [R, P]."""
    return estimates(estimator, Draw(problem, R, N, streams=Streams(seed, "adapters", range(1))), [N])[0]
