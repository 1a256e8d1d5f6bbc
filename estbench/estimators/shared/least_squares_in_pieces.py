"""Least squares over a draw in pieces, so that nothing is held that has a number for each replicate and parameter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import torch
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.shared.least_squares import Estimates, least_squares

HELD = 2**19
"""Numbers, about, in the samples of a piece: a fit holds some dozens of tensors as large, 4 megabytes each."""


def in_pieces(draw: Draw, streams: Sequence[str], multiple: int = 1) -> Iterator[Draw]:
    """The draw itself or, if its samples have more numbers than `HELD`, draws of some replicates after the others.

    These have the noise `streams` of the draw, and each but the last a multiple of `multiple` replicates.
    """
    of_one = draw.N * draw.problem.numbers
    if draw.R * of_one <= HELD:
        return iter((draw,))
    return draw.split(multiple * max(1, HELD // (multiple * of_one)), streams)


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
        if not len(found[0]):  # the last samples may be too few for one group of N
            return
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
