"""What estimates are like at the logits of each seed of a training: numbers [S], one a seed."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import Estimator
from estbench.exact.batched import batch_moments
from estbench.intervals.derived import ROUNDING, unless_cancelled, without_rounding
from estbench.problem import Problem
from estbench.streams import Uniforms
from estbench.trainings.trajectory import Gradient

ESTIMATES = 2
"""Estimates that are drawn for each seed at a checkpoint: the fewest that tell bias² from variance."""

Numbers = dict[str, Tensor]


def exactly(problem: Problem, estimator: Estimator, samples: int) -> Numbers:
    """Exact bias, variance, MSE and cosines at each seed; `Unavailable` as `batch_moments` raises it."""
    found, g = batch_moments(problem, estimator, samples), _true(problem)
    length = _length(g)
    bias = _apart(found.mean, g)
    m, of_g = found.mean.numpy(), g.numpy()
    var = without_rounding(found.variance.numpy(), m)
    m, variance = unless_cancelled(m, of_g, np.sqrt(var)), torch.from_numpy(var.sum(-1))
    return {
        "true_norm": length,
        "bias_squared": bias**2,
        "bias_norm": bias,
        "variance": variance,
        "mse": bias**2 + variance,
        "cosine": found.cosine,
        "cosine_of_mean": _cosine(torch.from_numpy(m), g),
    }


def sampled(problem: Problem, gradient: Gradient, samples: int, streams: Uniforms) -> Numbers:
    """The same from two independent estimates a seed, ĝ and ĝ′; each has the right mean.

    (ĝ − g)·(ĝ′ − g) is bias² in the mean, and ½‖ĝ − ĝ′‖² the variance.
    """
    g, S = _true(problem), problem.distribution.batch_shape[0]
    a, b = (gradient(Draw(problem, S, samples, streams=streams)) for _ in range(ESTIMATES))
    bias = [_difference(each, g) for each in (a, b)]
    return {
        "true_norm": _length(g),
        "bias_squared": torch.linalg.vecdot(*bias),
        "variance": _apart(a, b).square() / 2,
        "mse": (_length(bias[0]).square() + _length(bias[1]).square()) / 2,
        "cosine": (_cosine(a, g) + _cosine(b, g)) / 2,
        "zero_fraction": ((a == 0).all(-1).double() + (b == 0).all(-1).double()) / 2,
    }


def _true(problem: Problem) -> Tensor:
    found = problem.exact_gradient
    return torch.full(problem.project(problem.distribution.logits).shape, torch.nan) if found is None else found


def _difference(x: Tensor, y: Tensor) -> Tensor:
    """x − y, and 0 where they differ by rounding alone: [S, P]."""
    found = x - y
    rounding = ROUNDING * torch.maximum(_length(x), _length(y))
    return torch.where((_length(found) <= rounding).unsqueeze(-1), 0.0, found)


def _apart(x: Tensor, y: Tensor) -> Tensor:
    return _length(_difference(x, y))


def _cosine(x: Tensor, g: Tensor) -> Tensor:
    """cos(x, g), 0 where x = 0, NaN where g = 0: [S]."""
    size, length = _length(g), _length(x)
    cosine = torch.where(length > 0, torch.linalg.vecdot(x, g / size.unsqueeze(-1)) / length, 0.0)
    return torch.where((size > 0) & x.isfinite().all(-1), cosine, torch.nan)


def _length(x: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(x, dim=-1)
    return length
