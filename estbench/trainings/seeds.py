"""What estimates are like at the logits of each seed of a training: numbers [S], one a seed."""

from __future__ import annotations

import torch
from torch import Tensor

from estbench.draws import Draw, Uniforms
from estbench.estimators.base import Estimator
from estbench.exact.batched import batch_moments
from estbench.problem import Problem
from estbench.trainings.trajectory import Gradient

ROUNDING = 1e-13
"""A bias below this share of ‖g‖ is rounding: 0."""

ESTIMATES = 2
"""Estimates that are drawn for each seed at a checkpoint: the fewest that tell bias² from variance."""

Numbers = dict[str, Tensor]


def exactly(problem: Problem, estimator: Estimator, samples: int) -> Numbers:
    """Exact bias, variance, MSE and cosines at each seed; `Unavailable` as `batch_moments` raises it."""
    found, g = batch_moments(problem, estimator, samples), _true(problem)
    length = _length(g)
    bias = _length(found.mean - g)
    bias = torch.where(bias <= ROUNDING * length, 0.0, bias)
    return {
        "true_norm": length,
        "bias_squared": bias**2,
        "bias_norm": bias,
        "variance": found.variance,
        "mse": bias**2 + found.variance,
        "cosine": found.cosine,
        "cosine_of_mean": _cosine(found.mean, g),
    }


def sampled(problem: Problem, gradient: Gradient, samples: int, streams: Uniforms) -> Numbers:
    """The same from two independent estimates a seed, ĝ and ĝ′; each has the right mean.

    (ĝ − g)·(ĝ′ − g) is bias² in the mean, and ½‖ĝ − ĝ′‖² the variance.
    """
    g, S = _true(problem), problem.distribution.batch_shape[0]
    a, b = (gradient(Draw(problem, S, samples, streams=streams)) for _ in range(ESTIMATES))
    return {
        "true_norm": _length(g),
        "bias_squared": torch.linalg.vecdot(a - g, b - g),
        "variance": _length(a - b).square() / 2,
        "mse": (_length(a - g).square() + _length(b - g).square()) / 2,
        "cosine": (_cosine(a, g) + _cosine(b, g)) / 2,
        "zero_fraction": ((a == 0).all(-1).double() + (b == 0).all(-1).double()) / 2,
    }


def _true(problem: Problem) -> Tensor:
    found = problem.exact_gradient
    return torch.full(problem.project(problem.distribution.logits).shape, torch.nan) if found is None else found


def _cosine(x: Tensor, g: Tensor) -> Tensor:
    """cos(x, g), 0 where x = 0, NaN where g = 0: [S]."""
    lengths, size = _length(x) * _length(g), _length(g)
    cosine = torch.where(lengths > 0, torch.linalg.vecdot(x, g) / lengths, 0.0)
    return torch.where((size > 0) & x.isfinite().all(-1), cosine, torch.nan)


def _length(x: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(x, dim=-1)
    return length
