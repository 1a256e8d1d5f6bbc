"""Pieces of noise on which an antithetic estimate is constant, or linear: what is summed over them is exact."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor

from estbench.draws import Draw
from estbench.estimate import estimates
from estbench.estimators.base import Estimator
from estbench.objectives.base import BOTH
from estbench.problem import Problem
from tests.problems import make

Floats = NDArray[np.float64]
Classes = tuple[int, ...]
"""One class for each variable."""


@dataclass(frozen=True)
class Bumpy:
    """cos(2 a·z + ½) + (a·z)³/2 + shift with another a for every class of every variable: coupled, not quadratic."""

    shift: float = 0.0

    on: ClassVar[Literal["flat"]] = "flat"
    distributions: ClassVar[frozenset[str]] = BOTH

    def value(self, z: Tensor) -> Tensor:
        """f at flat samples [..., n]."""
        az = z @ torch.sin(2.0 * torch.arange(z.shape[-1]) + 0.7).to(z)
        return torch.cos(2 * az + 0.5) + az**3 / 2 + self.shift


def problem(logits: Sequence[float] | Sequence[Sequence[float]], shift: float = 0.0) -> Problem:
    """`Bumpy` at logits."""
    return make(Bumpy(shift), torch.tensor(logits, dtype=torch.float64))


def probabilities(p: Problem) -> Floats:
    """π, [D, K]; Bernoulli variables as two classes."""
    logits = p.distribution.logits.double().numpy()
    return np.asarray(softmax(logits if logits.ndim == 2 else np.stack((0 * logits, logits), -1), -1))


def f(p: Problem, classes: Classes) -> float:
    """f at one class for each variable, by the objective itself."""
    z = np.eye(p.distribution.classes)[list(classes)]
    flat = np.array(classes, float) if p.distribution.name == "bernoulli" else z.ravel()
    return float(p.objective.value(torch.from_numpy(flat)))


@dataclass(frozen=True)
class Measure:
    """Points [M, …] of weights [M] that sum to 1."""

    points: Floats
    weights: Floats

    def __post_init__(self) -> None:
        np.testing.assert_allclose(self.weights.sum(), 1, atol=1e-12)


def product(parts: Sequence[Measure]) -> list[Measure]:
    """Independent measures on their product: as many measures, on common points, each with the weights of the whole."""
    index = np.indices([len(part.weights) for part in parts]).reshape(len(parts), -1)
    weights = np.prod([part.weights[i] for part, i in zip(parts, index, strict=True)], axis=0)
    return [Measure(part.points[i], weights) for part, i in zip(parts, index, strict=True)]


def stacked(parts: Sequence[Measure], axis: int) -> Measure:
    """Their product with the points stacked on a new axis."""
    whole = product(parts)
    return Measure(np.stack([part.points for part in whole], axis), whole[0].weights)


def intervals(*breakpoints: float) -> Measure:
    """The middles of the pieces of (0, 1) between the break points."""
    ends = np.array(sorted({0.0, *breakpoints, 1.0}))
    return Measure((ends[1:] + ends[:-1]) / 2, np.diff(ends))


def simplex(n: int, planes: Sequence[Floats], degree: int = 1) -> Measure:
    """The uniform law on the simplex of n numbers that sum to 1, cut along planes c·w = 0 into small simplices.

    One point in the middle of each (exact for what is linear there), or, of degree 2, n points.
    """
    pieces = [np.eye(n)]
    for plane in planes:
        pieces = [part for piece in pieces for part in _cut(piece, plane)]
    volume = np.array([abs(np.linalg.det(piece)) for piece in pieces])
    vertices = np.stack(pieces)
    if degree == 1:
        return Measure(vertices.mean(1), volume)
    inward = 1 / np.sqrt(n + 1)
    points = inward * vertices + (1 - inward) * vertices.mean(1, keepdims=True)  # [pieces, n, n]
    return Measure(points.reshape(-1, n), np.repeat(volume / n, n))


def _cut(piece: Floats, plane: Floats) -> list[Floats]:
    """A simplex cut by halving an edge across the plane until none is left."""
    side = piece @ plane
    high, low = int(side.argmax()), int(side.argmin())
    if side[high] < 1e-13 or side[low] > -1e-13:
        return [piece]
    on_plane = (piece[low] * side[high] - piece[high] * side[low]) / (side[high] - side[low])
    above, below = piece.copy(), piece.copy()
    above[low] = below[high] = on_plane
    return _cut(above, plane) + _cut(below, plane)


def dirichlet(N: int, cuts: Sequence[float]) -> Measure:
    """d = Dirichlet(1) over N samples, in pieces between the planes d_n = cut."""
    return simplex(N, [np.eye(N)[n] - cut for n in range(N) for cut in cuts])


def run(estimator: Estimator, p: Problem, noise: Mapping[str, Floats], N: int = 1) -> Floats:
    """The estimates at given noise, by the estimator itself: [M, D] or [M, D, K]."""
    tensors = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in noise.items()}
    M = len(next(iter(tensors.values())))
    found = estimates(estimator, Draw(p, M, N, noise=tensors), [N])[0]
    return found.numpy().reshape(M, *p.distribution.event_shape)


def mean(g: Floats, weights: Floats) -> Floats:
    """Σ weight ĝ."""
    return np.asarray(np.tensordot(weights, g, 1))


def variance(g: Floats, weights: Floats) -> Floats:
    """Σ weight (ĝ − mean)², by coordinates."""
    return mean((g - mean(g, weights)) ** 2, weights)


def truth(p: Problem) -> Floats:
    """Σ_z P(z) f(z) (z − π), state by state."""
    pi = probabilities(p)
    D, K = pi.shape
    g = np.zeros((D, K))
    for z in itertools.product(range(K), repeat=D):
        score = np.eye(K)[list(z)] - pi
        g += np.prod(pi[range(D), z]) * f(p, z) * score
    return g[:, 1] if p.distribution.name == "bernoulli" else g


def law(g: Floats, weights: Floats) -> dict[tuple[float, ...], float]:
    """The distribution of estimates: value (to 9 decimals) → probability."""
    total: dict[tuple[float, ...], float] = {}
    for value, weight in zip(np.round(g.reshape(len(g), -1), 9) + 0.0, weights, strict=True):
        total[tuple(value.tolist())] = total.get(tuple(value.tolist()), 0.0) + float(weight)
    return total


def assert_same_law(a: tuple[Floats, Floats], b: tuple[Floats, Floats]) -> None:
    """Two sets of estimates with their weights have one distribution."""
    left, right = law(*a), law(*b)
    assert left.keys() == right.keys()
    for value, weight in left.items():
        np.testing.assert_allclose(weight, right[value], atol=1e-11)
