"""The coefficients of control variates: least variance of an estimate that is linear in them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from estbench.draws import MAIN, Draw
from estbench.estimators.shared.pieces import in_pieces

Coefficient = Annotated[float, Field(allow_inf_nan=False)] | Literal["fitted"]
"""An option that is a coefficient of a control variate: a number, or the best one on draws of its own."""

Fits = tuple[tuple[float, ...], ...]
"""Coefficients for each number of samples in `SIZES`."""

Estimates = Callable[[Sequence[float]], Tensor]
"""Estimates [R, P] as a function of the coefficients, in which they are linear."""

SIZES = (2, 3, 4, 6, 8, 12, 16, 24, 32)


def least_squares(estimate: Estimates, n: int) -> tuple[float, ...]:
    """The n coefficients c that make the variance, summed over the parameters, of estimates [R, P] least.

    They are linear in c, ĝ = g₀ + Σ_j c_j g_j, so c = −⟨g_i, g_j⟩⁻¹ ⟨g_j, g₀⟩ with totals over replicates and
    parameters of what is centred, also g_j with E g_j = 0: where control variates are perfect, the fit is too. The g_j
    are read off ĝ, asked at 0 and at each unit vector. Each is scaled to length 1 first. What is nothing but rounding
    beside g₀, or a combination of the others, is left at 0, and so is all if nothing finite is found.
    """
    first = estimate([0.0] * n)
    g0 = first.double()
    moved = [estimate(unit).double() for unit in torch.eye(n).tolist()]
    g = torch.stack([_centred(m - g0) for m in moved])  # [n, R P]
    largest = g.abs().amax(1, keepdim=True)  # first by it, as squares may overflow or underflow
    rounding = 8 * torch.finfo(first.dtype).eps * torch.stack([m.abs().amax() for m in moved]).unsqueeze(1)
    some = (largest > rounding) & largest.isfinite()
    g = torch.where(some, g / torch.where(some, largest, 1.0), 0.0)
    length = g.norm(dim=1, keepdim=True)
    g = g / torch.where(some, length, 1.0)
    about = _centred(g0)
    size = about.abs().amax()
    if not (size > 0 and size.isfinite()):
        return (0.0,) * n
    inverse = torch.linalg.pinv(g @ g.T, rtol=1e-10, hermitian=True)
    scale = torch.where(some, size / torch.where(some, largest * length, 1.0), 0.0).squeeze(1)
    c = -inverse @ (g @ (about / size)) * scale
    return tuple(c.nan_to_num(0.0, 0.0, 0.0).tolist())


def least_squares_in_pieces(pieces: Iterable[Iterable[Estimates]], n: int) -> tuple[tuple[float, ...], ...]:
    """The coefficients of `least_squares` of several estimates, whose replicates come some after the others.

    Each piece has every estimate at its replicates; it is gone through once.
    """
    every = iter(pieces)
    first, second = next(every), next(every, None)
    if second is None:
        return tuple(least_squares(estimate, n) for estimate in first)
    sums: list[_Sums] = []
    for piece in chain((first, second), every):
        for i, estimate in enumerate(piece):
            if i == len(sums):
                sums.append(_Sums(n))
            sums[i].add(estimate)
    return tuple(so_far.coefficients() for so_far in sums)


class _Sums:
    """What `least_squares` needs of the estimates of the pieces so far.

    Products are taken about the means of the first piece, and in units of what is largest there.
    """

    def __init__(self, n: int) -> None:
        self._n, self._R = n, 0

    def add(self, estimate: Estimates) -> None:
        """The estimates of another piece."""
        n = self._n
        found = [estimate(c) for c in ([0.0] * n, *torch.eye(n).tolist())]
        g0 = found[0].double()
        rows = torch.stack([*(m.double() - g0 for m in found[1:]), g0])  # [n + 1, R, P], g₀ last
        if not self._R:
            self._eps, self._shift = torch.finfo(found[0].dtype).eps, rows.mean(1, keepdim=True)
            unit = (rows - self._shift).abs().amax((1, 2), keepdim=True)
            self._unit = torch.where((unit > 0) & unit.isfinite(), unit, 1.0)
            self._products, self._total = rows.new_zeros(n + 1, n + 1), torch.zeros_like(self._shift.squeeze(1))
            self._largest, self._size = rows.new_zeros(n), rows.new_zeros(n)
        self._size = torch.maximum(self._size, torch.stack([m.double().abs().amax() for m in found[1:]]))
        rows -= self._shift
        self._largest = torch.maximum(self._largest, rows[:-1].abs().amax((1, 2)))
        rows /= self._unit
        self._total += rows.sum(1)
        self._products.addmm_(rows.flatten(1), rows.flatten(1).T)
        self._R += rows.shape[1]

    def coefficients(self) -> tuple[float, ...]:
        """Those of least variance over all pieces."""
        products = self._products - self._total @ self._total.T / self._R
        squares, unit = products.diagonal()[:-1], self._unit.flatten()
        some = (self._largest > 8 * self._eps * self._size) & self._largest.isfinite() & (squares > 0)
        length = torch.where(some, squares, 1.0).sqrt()
        G = torch.where(some & some.unsqueeze(1), products[:-1, :-1] / (length * length.unsqueeze(1)), 0.0)
        along = torch.where(some, products[:-1, -1] / length, 0.0)
        if not (products[-1, -1] > 0 and along.isfinite().all() and G.isfinite().all()):
            return (0.0,) * self._n
        c = -torch.linalg.pinv(G, rtol=1e-10, hermitian=True) @ along * (unit[-1] / unit[:-1]) / length
        return tuple(torch.where(some, c, 0.0).nan_to_num(0.0, 0.0, 0.0).tolist())


def total_variance(pieces: Iterable[Tensor]) -> float:
    """The variance of estimates [R, P], summed over the parameters, from some replicates after the others."""
    every = (estimates.double() for estimates in pieces)
    first = next(every)
    R, total, squares = 0, torch.zeros_like(first[0]), 0.0
    for g in chain((first,), every):
        R += len(g)
        total += (g - first[0]).sum(0)
        squares += float((g - first[0]).square().sum())
    return (squares - float(total.square().sum()) / R) / (R - 1)


def _centred(estimates: Tensor) -> Tensor:
    return (estimates - estimates.mean(0)).flatten()


def least_squares_by_size(estimate: Callable[[Draw, int, Sequence[float]], Tensor], draw: Draw, n: int) -> Fits:
    """`least_squares` of a joint estimate at each N of `SIZES`, from the same samples; f is not evaluated again."""

    def at(samples: Draw, N: int) -> Estimates:
        groups = regrouped(samples, N)
        return lambda c: estimate(groups, N, c)

    pieces = in_pieces(draw, (MAIN,), math.lcm(*SIZES))
    return least_squares_in_pieces((map(partial(at, piece), SIZES) for piece in pieces), n)


def at_size(fits: Fits, samples: int) -> tuple[float, ...]:
    """The coefficients of the largest of `SIZES` that is not above `samples`; of the last that there are."""
    return fits[min(bisect_right(SIZES, samples), len(fits)) - 1]


def filled(given: Sequence[Coefficient], fitted: Sequence[float]) -> list[float]:
    """The coefficients given, with the fitted ones, in order, where "fitted" stands."""
    left = iter(fitted)
    return [next(left) if c == "fitted" else c for c in given]


def regrouped(draw: Draw, N: int) -> Draw:
    """The same samples as replicates of N of them, without what is left over."""
    R = draw.R * draw.N // N

    def group(t: Tensor) -> Tensor:
        return t.flatten(0, 1)[: R * N].reshape(R, N, *t.shape[2:])

    groups = Draw(draw.problem, R, N, z=group(draw.z))
    vars(groups).update(fz=group(draw.fz), dfz=group(draw.dfz))  # known, so not asked for again
    return groups
