"""Second oracle: sums and integrals over the base noise, on which an estimate is constant, linear or smooth.

Pieces: a weighted sum over their points is exact where the estimate is constant, or linear, on each of them.
Nodes: what is smooth in the noise given the classes is integrated, with no knowledge of any estimator.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import expit, roots_legendre
from torch import Tensor

from estbench.draws import MAIN, Draw
from estbench.estimate import estimates
from estbench.estimators.base import Estimator
from estbench.moments import Floats
from estbench.problem import Problem

Logits = list[float] | list[list[float]]

ONE: dict[str, Logits] = {"low": [-1.3], "high": [0.8]}
ONE_OF_THREE: dict[str, Logits] = {"three": [[0.9, -0.4, 1.6]]}
SEVERAL: dict[str, Logits] = {"B2": [0.7, -1.2], "B3": [0.7, -1.2, 0.3], "C2x3": [[0.9, -0.4, 1.6], [-0.2, 0.7, 0.1]]}

# --- pieces -------------------------------------------------------------------------------------------------------


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


# --- nodes: composite Gauss-Legendre on the noisy logit x, given the class ------------------------------------------


def rows(estimator: Estimator, of: Draw) -> Floats:
    """The estimates [R, P] of a draw of one sample."""
    g = estimates(estimator, of, [1])[0]
    return g.numpy()


_S, _W = roots_legendre(20)
_EDGES = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 5, 7, 9, 12, 16, 21, 28, 40])


def panels(edges: Floats, nodes: int = 20) -> tuple[Floats, Floats]:
    """Nodes and weights on the panels between the edges."""
    s, w = (_S, _W) if nodes == 20 else roots_legendre(nodes)
    half = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + half * (1 + s)).ravel(), (half * w).ravel()


def grid(axes: Sequence[tuple[Floats, ...]]) -> list[list[Floats]]:
    """The product grid of axes, each a tuple of arrays of one length: a list of arrays for each place."""
    grids = [np.meshgrid(*column, indexing="ij") for column in zip(*axes, strict=True)]
    return [[g.ravel() for g in grid] for grid in grids]


def logistic(phi: float, k: int) -> tuple[Floats, Floats, Floats]:
    """u and v at nodes of x ∈ (0, 40) or (−40, 0), and weights of sum 1: the law of u given class k, of v ever."""
    s, w = panels(_EDGES)
    x = s if k else -s
    u = expit(phi - x)
    weight = w * expit(x - phi) * u / expit(phi if k else -phi)
    v = u / expit(phi) if k else 1 - expit(x - phi) / expit(-phi)
    return np.clip(u, 0, 1 - 2.0**-53), np.clip(v, 2.0**-60, 1 - 2.0**-48), weight


@dataclass(frozen=True)
class Cell:
    """One joint state: its sample, its probability, and nodes of the two streams with weights summing to 1 each."""

    z: Floats
    P: float
    noise: tuple[Floats, Floats]
    redraw: tuple[Floats, Floats]


def bernoulli_cells(logits: list[float]) -> list[Cell]:
    """All states of one or two Bernoulli variables."""
    cells = []
    for z in itertools.product((0, 1), repeat=len(logits)):
        axes = [logistic(phi, k) for phi, k in zip(logits, z, strict=True)]
        u, v, w = grid(axes)
        weight = np.prod(w, axis=0)
        P = np.prod([expit(phi if k else -phi) for phi, k in zip(logits, z, strict=True)])
        cells.append(Cell(np.array(z, float), float(P), (np.stack(u, -1), weight), (np.stack(v, -1), weight)))
    return cells


def class_cells(logits: list[float], scale: bool = False) -> list[Cell]:
    """The classes of one variable of two or three, by ratios ρ_i = e_i/e_k with density (K − 1)!/(1 + Σρ)^K.

    With `scale`, S = Σ e is a Gamma(K) variable of its own; without, e_k is 1.
    """
    K = len(logits)
    pi = np.exp(logits) / np.exp(logits).sum()
    t, w = panels(np.array([0.0, 2, 6, 12, 25]), 12) if scale else panels(np.array([0.0, 1, 3, 6, 10, 16, 26, 40]), 12)
    around = (np.concatenate((-t[::-1], t)), np.concatenate((w[::-1], w)))
    log_sum = panels(np.array([-12.0, -4, 0, 2, 4]), 14)

    def nodes(axis: tuple[Floats, Floats], least: Floats, others: list[int]) -> tuple[Floats, Floats]:
        logs, weights = grid([axis] * (K - 1) + ([log_sum] if scale else []))
        ratios = np.exp(np.stack(logs[: K - 1], -1)) * least
        total = 1 + ratios.sum(-1)
        weight = np.prod(weights, axis=0) * math.factorial(K - 1) * ratios.prod(-1) / total**K
        e = np.ones((len(weight), 1, K))
        e[:, 0, others] = ratios
        if scale:
            S = np.exp(logs[-1])
            weight = weight * S**K * np.exp(-S) / math.factorial(K - 1)
            e = e * (S / total)[:, None, None]
        return e, weight

    cells = []
    for k in range(K):
        others = [i for i in range(K) if i != k]
        e, weight = nodes((t, w), pi[others] / pi[k], others)
        e_redraw, weight_redraw = nodes(around, np.ones(K - 1), others)
        exactly = 1e-9 if scale else 1e-12
        assert abs(weight.sum() - pi[k]) < exactly  # the class wins with probability π_k
        assert abs(weight_redraw.sum() - 1) < exactly
        cells.append(Cell(np.eye(K)[k][None], float(pi[k]), (e, weight / pi[k]), (e_redraw, weight_redraw)))
    return cells


Evaluate = Callable[[Floats, Floats, Floats], Floats]
"""Estimates [R, P] from samples [R, …] and both noises."""


def by_quadrature(evaluate: Evaluate, cells: list[Cell]) -> tuple[Floats, Floats]:
    """E ĝ and Var ĝ, [P] each, of an estimate that given z is a sum of one part of the noise and one of the redraw."""
    mean, square = 0.0, 0.0
    for cell in cells:
        (e, w), (v, wv) = cell.noise, cell.redraw
        e0, v0 = e[:1], v[:1]

        def at(e: Floats, v: Floats, cell: Cell = cell) -> Floats:
            R = max(len(e), len(v))
            return evaluate(*(np.broadcast_to(t, (R, *cell.z.shape)).copy() for t in (cell.z[None], e, v)))

        base = at(e0, v0)[0]
        of_noise, of_redraw = at(e, v0) - base, at(e0, v) - base
        first = base + w @ of_noise + wv @ of_redraw
        within = w @ (of_noise - w @ of_noise) ** 2 + wv @ (of_redraw - wv @ of_redraw) ** 2
        mean, square = mean + cell.P * first, square + cell.P * (within + first**2)
    return np.asarray(mean), square - np.asarray(mean) ** 2


def of_estimator(estimator: Estimator, of: Problem) -> Evaluate:
    """The estimator's own estimates."""

    def evaluate(z: Floats, e: Floats, v: Floats) -> Floats:
        z_, e_, v_ = (torch.from_numpy(t).unsqueeze(1) for t in (z, e, v))
        return rows(estimator, Draw(of, len(z), 1, z=z_, noise={MAIN: e_, "redraw/0": v_}))

    return evaluate


def cells(of: Problem, scale: bool = False) -> list[Cell]:
    """The cells of a problem of few variables."""
    logits: Tensor = of.distribution.logits
    return bernoulli_cells(logits.tolist()) if logits.ndim == 1 else class_cells(logits[0].tolist(), scale)
