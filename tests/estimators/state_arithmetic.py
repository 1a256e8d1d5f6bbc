"""Sums over all states, written without the package's own, for tests that go through them."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import RowEstimator
from estbench.problem import Problem
from tests.problems import make

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Coupled:
    """sin(2 w·z + 0.4) + 0.3 (w·z)³ + shift: coupled, not quadratic, another weight for every class."""

    shift: float = 0.0

    on: ClassVar[Literal["flat"]] = "flat"
    distributions: ClassVar[frozenset[str]] = frozenset({"bernoulli", "categorical"})

    def value(self, v: Tensor) -> Tensor:
        """f(z) of flat samples [..., n]."""
        w = 1.5 * torch.cos(3 * torch.arange(v.shape[-1]).to(v) + 1)
        return torch.sin(2 * (v @ w) + 0.4) + 0.3 * (v @ w) ** 3 + self.shift


def problem(logits: object, shift: float = 0.0) -> Problem:
    """The coupled objective at logits."""
    return make(Coupled(shift), torch.tensor(logits, dtype=torch.float64))


def probabilities(p: Problem) -> Floats:
    """π by the textbook, [D, K]; Bernoulli as two classes."""
    logits = p.distribution.logits.numpy()
    if logits.ndim == 1:
        logits = np.stack((np.zeros_like(logits), logits), -1)
    e = np.exp(logits)
    return np.asarray(e / e.sum(-1, keepdims=True))


def sample(p: Problem, classes: tuple[int, ...]) -> Tensor:
    """The sample in which variable d has class classes[d]."""
    if p.distribution.name == "bernoulli":
        return torch.tensor(classes, dtype=torch.float64)
    return torch.eye(p.distribution.classes, dtype=torch.float64)[list(classes)]


def f(p: Problem, classes: tuple[int, ...]) -> float:
    """f, not counted."""
    z = sample(p, classes)
    return float(p.objective.value(z.flatten() if p.objective.on == "flat" else p.distribution.values(z)))


def states(p: Problem) -> list[tuple[tuple[int, ...], float]]:
    """All joint states and their probabilities."""
    pi = probabilities(p)
    every = itertools.product(range(pi.shape[1]), repeat=p.D)
    return [(c, math.prod(pi[d, k] for d, k in enumerate(c))) for c in every]


def score(p: Problem, classes: tuple[int, ...]) -> Floats:
    """z − p, or z − π, flat."""
    return np.asarray(sample(p, classes).numpy() - p.independent.mean.numpy()).ravel()


def put(classes: tuple[int, ...], d: int, k: int) -> tuple[int, ...]:
    """`classes` with variable d in class k."""
    return (*classes[:d], k, *classes[d + 1 :])


def truth(p: Problem) -> Floats:
    """∂/∂θ_dk = π_dk Σ_z P(z) [f(z with z_d := k) − Σ_j π_dj f(z with z_d := j)]; Bernoulli: that of class 1."""
    pi, g = probabilities(p), np.zeros_like(probabilities(p))
    for c, P in states(p):
        for d in range(p.D):
            F = np.array([f(p, put(c, d, k)) for k in range(pi.shape[1])])
            g[d] += P * pi[d] * (F - pi[d] @ F)
    return g[:, 1] if p.distribution.name == "bernoulli" else g.ravel()


def over_states(p: Problem, estimator: RowEstimator) -> tuple[Floats, Floats, Floats]:
    """The estimator's own rows [M, P] at all states, its mean and its variance."""
    z = torch.stack([sample(p, c) for c, _ in states(p)]).unsqueeze(1)
    rows = p.project(estimator.rows(Draw(p, len(z), 1, z=z)))[:, 0].numpy()
    P = np.array([weight for _, weight in states(p)])
    mean = P @ rows
    return rows, mean, P @ (rows - mean) ** 2


def check_unbiased(p: Problem, estimator: RowEstimator) -> None:
    """The mean over all states is the gradient."""
    _, mean, _ = over_states(p, estimator)
    np.testing.assert_allclose(mean, truth(p), rtol=0, atol=1e-10)
