"""Quadrature: panels of one axis, halved where that moves something, and a lattice for the noise of a categorical."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
import torch
from scipy.special import eval_legendre, roots_jacobi
from torch import Tensor

from estbench.moments import Floats, first, second

NODES = 13
"""On a panel: exact for polynomials of degree 23."""

_HALVINGS, _PANELS = 50, 2**11
_MOVED, _OUTER, _INNER = 1e-13, 1e-10, 1e-12  # what makes a panel be halved again
_LEFT, _RIGHT, _SIZE = -3.3, 2.5, 3.7  # where a lattice bends, and how far it goes on from there: e^3.7 = 40
_CUT, _INSIDE = 1e-14, 1e-8
_LARGEST = 2**23  # points that a lattice may be picked from


class TooMany(Exception):  # noqa: N818 - it is an answer, not a failure
    """The nodes would be too many."""


@lru_cache(maxsize=16)
def _lobatto(n: int) -> tuple[Floats, Floats]:
    """Nodes on (0, 1), the outermost 1e-8 away from the ends, where there may be jumps, and weights."""
    inner, _ = roots_jacobi(n - 2, 1, 1)
    x = np.concatenate(([-1.0], inner, [1.0]))
    w = (1 - 2 * _INSIDE) / (n * (n - 1) * eval_legendre(n - 1, x) ** 2)
    w[[0, -1]] += _INSIDE
    return 0.5 + (0.5 - _INSIDE) * x, w


def lobatto(a: Floats, b: Floats, n: int = NODES) -> tuple[Floats, Floats]:
    """n Gauss-Lobatto nodes on each panel (a, b), and their weights: [panels, n] both.

    Gauss-Legendre nodes would leave a gap at each end, and not see a kink there.
    """
    s, w = _lobatto(n)
    width = (b - a)[:, None]
    return a[:, None] + width * s, width * w


def panels(group: int, edges: Floats) -> Floats:
    """Panels (group, from, to) between edges: [panels, 3]."""
    return np.column_stack((np.full(len(edges) - 1, float(group)), edges[:-1], edges[1:]))


def adaptive(
    evaluate: Callable[[Floats], Floats], parts: Floats, away: float = 0.0, tolerance: float = _MOVED
) -> tuple[Floats, Floats]:
    """The sums over panels (group, from, to) of the records that `evaluate` gives, and over their halves: [groups, …].

    Where halves move E δ by more than the tolerance times √(E‖δ‖² + away) of the group, or E δ² by that times its
    square, they are halved again: about kinks and jumps that `parts` do not end at. `away`, the
    squared distance of their mean from the true gradient, keeps the rounding of estimates that hardly vary out of this.
    """
    own, group = evaluate(parts), parts[:, 0].astype(int)
    coarse, fine, total = (np.zeros((int(group.max()) + 1, own.shape[1])) for _ in range(3))
    np.add.at(total, group, own)
    square = second(total).sum(1) + total[:, 0] * away
    for left in reversed(range(_HALVINGS)):
        halves = _halved(parts)
        of_halves = evaluate(halves)
        both = of_halves[::2] + of_halves[1::2]
        more = np.abs(first(both) - first(own)).max(1) > tolerance * np.sqrt(square[group])
        more |= np.abs(second(both) - second(own)).max(1) > tolerance * square[group]
        if not left or more.sum() > _PANELS * len(total):
            more[:] = False  # it is all rounding by now
        np.add.at(coarse, group[~more], own[~more])
        np.add.at(fine, group[~more], both[~more])
        if not more.any():
            break
        parts, own, group = halves[more.repeat(2)], of_halves[more.repeat(2)], group[more].repeat(2)
    return coarse, fine


def _halved(parts: Floats) -> Floats:
    """The two halves of each panel, one after the other."""
    halves, middle = parts.repeat(2, 0), parts[:, 1:].mean(1)
    halves[::2, 2] = halves[1::2, 1] = middle
    return halves


def nested(
    evaluate: Callable[[Floats, Floats, int], Floats], outer: Floats, inner: Floats, away: float = 0.0
) -> tuple[Floats, Floats]:
    """Sums over two ratios of exponentials to one more, from panels and from their halves: [1, …] both.

    Panels in log r₂ are halved for each node r₁ by itself, which lies on panels in log r₁ that are halved as well. The
    densities are 1/(1 + r₁)² and, given r₁, 2 (1 + r₁)²/(1 + r₁ + r₂)³. `evaluate` gives a record for each of so many
    equal parts of ratios [M, 2] with weights [M].
    """

    def within(r1: Floats, parts: Floats) -> Floats:
        x, w = lobatto(parts[:, 1], parts[:, 2])
        one, two = np.broadcast_arrays(r1[parts[:, 0].astype(int), None], np.exp(x))
        weight = w * 2 * two * (1 + one) ** 2 / (1 + one + two) ** 3
        return evaluate(np.stack((one.ravel(), two.ravel()), -1), weight.ravel(), len(parts))

    def parts_of(nodes: int) -> Floats:
        return np.concatenate([panels(i, inner) for i in range(nodes)])

    def without(parts: Floats) -> Floats:
        x, w = lobatto(parts[:, 1], parts[:, 2])
        r1 = np.exp(x).ravel()
        _, fine = adaptive(partial(within, r1), parts_of(len(r1)), away, _INNER)
        weighted = fine * (w.ravel() * r1 / (1 + r1) ** 2)[:, None]
        summed: Floats = weighted.reshape(*w.shape, -1).sum(1)
        return summed

    def some(parts: Floats) -> Floats:
        return np.concatenate([without(few) for few in np.array_split(parts, len(parts) // 8 + 1)])

    return adaptive(some, panels(0, outer), away, _OUTER)


@lru_cache(maxsize=12)
def lattice(log_pi: tuple[float, ...], h: float) -> tuple[Tensor, Tensor]:
    """Ratios r_i = e_i/e of n exponentials to one more, [M, n], and weights [M] summing to 1.

    The law is multivariate Lomax, n!/(1 + Σ r)^{n+1}. Given its class k a categorical has
    x_k − x_i = log(1 + r_i/π_i), so that a relaxation at temperature τ has its poles at r_i/π_i = e^{iπτ} − 1: in
    ξ_i = log r_i/π_i they are π/2 or more away from the real axis, whatever τ, and sums over a lattice of step h
    converge like e^{−π²/h}. Nothing happens below r_i/π_i = τ or far beyond Σ r = 1, and there the lattice bends
    (double exponential; Takahasi & Mori 1974): ξ_i = t_i − e^{a − t_i}, then all r_i times exp(Σ r e^{−b}). Points
    are left out where they weigh less than 1e-14 of what is interesting, which is as rare as the likeliest `log_pi`.
    """
    n = len(log_pi)
    floor = math.log(_CUT) + max(log_pi)
    r, total, weight = np.empty((1, 0)), np.zeros(1), np.zeros(1)  # weight: log Π dr_i
    for i, own in enumerate(log_pi, start=1):
        t = h * np.arange(np.floor((_LEFT - _SIZE) / h), (_RIGHT + _SIZE - own) / h + 1)
        if len(total) * len(t) > _LARGEST:
            raise TooMany
        bend = np.exp(_LEFT - t)
        x = own + t - bend
        sums, weights = total[:, None] + np.exp(x), weight[:, None] + x + np.log1p(bend)
        of_all = weights - (i + 1) * np.log1p(sums)  # the first i ratios alone are Lomax again
        at, j = np.nonzero((of_all > floor - 2) & (sums < math.exp(_RIGHT + _SIZE)))
        r, total, weight = np.column_stack((r[at], np.exp(x[j]))), sums[at, j], weights[at, j]
    bend = total * math.exp(-_RIGHT)
    weight += n * bend + np.log1p(bend) - (n + 1) * np.log1p(total * np.exp(bend))
    kept = weight > floor
    w = np.exp(weight[kept])
    return torch.from_numpy(r[kept] * np.exp(bend[kept])[:, None]), torch.from_numpy(w / w.sum())


@lru_cache(maxsize=16)
def gamma(shape: int, h: float) -> tuple[Tensor, Tensor]:
    """Gamma variables G of an integer shape, and weights summing to 1: a lattice of step h in log G."""
    s = h * np.arange(np.floor(-40 / shape / h), 4 / h)
    G, w = np.exp(s), np.exp(shape * s - np.exp(s))
    return torch.from_numpy(G), torch.from_numpy(w / w.sum())
