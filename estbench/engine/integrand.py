"""What an estimator's moments are an integral of: the noise of one variable, as axes of uniforms, given its class."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from estbench.distributions import Bernoulli
from estbench.draws import MAIN, Draw
from estbench.engine.estimate import weighted_moments
from estbench.engine.quadrature import Nodes, lomax, nodes, product
from estbench.estimators.base import Broken, Estimator
from estbench.moments import SCALARS, Floats, first, record, second
from estbench.problem import Problem

_CHUNK = 2**16
_BISECTIONS, _MOVED = 40, 1e-13


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
            moved = np.abs(first(fine) - first(coarse)).max(1) > _MOVED * math.sqrt(scale)
            moved |= np.abs(second(fine) - second(coarse)).max(1) > _MOVED * scale
            if not moved.any():
                return
            edges |= {(a + b) / 2 for (a, b), more in zip(pairwise(ordered), moved, strict=True) if more}

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
        means, variances = [], []  # given each class
        for k in range(len(P)):
            records = [self._given(k, part, n) for part in parts]
            if len(parts) == 1 and self.inner == 1:
                total += float(P[k]) * records[0]
                continue
            still = first(self._given(k, (), n)) if len(parts) > 1 else 0.0
            means.append(sum(first(r) for r in records) - (len(parts) - 1) * still)
            variances.append(sum(second(r) - first(r) ** 2 for r in records) / self.inner)
        if not means:
            return total
        weight, given, within = P.numpy()[:, None], np.concatenate(means), np.concatenate(variances)
        mean = (weight * given).sum(0, keepdims=True)
        return record(mean, (weight * (within + (given - mean) ** 2)).sum(0, keepdims=True))

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
            total += weighted_moments(self.estimator, draw, self.true, pieces)
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
