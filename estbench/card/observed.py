"""The mean of an estimator on one problem: from exact moments where these take little time, else from a sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from estbench.card.problems import unit
from estbench.card.sampling import SEED, sample
from estbench.estimate import truth
from estbench.estimators.base import Estimator, RowEstimator
from estbench.exact import Unavailable, exact
from estbench.isolation import Isolated
from estbench.moments import Floats
from estbench.preflight.unbiasedness import affordable
from estbench.problem import Problem

ROUNDING = 1e-7
"""Means that differ by less, relative to ‖g‖ and to their own size, are equal."""

EPS = 64 * 2.0**-52
"""Digits of an estimate that its mean may lack."""


@dataclass(frozen=True, eq=False)
class Observed:
    """m = E ĝ at N samples with its standard error, beside g; `variance` is the trace of the covariance of ĝ."""

    problem: Problem
    N: int
    g: Floats
    m: Floats
    se: Floats
    variance: float
    exact: bool

    @property
    def size(self) -> float:
        """‖g‖; where that is 0, see `problems.unit`."""
        norm = float(np.linalg.norm(self.g))
        return norm if norm > 0.0 else unit(self.problem, torch.from_numpy(self.g))[0]

    @property
    def rounding(self) -> float:
        """How far rounding of the estimates may move m: they are large where a baseline is."""
        return EPS * float(np.sqrt(max(self.variance, 0.0) + self.m @ self.m))

    @property
    def noise(self) -> Floats:
        """The standard error, or rounding where that is larger: [P]."""
        floor = ROUNDING * (self.size + float(np.linalg.norm(self.m))) + self.rounding
        return np.hypot(self.se, floor)

    def off(self, mean: Floats) -> Floats:
        """(m − mean)/noise: [P]."""
        found: Floats = (self.m - mean) / self.noise
        return found


def exact_mean(problem: Problem, estimator: Estimator, N: int) -> Observed | None:
    """The exact mean where it takes little time, else None."""
    rows = isinstance(estimator, RowEstimator)
    with Isolated("card", SEED.get(), "exact", N):
        if not affordable(problem, estimator, 1 if rows else N):
            return None
        try:
            found = exact(problem, estimator, 1 if rows else N)
        except Unavailable:
            return None
        true = truth(problem, estimator)
    assert true is not None
    error = np.full(len(found.mean), found.mean_error)
    variance = float(found.variance.sum()) / (N if rows else 1)
    return Observed(problem, N, true.numpy(), found.mean, error, variance, True)


def observe(problem: Problem, estimator: Estimator, N: int, R: int, stream: str) -> Observed:
    """The exact mean, or that of R estimates drawn from a stream."""
    found = exact_mean(problem, estimator, N)
    if found is not None:
        return found
    true = truth(problem, estimator)
    assert true is not None
    x = sample(problem, estimator, N, R, stream)
    x = x[x.isfinite().all(-1)]
    if len(x) < 2:
        x = torch.full((2, len(true)), torch.nan)
    variance = x.var(0)
    return Observed(
        problem, N, true.numpy(), x.mean(0).numpy(), (variance / len(x)).sqrt().numpy(), float(variance.sum()), False
    )
