"""Formulas of estimators that depend on the state alone, state by state, in decimals of 250 digits.

Written for classes: a Bernoulli variable is two classes with logits (0, φ) and ∇f = (0, f′), and class 1 is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal, getcontext, localcontext
from functools import cache
from math import prod

import numpy as np
import torch

from estbench.draws import Draw
from estbench.moments import Floats
from estbench.problem import Problem
from tests.estimators.states import classes, samples, wave_slope

Vector = list[Decimal]
Matrix = list[Vector]
OfOneVariable = Callable[[Vector, Vector, int], Sequence[Decimal]]
"""(logits, ∇f of this variable, its class) to the gradient estimate of this variable's logits."""


def logits(problem: Problem) -> Matrix:
    """The logits of each variable, (0, φ) for Bernoulli."""
    rows = problem.distribution.logits.tolist()
    return [[Decimal(t) for t in ([0.0, row] if isinstance(row, float) else row)] for row in rows]


def softmax(theta: Vector) -> Vector:
    """exp θ / Σ exp θ."""
    return list(_softmax(tuple(theta), getcontext().prec))


@cache
def _softmax(theta: tuple[Decimal, ...], digits: int) -> Vector:
    """It is asked for at every state, and so many digits of an exponential take long."""
    assert getcontext().prec == digits
    top = max(theta)
    e = [(t - top).exp() for t in theta]
    total = sum(e)
    return [x / total for x in e]


def dot(a: Sequence[Decimal], b: Sequence[Decimal]) -> Decimal:
    """a·b."""
    return sum((x * y for x, y in zip(a, b, strict=True)), Decimal(0))


def jacobian(m: Vector, g: Vector) -> Vector:
    """m ⊙ (g − m·g)."""
    mean = dot(m, g)
    return [x * (y - mean) for x, y in zip(m, g, strict=True)]


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
        for c, z in zip(classes(problem), samples(problem), strict=True):
            g = [[Decimal(x) for x in own] for own in wave_slope(z.numpy().ravel()).reshape(problem.D, -1).tolist()]
            rows.append(
                [
                    component(problem, formula(theta, [Decimal(0), *own] if len(own) == 1 else own, k))
                    for theta, own, k in zip(logits(problem), g, c, strict=True)
                ]
            )
    return np.array(rows).reshape(len(rows), *problem.distribution.event_shape)


def component(problem: Problem, estimate: Sequence[Decimal]) -> list[float]:
    """All of one variable's estimate; for Bernoulli, that of class 1."""
    return [float(x) for x in (estimate[1:] if problem.distribution.name == "bernoulli" else estimate)]


def scores(problem: Problem) -> Floats:
    """s(z) of every state, [states, D(, K)]."""
    return by_hand(problem, lambda theta, g, k: score(theta, k))  # noqa: ARG005 - no ∇f in it


def probabilities(problem: Problem) -> Floats:
    """P(z) of every state."""
    with localcontext(prec=250):
        pi = [softmax(theta) for theta in logits(problem)]
        return np.array([float(prod((own[k] for own, k in zip(pi, c, strict=True)))) for c in classes(problem)])


def gradient(problem: Problem, f: Floats) -> Floats:
    """Σ_z P(z) (f(z) − f(0)) s(z), [D(, K)]."""
    return np.tensordot(probabilities(problem) * (f - f[0]), scores(problem), 1)


def on_states(problem: Problem) -> Draw:
    """A weighted draw of one sample that holds every joint state, in the order of `classes`."""
    z = samples(problem).to(problem.distribution.logits)
    return Draw(problem, len(z), 1, z=z, weights=torch.from_numpy(probabilities(problem)))
