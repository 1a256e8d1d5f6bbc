"""The papers' formulas once more, outcome by outcome, in decimals of 250 digits; and what problems they are tried on.

Written for classes: a Bernoulli variable is two classes with logits (0, φ) and ∇f = (0, f′), and class 1 is looked at.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from math import prod
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from estbench.distributions import Bernoulli
from estbench.draws import Draw
from estbench.estimators.base import Estimator
from estbench.exact import exact
from estbench.moments import Floats
from estbench.objectives.base import BOTH, Objective
from estbench.problem import Problem
from tests.problems import make

Vector = list[Decimal]
Matrix = list[Vector]
OfOneVariable = Callable[[Vector, Vector, int], Sequence[Decimal]]
"""(logits, ∇f of this variable, its class) to the gradient estimate of this variable's logits."""


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


def wave(v: Floats) -> tuple[float, Floats]:
    """f and ∇f of `Wave` at one flattened sample, in numpy."""
    n = np.arange(len(v))
    a, c = 1.3 + 0.4 * n, np.cos(1 + n)
    return float(np.sin(v @ a + 0.3) + (v @ c) ** 3 / 2), np.cos(v @ a + 0.3) * a + 1.5 * (v @ c) ** 2 * c


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


def outcomes(problem: Problem) -> list[tuple[list[int], Decimal, Tensor]]:
    """Every joint state: the class of each variable, its probability, and the sample [D(, K)]."""
    d = problem.distribution
    logits = decimals(problem)
    found = []
    for classes in itertools.product(range(d.classes), repeat=problem.D):
        P = prod((softmax(theta)[k] for theta, k in zip(logits, classes, strict=True)), start=Decimal(1))
        one_hot = torch.zeros(problem.D, d.classes, dtype=torch.float64)
        one_hot[range(problem.D), classes] = 1
        found.append((list(classes), P, one_hot[:, 1] if isinstance(d, Bernoulli) else one_hot))
    return found


def decimals(problem: Problem) -> Matrix:
    """The logits of each variable, (0, φ) for Bernoulli."""
    rows = problem.distribution.logits.tolist()
    return [[Decimal(t) for t in ([0.0, row] if isinstance(row, float) else row)] for row in rows]


def softmax(theta: Vector) -> Vector:
    """exp θ / Σ exp θ."""
    e = [(t - max(theta)).exp() for t in theta]
    return [x / sum(e) for x in e]


def dot(a: Sequence[Decimal], b: Sequence[Decimal]) -> Decimal:
    """a·b."""
    return sum((x * y for x, y in zip(a, b, strict=True)), Decimal(0))


def jacobian(m: Vector, g: Vector) -> Vector:
    """m ⊙ (g − m·g)."""
    return [x * (y - dot(m, g)) for x, y in zip(m, g, strict=True)]


def one_hot(k: int, K: int) -> Vector:
    """e_k."""
    return [Decimal(i == k) for i in range(K)]


def score(theta: Vector, k: int) -> Vector:
    """e_k − π."""
    return [z - p for z, p in zip(one_hot(k, len(theta)), softmax(theta), strict=True)]


def solve(A: Matrix, B: Matrix) -> Matrix:
    """X with A X = B, by Gauss-Jordan elimination with pivots."""
    K, rows = len(A), [list(a) + list(b) for a, b in zip(A, B, strict=True)]
    for i in range(K):
        pivot = max(range(i, K), key=lambda r: abs(rows[r][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [x / rows[i][i] for x in rows[i]]
        for r in range(K):
            if r != i:
                rows[r] = [x - rows[r][i] * y for x, y in zip(rows[r], rows[i], strict=True)]
    return [row[K:] for row in rows]


def by_hand(problem: Problem, formula: OfOneVariable) -> Floats:
    """The estimates [states, D(, K)] of a method that works variable by variable from ∇f at the sample, for `Wave`."""
    rows = []
    with localcontext(prec=250):
        for classes, _, z in outcomes(problem):
            g = [[Decimal(x) for x in own] for own in wave(z.flatten().numpy())[1].reshape(problem.D, -1).tolist()]
            rows.append(
                [
                    component(problem, formula(theta, [Decimal(0), *own] if len(own) == 1 else own, k))
                    for theta, own, k in zip(decimals(problem), g, classes, strict=True)
                ]
            )
    return np.array(rows).reshape(len(rows), *problem.distribution.event_shape)


def component(problem: Problem, estimate: Sequence[Decimal]) -> list[float]:
    """All of one variable's estimate; for Bernoulli, that of class 1."""
    return [float(x) for x in (estimate[1:] if isinstance(problem.distribution, Bernoulli) else estimate)]


def scores(problem: Problem) -> Floats:
    """s(z) of every state, [states, D(, K)]."""
    return by_hand(problem, lambda theta, g, k: score(theta, k))  # noqa: ARG005 - no ∇f in it


def probabilities(problem: Problem) -> Floats:
    """P(z) of every state."""
    with localcontext(prec=250):
        return np.array([float(P) for _, P, _ in outcomes(problem)])


def values(problem: Problem) -> Floats:
    """f of every state, for `Wave`."""
    return np.array([wave(z.flatten().numpy())[0] for _, _, z in outcomes(problem)])


def gradient(problem: Problem, f: Floats) -> Floats:
    """Σ_z P(z) (f(z) − f(0)) s(z), [D(, K)]."""
    return np.tensordot(probabilities(problem) * (f - f[0]), scores(problem), 1)


def on_states(problem: Problem) -> Draw:
    """A weighted draw of one sample that holds every joint state, in the order of `outcomes`."""
    z = torch.stack([z for _, _, z in outcomes(problem)]).unsqueeze(1).to(problem.distribution.logits)
    return Draw(problem, len(z), 1, z=z, weights=torch.from_numpy(probabilities(problem)))


def mean_and_variance(problem: Problem, estimator: Estimator, samples: int = 1) -> tuple[Floats, float]:
    """The exact mean [P] and total variance, as the program finds them."""
    found = exact(problem, estimator, samples)
    return found.mean, float(found.variance.sum())
