"""Moments of an estimator of one variable as integrals over its noise given the class, on one or more axes."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from estbench.draws import Draw
from estbench.estimate import weighted_sums
from estbench.estimators.base import Estimator, HasBreakpoints
from estbench.exact.noise import Rule, edges, fixed_point, given_class, noise, of_variable, others, uniforms
from estbench.exact.quadrature import NODES, TooMany, adaptive, gamma, lattice, lobatto, nested, panels
from estbench.moments import SCALARS, Floats, first, record, second
from estbench.problem import Problem

_CHUNK, _LARGEST, _NESTED = 2**15, 2**21, 2**23  # rows at once, for one class, and for one class by panels in panels
_KEPT = 2**18  # numbers of a rule that is kept
_STEP, _PER_PIECE = 0.5, 6  # of lattices, and nodes on pieces of a uniform, before any doubling


class Integrand:
    """The moments of an estimator of one variable as integrals over the noise that it reads, given the class.

    Noise of which the estimate is a sum (`additive`) or a mean (`inner`) is integrated part by part.
    """

    def __init__(self, problem: Problem, estimator: Estimator, true: Tensor, shift: Tensor) -> None:
        """Records are power sums about `shift`, with cosines to the true gradient."""
        facts = estimator.facts
        self.problem, self.exact_gradient, self.shift, self.inner = problem, true, shift, facts.inner
        self.away = float((shift - true).square().sum())
        self.estimator = replace(estimator, inner=1) if facts.inner > 1 else estimator  # type: ignore[type-var] # pydantic's
        self.breakpoints = estimator.breakpoints(problem) if isinstance(estimator, HasBreakpoints) else {}
        self.classes = range(problem.distribution.classes)
        self.scale = facts.depends_on_noise_scale and problem.independent.noise_scale
        self.streams = self.estimator.facts.noise
        self.uniforms = {s: len(self.breakpoints.get(s, [])) for s in self.streams}
        self.parts: list[tuple[str, ...]] = [(s,) for s in self.streams] if facts.additive else [self.streams]
        self.axes = max(map(self._axes, self.parts))
        self._found: dict[tuple[tuple[str, ...], int], Floats] = {}
        self._on_one_axis: dict[str, tuple[Floats, Floats]] = {}

    def pair(self, level: int) -> tuple[Floats, Floats]:
        """The packed record from some nodes, and from twice as many: those of the start doubled `level` times.

        Raises TooMany where these would take too long.
        """
        before, after = zip(*(self._pair(part, level) for part in self.parts), strict=True)
        return self._together(before), self._together(after)

    def nested(self) -> tuple[Floats, Floats]:
        """The same from panels within panels, halved about kinks; raises TooMany unless each part has two axes."""
        before, after = zip(*(self._within(part) for part in self.parts), strict=True)
        return self._together(before), self._together(after)

    def _pair(self, part: tuple[str, ...], level: int) -> tuple[Floats, Floats]:
        if self._axes(part) == 1:
            return self._adaptive(part[0])
        return self._product(part, level - 1), self._product(part, level)

    def _axes(self, part: tuple[str, ...]) -> int:
        """The number of uniforms that the streams of a part amount to."""
        return sum(len(self.classes) - 1 + self.scale if of_variable(s) else self.uniforms[s] for s in part)

    def _together(self, records: tuple[Floats, ...]) -> Floats:
        """The packed record over all classes from those given each class, [classes, …], of each part."""
        P = self.problem.independent.marginals[0].numpy()[:, None]
        if len(records) == 1 and self.inner == 1:
            total: Floats = (P * records[0]).sum(0, keepdims=True)
            return total
        alone = first(self._product((), 0)) if len(records) > 1 else 0.0
        given = sum(first(r) for r in records) - (len(records) - 1) * alone
        within = sum(second(r) - first(r) ** 2 for r in records) / self.inner
        mean = (P * given).sum(0, keepdims=True)
        return record(mean, (P * (within + given**2)).sum(0, keepdims=True))

    def _adaptive(self, stream: str) -> tuple[Floats, Floats]:
        """The records given each class over the one axis of a stream, from panels and from their halves; kept."""
        if stream in self._on_one_axis:
            return self._on_one_axis[stream]

        def evaluate(parts: Floats) -> Floats:
            draw = _on_panels(self.problem, tuple(self.uniforms.items()), stream, parts.tobytes())
            return weighted_sums(self.estimator, draw, self.exact_gradient, self.shift, len(parts))

        breakpoints = self.breakpoints.get(stream, [])
        parts = [panels(k, edges(self.problem, stream, k, breakpoints)) for k in self.classes]
        self._on_one_axis[stream] = found = adaptive(evaluate, np.concatenate(parts), self.away)
        return found

    def _within(self, part: tuple[str, ...]) -> tuple[Floats, Floats]:
        """The records given each class over the two ratios of a stream, from panels within panels and their halves."""
        if self._axes(part) != 2 or len(part) > 1 or len(self.classes) != 3:
            raise TooMany
        (stream,), found = part, []
        for k in self.classes:
            rows = 0

            def evaluate(r: Floats, weight: Floats, pieces: int, k: int = k) -> Floats:
                nonlocal rows
                rows += len(r)
                if rows > _NESTED:
                    raise TooMany
                rule = noise(self.problem, stream, k, torch.from_numpy(r)), torch.from_numpy(weight)
                return self._sums(k, self._rules(k, {stream: rule}), pieces)

            outer, inner = (edges(self.problem, stream, k, [], i) for i in others(3, k))
            found.append(nested(evaluate, outer, inner, self.away))
        before, after = zip(*found, strict=True)
        return np.concatenate(before), np.concatenate(after)

    def _product(self, part: tuple[str, ...], level: int) -> Floats:
        """The records given each class, over the product of rules for the streams of `part`; the others are fixed."""
        if (part, level) not in self._found:
            fineness = 2 ** (level / max(self._axes(part), 1))
            given = ({s: self._rule(s, k, fineness) for s in part} for k in self.classes)
            records = [self._sums(k, self._rules(k, own)) for k, own in enumerate(given)]
            self._found[part, level] = np.concatenate(records)
        return self._found[part, level]

    def _rules(self, k: int, own: dict[str, Rule]) -> dict[str, Rule]:
        """A rule for every stream: those given, and one point for each of the others."""
        return {s: own[s] if s in own else fixed_point(self.problem, s, k, self.uniforms[s]) for s in self.streams}

    def _sums(self, k: int, rules: dict[str, Rule], pieces: int = 1) -> Floats:
        """The records [pieces, …] given class k over the product of the rules, or over equal parts of it."""
        sizes = [len(weight) for _, weight in rules.values()] or [1]
        if math.prod(sizes) > _LARGEST:
            raise TooMany
        chunk = _CHUNK if pieces == 1 else math.prod(sizes)
        total = np.zeros((pieces, len(SCALARS) + 3 * self.problem.parameters))
        for start in range(0, math.prod(sizes), chunk):
            rows = range(start, min(start + chunk, math.prod(sizes)))
            picked = dict(zip(rules, _product_of(list(rules.values()), rows), strict=True))
            weight = math.prod((w for _, w in picked.values()), start=torch.ones(len(rows), dtype=torch.float64))
            z, points = given_class(self.problem, k, len(rows)), {s: noise for s, (noise, _) in picked.items()}
            draw = Draw(self.problem, len(rows), 1, z=z, noise=points, weights=weight)
            total += weighted_sums(self.estimator, draw, self.exact_gradient, self.shift, pieces)
        return total

    def _rule(self, stream: str, k: int, fineness: float) -> Rule:
        """The noise of a stream given class k, with nodes as fine as that on each of its axes."""
        problem, K, n = self.problem, len(self.classes), round(_PER_PIECE * fineness)
        if not of_variable(stream):
            return uniforms(self.breakpoints[stream], n)
        if not problem.independent.noise_scale:  # uniforms: one axis, which panels cover better than a lattice
            r, weight = on_panels(panels(k, edges(problem, stream, k, self.breakpoints.get(stream, []))), n)
            return noise(problem, stream, k, r), weight
        h = _STEP / fineness
        r, _ = lattice(_log_mean(problem, k), h)
        points = len(r) * (len(gamma(K, h)[0]) if self.scale else 1)
        if points > 8 * _LARGEST:
            raise TooMany
        found = _kept_on_lattice if points * K <= _KEPT else _on_lattice
        return found(problem, stream, k, h, self.scale)


def _product_of(rules: list[Rule], rows: range) -> list[Rule]:
    """These rows of the product of some rules, for each rule: its points and their weights."""
    sizes = [len(weight) for _, weight in rules]
    if sum(size > 1 for size in sizes) <= 1:  # no numbers of rows are needed
        some = slice(rows.start, rows.stop)
        return [
            (x[some].clone() if len(w) > 1 else x.repeat(len(rows), *[1] * (x.ndim - 1)), w[some] if len(w) > 1 else w)
            for x, w in rules
        ]
    index = [torch.from_numpy(i) for i in np.unravel_index(np.arange(rows.start, rows.stop), sizes)]
    return [(x[i], w[i]) for (x, w), i in zip(rules, index, strict=True)]


def _log_mean(problem: Problem, k: int) -> tuple[float, ...]:
    """log π of all classes but k."""
    return tuple(problem.independent.log_mean[0, others(problem.distribution.classes, k)].tolist())


def _on_lattice(problem: Problem, stream: str, k: int, h: float, scale: bool) -> Rule:
    """The noise of a variable given class k on a lattice of step h; `scale`: the least of all e_i/π_i varies, too."""
    r, weight = lattice(_log_mean(problem, k), h)
    points = noise(problem, stream, k, r)
    if not scale:
        return points, weight
    G, more = gamma(problem.distribution.classes, h)
    every = weight.unsqueeze(1) * more
    kept = every > weight.min() * more.max()
    (i, j), weight = torch.nonzero(kept, as_tuple=True), every[kept]
    T = G[j] / (1 + r.sum(1))[i]  # the least of all e_i/π_i; given the ratios its law is gamma
    return points[i].mul_(T.view(-1, 1, 1, 1)), weight / weight.sum()


_kept_on_lattice = lru_cache(maxsize=32)(_on_lattice)
"""The same, kept: estimators and temperatures share it. Two megabytes each at most, see `_KEPT`."""


def on_panels(parts: Floats, n: int = NODES) -> tuple[Tensor, Tensor]:
    """Ratios r [M, 1] at n nodes on each panel in log r, one after the other, and their weights, of law 1/(1 + r)²."""
    x, w = lobatto(parts[:, 1], parts[:, 2], n)
    r = np.exp(x)
    return torch.from_numpy(r.reshape(-1, 1)), torch.from_numpy((w * r / (1 + r) ** 2).ravel())


@lru_cache(maxsize=16)
def _on_panels(problem: Problem, uniforms: tuple[tuple[str, int], ...], stream: str, parts: bytes) -> Draw:
    """The draw at the nodes on panels (class, from, to) of one stream; kept, as estimators share what it knows."""
    every = np.frombuffer(parts).reshape(-1, 3)
    r, weight = on_panels(every)
    own, z = r.view(len(every), -1, 1), []
    points: dict[str, list[Tensor]] = {s: [] for s, _ in uniforms}
    for k in np.unique(every[:, 0]).astype(int).tolist():
        r = own[torch.from_numpy(every[:, 0] == k)].view(-1, 1)
        z.append(given_class(problem, k, len(r)))
        for s, n in uniforms:
            one = noise(problem, s, k, r) if s == stream else fixed_point(problem, s, k, n)[0]
            points[s].append(one.expand(len(r), *one.shape[1:]))
    joined = {s: torch.cat(pieces) for s, pieces in points.items()}
    return Draw(problem, len(weight), 1, z=torch.cat(z), noise=joined, weights=weight)
