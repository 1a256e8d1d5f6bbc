"""First oracle: sums over all joint states of a coupled objective, written without the package's own.

`decimals.py` has the formulas of estimators that depend on the state alone; `noise.py` is the second oracle.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import Estimator, RowEstimator
from estbench.exact import exact
from estbench.moments import Floats
from estbench.objectives.base import BOTH, Objective
from estbench.problem import Problem
from tests.problems import make

Classes = tuple[int, ...]
"""One class for each variable."""
Numbers = Any  # an array, real or complex


@dataclass(frozen=True)
class Wave:
    """sin(a·z + .3) + (c·z)³/2 + shift with all entries of a and c different: coupled and far from quadratic."""

    shift: float = 0.0

    on: ClassVar[Literal["flat"]] = "flat"
    distributions: ClassVar[frozenset[str]] = BOTH

    def value(self, z: Tensor) -> Tensor:
        """f at flattened samples."""
        n = torch.arange(z.shape[-1]).to(z)
        return torch.sin(z @ (1.3 + 0.4 * n) + 0.3) + (z @ torch.cos(1 + n)) ** 3 / 2 + self.shift


def wave(v: Numbers) -> Numbers:
    """`Wave` at flattened samples [..., n] in numpy, for complex arguments too: [...]."""
    n = np.arange(v.shape[-1])
    return np.sin(v @ (1.3 + 0.4 * n) + 0.3) + (v @ np.cos(1 + n)) ** 3 / 2


def wave_slope(v: Floats) -> Floats:
    """∇f of `Wave` by hand, [..., n]."""
    n = np.arange(v.shape[-1])
    a, c = 1.3 + 0.4 * n, np.cos(1 + n)
    return np.asarray(np.cos(v @ a + 0.3)[..., None] * a + 1.5 * ((v @ c) ** 2)[..., None] * c)


def problem(logits: object, shift: float = 0.0) -> Problem:
    """`Wave` at logits."""
    return make(Wave(shift), torch.tensor(logits, dtype=torch.float64))


def problems(objective: Objective | None = None) -> dict[str, Problem]:
    """One and three Bernoulli variables; one and two categorical ones of unequal logits."""
    logits = {
        "B1": [0.7],
        "B3": [0.7, -1.2, 0.3],
        "C1x3": [[0.5, -0.3, 0.9]],
        "C2x4": [[0.4, -0.8, 0.1, 1.0], [-0.5, 0.6, 1.2, -1.1]],
    }
    return {name: make(objective or Wave(), torch.tensor(t, dtype=torch.float64)) for name, t in logits.items()}


def extreme(objective: Objective | None = None) -> dict[str, Problem]:
    """Logits ±30."""
    logits = {"B3": [30.0, -30.0, 30.0], "C2x3": [[30.0, 0.0, -30.0], [-30.0, -29.0, 30.0]]}
    return {name: make(objective or Wave(), torch.tensor(t, dtype=torch.float64)) for name, t in logits.items()}


def marginals(p: Problem) -> Floats:
    """π by the textbook, [D, K]; Bernoulli as two classes with logits (0, φ)."""
    logits = p.distribution.logits.double().numpy()
    if logits.ndim == 1:
        logits = np.stack((np.zeros_like(logits), logits), -1)
    e = np.exp(logits)
    return np.asarray(e / e.sum(-1, keepdims=True))


def classes(p: Problem) -> list[Classes]:
    """The classes of all variables in every joint state."""
    return list(itertools.product(range(p.distribution.classes), repeat=p.D))


def states(p: Problem) -> list[tuple[Classes, float]]:
    """All joint states and their probabilities."""
    pi = marginals(p)
    return [(c, math.prod(pi[d, k] for d, k in enumerate(c))) for c in classes(p)]


def sample(p: Problem, c: Classes) -> Tensor:
    """The sample in which variable d has class c[d]."""
    if p.distribution.name == "bernoulli":
        return torch.tensor(c, dtype=torch.float64)
    return torch.eye(p.distribution.classes, dtype=torch.float64)[list(c)]


def samples(p: Problem) -> Tensor:
    """The sample of every joint state, in order: [states, 1, D(, K)]."""
    return torch.stack([sample(p, c) for c in classes(p)]).unsqueeze(1)


def f(p: Problem, c: Classes) -> float:
    """f by the objective itself, not counted."""
    z = sample(p, c)
    return float(p.objective.value(z.flatten() if p.objective.on == "flat" else p.distribution.values(z)))


def values(p: Problem) -> Floats:
    """f of every state."""
    return np.array([f(p, c) for c in classes(p)])


def score(p: Problem, c: Classes) -> Floats:
    """z − p, or z − π, flat."""
    pi = marginals(p)
    each = np.eye(pi.shape[1])[list(c)] - pi
    return np.asarray(each[:, 1] if p.distribution.name == "bernoulli" else each.ravel())


def put(c: Classes, d: int, k: int) -> Classes:
    """The classes with variable d in class k."""
    return (*c[:d], k, *c[d + 1 :])


def truth(p: Problem) -> Floats:
    """∂/∂θ_dk = π_dk Σ_z P(z) [f(z with z_d := k) − Σ_j π_dj f(z with z_d := j)]; Bernoulli: that of class 1: [P]."""
    pi, g = marginals(p), np.zeros_like(marginals(p))
    found = {c: f(p, c) for c in classes(p)}
    for c, P in states(p):
        for d in range(p.D):
            F = np.array([found[put(c, d, k)] for k in range(pi.shape[1])])
            g[d] += P * pi[d] * (F - pi[d] @ F)
    return g[:, 1] if p.distribution.name == "bernoulli" else g.ravel()


def over_states(p: Problem, estimator: RowEstimator) -> tuple[Floats, Floats, Floats]:
    """The estimator's own rows [M, P] at all states, its mean and its variance."""
    z = samples(p)
    rows = p.project(estimator.rows(Draw(p, len(z), 1, z=z)))[:, 0].numpy()
    P = np.array([weight for _, weight in states(p)])
    mean = P @ rows
    return rows, mean, P @ (rows - mean) ** 2


def check_unbiased(p: Problem, estimator: RowEstimator) -> None:
    """The mean over all states is the gradient."""
    _, mean, _ = over_states(p, estimator)
    np.testing.assert_allclose(mean, truth(p), rtol=0, atol=1e-10)


def mean_and_variance(p: Problem, estimator: Estimator, N: int = 1) -> tuple[Floats, float]:
    """The exact mean [P] and total variance, as the program finds them."""
    found = exact(p, estimator, N)
    return found.mean, float(found.variance.sum())
