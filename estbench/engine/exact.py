"""Exact moments: the unchanged estimator code, fed weighted draws.

An estimator that depends on the samples alone is fed all joint states (N-tuples of them, where they are few); one that
is piecewise smooth in its noise, at D = 1, is fed quadrature nodes for that noise given z. No formula of any estimator
stands here: what an estimator needs is read from its facts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from estbench.distributions import Bernoulli
from estbench.draws import MAIN, Draw
from estbench.engine.estimate import estimates, truth
from estbench.engine.quadrature import Nodes, lomax, nodes, product
from estbench.estimators.base import Broken, Estimator, RowEstimator
from estbench.moments import SCALARS, Floats, moments
from estbench.problem import Problem

MAX_TUPLES = 2**16
_CHUNK = 2**16
_LEVELS = {0: (1,), 1: (16, 32), 2: (32, 64, 128, 256, 512), 3: (24, 48, 96), 4: (12, 24, 48)}
_BISECTIONS, _PIECE = 40, 1e-13
_GOAL = 1e-10  # of the change at the last doubling; what is left is less by as much again


class Unavailable(Exception):  # noqa: N818 - it is an answer, not a failure
    """Why exact moments cannot be had for a cell."""


@dataclass(frozen=True)
class Exact:
    """Exact moments of an estimator at N samples: one packed record of total weight 1, how, and how exactly.

    `error` is the larger relative change of bias and variance when the nodes were last doubled; 0 for enumeration.
    What the record cannot say (cosines of a mean of rows known only by their moments) is NaN.
    """

    packed: Floats
    route: str
    error: float


def exact(problem: Problem, estimator: Estimator, samples: int) -> Exact:
    """Exact moments of one cell; `Unavailable` with the reason where there are none."""
    facts, true = estimator.facts, truth(problem, estimator)
    if true is None:
        raise Unavailable(f"the exact gradient is not known: {problem.n_states} joint states")
    if facts.exact == "none":
        raise Unavailable("no exact moments: not a function of z alone, nor smooth in few uniforms")
    N = samples
    if not (facts.noise or facts.exact == "smooth") and problem.n_states**N <= MAX_TUPLES:
        return Exact(_enumerated(problem, estimator, N, true), "enumeration", 0.0)
    if N > 1:
        if not isinstance(estimator, RowEstimator):
            raise Unavailable(f"{problem.n_states}^{N} tuples of joint states are more than {MAX_TUPLES}")
        one = exact(problem, estimator, 1)
        return replace(one, packed=_of_mean(one.packed, N))
    if facts.exact == "z":
        raise Unavailable(f"{problem.n_states} joint states are more than {MAX_TUPLES}")
    return _integrated(problem, estimator, true)


def _enumerated(problem: Problem, estimator: Estimator, N: int, true: Tensor) -> Floats:
    """All N-tuples of joint states with their probabilities."""
    d, M = problem.distribution, problem.n_states
    states, log_prob = d.states(), d.log_prob(d.states())
    total = np.zeros((1, len(SCALARS) + 3 * problem.parameters))
    for start in range(0, M**N, _CHUNK):
        index = torch.arange(start, min(start + _CHUNK, M**N)).unsqueeze(1) // M ** torch.arange(N) % M  # [R, N]
        draw = Draw(problem, len(index), N, z=states[index], weights=log_prob[index].sum(1).exp())
        total += _weighted(estimator, draw, true)
    return total


def _weighted(estimator: Estimator, draw: Draw, true: Tensor, pieces: int = 1) -> Floats:
    (estimate,) = estimates(estimator, draw, [draw.N])
    assert draw.weights is not None
    weights = draw.weights.view(pieces, -1)
    packed: Floats = moments(estimate.view(pieces, -1, estimate.shape[-1]), true, weights).numpy()
    return packed


def _of_mean(packed: Floats, N: int) -> Floats:
    """The record of a mean of N independent rows from that of one row: the same mean, variance/N, the rest unknown."""
    s1, s2 = _first(packed), _second(packed)
    return _record(s1, (s2 - s1**2) / N)


def _first(packed: Floats) -> Floats:
    return packed[:, len(SCALARS) :][:, : (packed.shape[1] - len(SCALARS)) // 3]


def _second(packed: Floats) -> Floats:
    P = (packed.shape[1] - len(SCALARS)) // 3
    return packed[:, len(SCALARS) + P :][:, :P]


def _record(s1: Floats, variance: Floats) -> Floats:
    """A record of weight 1 that knows the mean and the variance of each coordinate and nothing else."""
    s2 = variance + s1**2
    packed = np.full((1, len(SCALARS) + 3 * s1.shape[1]), np.nan)
    packed[:, SCALARS.index("n")], packed[:, SCALARS.index("non_finite")] = 1.0, 0.0
    packed[:, SCALARS.index("y1")] = s2.sum()
    packed[:, len(SCALARS) :] = np.concatenate((s1, s2, np.full_like(s1, np.nan)), axis=1)
    return packed


def _integrated(problem: Problem, estimator: Estimator, true: Tensor) -> Exact:
    """Quadrature over the noise given each class of the one variable; nodes are doubled until nothing moves.

    A single uniform is cut into pieces until nothing moves within any, so that kinks of f′ cost no digits.
    """
    if problem.D > 1:
        raise Unavailable("noise is integrated for one variable only")
    if problem.distribution.classes > 4:
        raise Unavailable("noise is integrated for at most 4 classes")
    integrand = Integrand(problem, estimator, true)
    facts = integrand.facts
    parts: list[tuple[str, ...]] = [(s,) for s in facts.noise] if facts.additive else [facts.noise]
    axes = max(sum(integrand.axes(stream) for stream in part) for part in parts)
    if axes not in _LEVELS:
        raise Unavailable(f"{axes} uniforms are too many to integrate over")
    if axes == 1:
        integrand.refine(parts)
    before, packed, error = None, np.empty(0), math.inf
    for n in _LEVELS[axes]:
        packed = integrand.moments(parts, n)
        if before is not None:
            error = _change(before, packed, float(true.norm()))
            if error < _GOAL:
                break
        before = packed
    return Exact(packed, "quadrature", 0.0 if axes == 0 else error)


def _change(before: Floats, after: Floats, size: float) -> float:
    """The larger relative change of the bias (against ‖g‖ where it is next to nothing) and of the variance."""
    bias = float(np.linalg.norm(_first(after)))
    moved = float(np.linalg.norm(_first(after) - _first(before))) / max(bias if bias > 1e-6 * size else size, 1e-300)
    old, new = (float((_second(p) - _first(p) ** 2).sum()) for p in (before, after))
    return max(moved, abs(new - old) / max(abs(new), 1e-300)) if abs(new) > 1e-20 * size**2 else moved


class Integrand:
    """The noise of one variable as axes of uniforms, given its class."""

    def __init__(self, problem: Problem, estimator: Estimator, true: Tensor) -> None:
        inner = estimator.facts.inner
        self.problem, self.true, self.inner = problem, true, inner
        self.estimator = replace(estimator, inner=1) if inner > 1 else estimator  # type: ignore[type-var] # pydantic's
        self.breaks = estimator.breaks(problem) if isinstance(estimator, Broken) else {}
        self.facts = self.estimator.facts
        self.edges: dict[tuple[int, str], Tensor] = {}

    def refine(self, parts: list[tuple[str, ...]]) -> None:
        """Cut the one axis of each part, given each class, where 16 and 32 nodes on a piece differ."""
        for k in range(self.problem.distribution.classes):
            for part in parts:
                for stream in part:
                    self._refine(k, part, stream)

    def _refine(self, k: int, part: tuple[str, ...], stream: str) -> None:
        low, high = self._range(stream, k)
        edges = {low, high, *(float(b) for b in self._breaks(stream) if low < float(b) < high)}
        for _ in range(_BISECTIONS):
            ordered = sorted(edges)
            self.edges[k, stream] = torch.tensor(ordered[1:-1], dtype=torch.float64)
            coarse, fine = (self._given(k, part, n, pieces=len(ordered) - 1) for n in (16, 32))
            scale = fine[:, SCALARS.index("y1")].sum()
            moved = np.abs(_first(fine) - _first(coarse)).max(1) > _PIECE * math.sqrt(scale)
            moved |= np.abs(_second(fine) - _second(coarse)).max(1) > _PIECE * scale
            if not moved.any():
                return
            edges |= {(a + b) / 2 for a, b, more in zip(ordered, ordered[1:], moved, strict=False) if more}

    def axes(self, stream: str) -> int:
        """The number of uniforms that the stream amounts to."""
        if stream == MAIN or stream.startswith("redraw/"):
            d = self.problem.distribution
            return 1 if isinstance(d, Bernoulli) else d.classes - 1 + (self.facts.scale and stream == MAIN)
        return len(self.breaks[stream])

    def moments(self, parts: list[tuple[str, ...]], n: int) -> Floats:
        """The packed record over all classes, with n nodes on every smooth piece."""
        P = self.problem.distribution.marginals[0]
        total = np.zeros((1, len(SCALARS) + 3 * self.problem.parameters))
        s1, given = [], []
        for k in range(len(P)):
            records = [self._given(k, part, n) for part in parts]
            if len(parts) == 1 and self.inner == 1:
                total += float(P[k]) * records[0]
                continue
            fixed = _first(self._given(k, (), n)) if len(parts) > 1 else 0.0
            s1.append(sum(_first(r) for r in records) - (len(parts) - 1) * fixed)
            given.append(sum(_second(r) - _first(r) ** 2 for r in records) / self.inner)
        if not s1:
            return total
        weight = P.numpy()[:, None]
        first, within = np.concatenate(s1), np.concatenate(given)
        mean = (weight * first).sum(0, keepdims=True)
        return _record(mean, (weight * (within + (first - mean) ** 2)).sum(0, keepdims=True))

    def _given(self, k: int, part: tuple[str, ...], n: int, pieces: int = 1) -> Floats:
        """The record given class k, over the streams of `part`; all other streams stand still at one node.

        With `pieces` there is one record for each piece of the one axis.
        """
        d = self.problem.distribution
        z = d.replace(torch.zeros(1, *d.event, dtype=torch.float64), 0, k)
        streams = self.estimator.facts.noise
        axes = [self._axes(stream, k, n) if stream in part else self._still(stream, k) for stream in streams]
        total = np.zeros((pieces, len(SCALARS) + 3 * self.problem.parameters))
        for points in product([axis for own in axes for axis in own], _CHUNK):
            left = iter(points)
            noise = {
                stream: self._noise(stream, k, [next(left) for _ in own])
                for stream, own in zip(streams, axes, strict=True)
            }
            weight = torch.stack([axis.weight for axis in points]).prod(0) if points else torch.ones(1).double()
            M = len(weight)
            draw = Draw(self.problem, M, 1, z=z.expand(M, 1, *d.event).contiguous(), noise=noise, weights=weight)
            total += _weighted(self.estimator, draw, self.true, pieces)
        return total

    def _still(self, stream: str, k: int) -> list[Nodes]:
        axes = self._axes(stream, k, 1)
        return [Nodes(axis.u[:1], axis.complement[:1], torch.ones_like(axis.u[:1])) for axis in axes]

    def _axes(self, stream: str, k: int, n: int) -> list[Nodes]:
        """The axes of a stream given class k, with weights summing to 1 each."""
        low, high = self._range(stream, k)
        every = [self.edges[k, stream]] if (k, stream) in self.edges else None
        breaks = every or [self._breaks(stream, a) for a in range(self.axes(stream))]
        axes = [nodes(low, high, points, n) for points in breaks]
        return [replace(axis, weight=axis.weight / (high - low)) for axis in axes]

    def _range(self, stream: str, k: int) -> tuple[float, float]:
        """The uniforms that a stream has given class k: for one Bernoulli variable, (0, p) or (p, 1)."""
        d = self.problem.distribution
        if stream != MAIN or not isinstance(d, Bernoulli):
            return 0.0, 1.0
        return (0.0, float(d.mean)) if k == 1 else (float(d.mean), 1.0)

    def _breaks(self, stream: str, axis: int = 0) -> Tensor:
        """Where an axis of a stream is to be cut: at p and q of a Bernoulli variable, and where the estimator says."""
        d, own = self.problem.distribution, self.breaks.get(stream, [])
        points = own[axis].flatten() if axis < len(own) else torch.empty(0, dtype=torch.float64)
        if stream == MAIN and isinstance(d, Bernoulli):
            points = torch.cat((points, d.mean, d.q))
        return points

    def _noise(self, stream: str, k: int, axes: list[Nodes]) -> Tensor:
        """The noise [M, 1, …] that the estimator reads, from the uniforms of its axes."""
        d = self.problem.distribution
        u = torch.stack([a.u for a in axes], -1).unsqueeze(1)  # [M, 1, axes]
        if isinstance(d, Bernoulli) or not (stream == MAIN or stream.startswith("redraw/")):
            return u
        e = torch.zeros(len(u), 1, 1, d.classes, dtype=torch.float64)
        others = [i for i in range(d.classes) if i != k]
        if stream == MAIN and self.facts.scale:
            e[:, 0, 0, others] = torch.stack([axis.exponential for axis in axes[:-1]], -1)
            return e + d.mean * axes[-1].exponential.view(-1, 1, 1, 1)
        e[:, 0, 0, others] = lomax(axes)
        # The winner's e_k/π_k is the least of all e_i/π_i, and what the others exceed it by is exponential again.
        return e + (d.mean if stream == MAIN else d.replace(torch.zeros_like(d.logits), 0, k))
