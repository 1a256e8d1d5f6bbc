"""Whether the mean of an estimator is the gradient of some function of the logits."""

from __future__ import annotations

from numbers import Real

import torch
from torch import Tensor

from estbench.errors import UsageError
from estbench.estimators.base import Estimator
from estbench.exact.batched import batch_moments
from estbench.problem import Problem

STEP = 1e-5
"""Step h of the central differences. Their error is h²/6 of a third derivative and 1e-16/h of rounding: 1e-11 or so."""


def curl(problem: Problem, estimator: Estimator, samples: int = 1, step: float = STEP) -> Tensor:
    """‖J − Jᵀ‖/‖J + Jᵀ‖ with J = ∂E ĝ(φ)/∂φ, at each entry of a batch of logits: [R], Frobenius norms.

    A field E ĝ(φ) is the gradient of some function exactly if its Jacobian is symmetric everywhere: 0 there. That of an
    unbiased estimator is the gradient of E f. Where it is not 0, following the mean of the estimator minimises nothing,
    and may go round in circles. J is found by central differences of exact means (see `batch_moments`, and what it
    raises). Asymmetry that rounding can make, below 1e-14 ‖E ĝ‖/h, counts as 0.
    """
    if not (isinstance(step, Real) and 0 < step < 1):
        raise UsageError(f"step must be a number between 0 and 1, got {step!r}")
    logits = problem.distribution.logits.double()
    R, n = len(logits), logits[0].numel()
    shifts = step * torch.eye(n, dtype=logits.dtype).view(n, *logits.shape[1:])
    moved = torch.stack([logits.unsqueeze(1) + sign * shifts for sign in (1, -1)])  # [2, R, n, D(, K)]
    mean = batch_moments(problem.at(moved.flatten(0, 2)), estimator, samples).mean.view(2, R, n, n)
    J = (mean[0] - mean[1]) / (2 * step)
    apart, together = (torch.linalg.matrix_norm(M) for M in (J - J.mT, J + J.mT))
    rounding = 1e-14 / step * torch.linalg.vector_norm(mean, dim=-1).amax((0, 2))
    return torch.where(apart > rounding, apart / together, 0.0)
