"""Mergeable moments of gradient estimates: power sums about a fixed shift, one record per shard.

The shift c is the true gradient where it is known, else zero. With δ = ĝ − c, every entry but `umax` is a plain
(weighted) sum over the estimates, so merging two records is addition: exact, in any grouping, up to rounding.

Torch is imported only where estimates are made into moments, on whatever device they live.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]

SCALARS = ("n", "non_finite", "zeros", "y1", "y2", "c1", "c2", "c3", "d4", "umax")
_UMAX = SCALARS.index("umax")


@dataclass(frozen=True)
class Moments:
    """Sums over the estimates of each of S shards; P parameters, Y = ‖δ‖², cos = cos(ĝ, c).

    shift        [P]     c
    known                whether c is the true gradient (else bias, MSE and cosine are unknown)
    n            [S]     number of finite estimates (for a weighted draw: their total weight)
    non_finite   [S]     number of estimates with a NaN or an infinity: counted here, left out everywhere else
    zeros        [S]     number of estimates that are exactly zero (their cosine counts as 0)
    y1, y2       [S]     ΣY, ΣY²
    c1, c2, c3   [S]     Σcos, Σcos², Σcos³; NaN where the true gradient is unknown or zero
    d4, umax     [S]     Σ‖ĝ − m_b‖⁴ and max‖ĝ − m_b‖², m_b the mean of the piece computed at once (for flags only)
    s1, s2, s3   [S, P]  Σδ, Σδ², Σδ³ per coordinate
    """

    shift: Floats
    known: bool
    n: Floats
    non_finite: Floats
    zeros: Floats
    y1: Floats
    y2: Floats
    c1: Floats
    c2: Floats
    c3: Floats
    d4: Floats
    umax: Floats
    s1: Floats
    s2: Floats
    s3: Floats

    @classmethod
    def unpack(cls, packed: Floats, true: Floats | None) -> Moments:
        """Name the columns of packed records [S, 10 + 3P] as `moments` makes them."""
        scalars = {name: packed[:, i] for i, name in enumerate(SCALARS)}
        s1, s2, s3 = np.split(packed[:, len(SCALARS) :], 3, axis=1)
        shift = np.zeros(s1.shape[1]) if true is None else np.asarray(true, dtype=np.float64)
        return cls(shift=shift, known=true is not None, s1=s1, s2=s2, s3=s3, **scalars)


def merge(a: Floats, b: Floats) -> Floats:
    """Merge packed records of one shape: sums add, the largest deviation is the larger of the two."""
    merged: Floats = a + b
    merged[..., _UMAX] = np.maximum(a[..., _UMAX], b[..., _UMAX])
    return merged


def moments(estimates: Tensor, true: Tensor | None, weights: Tensor | None = None) -> Tensor:
    """Packed records [S, 10 + 3P] in float64 of gradient estimates [S, n, P] about the true gradient [P] or None.

    With weights [n] (summing to 1 over a whole draw) every sum is weighted, and n is the total weight.
    """
    x = estimates.double()
    w = None if weights is None else weights.double().expand(x.shape[:2])
    if x.device.type == "cpu":  # elsewhere, asking would wait for the device
        packed = _of_finite(x, true, w)
        s1 = packed[:, len(SCALARS) : len(SCALARS) + x.shape[-1]]
        if math.isfinite(s1.sum().item()):
            return packed
    finite = x.isfinite().all(-1)  # [S, n]
    x = x.masked_fill(~finite.unsqueeze(-1), 0.0)
    packed = _of_finite(x, true, finite.double() if w is None else w * finite)
    packed[:, SCALARS.index("non_finite")] = (~finite).sum(1)
    return packed


def _of_finite(x: Tensor, true: Tensor | None, w: Tensor | None) -> Tensor:
    import torch  # noqa: PLC0415 - whoever reads results needs none

    shards, size, parameters = x.shape

    def total(v: Tensor) -> Tensor:  # over the estimates: [S, n] -> [S], [S, n, P] -> [S, P]
        if w is not None:
            v = v * (w if v.ndim == 2 else w.unsqueeze(-1))
        return v.sum(1)

    n = x.new_full((shards,), float(size)) if w is None else w.sum(1)
    if parameters == 1:
        x = x.squeeze(-1)  # [S, n]: a short last axis is slow
    if true is None:
        direction, delta = x.new_full((parameters,), float("nan")), x.clone()
    else:
        direction, delta = true / true.norm(), x - true
    squared = delta * delta
    s1, s2 = total(delta), total(squared)
    if parameters == 1:
        y = squared
        s3 = total(y * delta)
        u = delta.sub_((s1 / n).unsqueeze(1)).square_()
        sign = x.sign()
        c1 = c3 = total(sign) * direction
        zeros = total(1 - sign.abs_())
        c2 = (n - zeros) * direction.abs()
    else:
        one = x.new_ones(parameters)
        y = squared @ one  # [S, n]
        s3 = total(squared.mul_(delta))
        mean = (s1 / n.unsqueeze(1)).unsqueeze(1)  # [S, 1, P]
        u = torch.baddbmm(y.unsqueeze(-1), delta, mean.mT, alpha=-2).squeeze(-1).add_((mean * mean) @ one).clamp_(min=0)
        norm = torch.mul(x, x, out=squared) @ one
        zero = torch.eq(norm, 0, out=torch.empty_like(norm))
        zeros = total(zero)
        cosine = norm.add_(zero).rsqrt_().mul_(x @ direction)
        squares = cosine * cosine
        c1, c2, c3 = total(cosine), total(squares), total(squares.mul_(cosine))
    umax = (u if w is None else u * (w > 0)).amax(1)
    y1, y2, d4 = total(y), total(y.square_()), total(u.square_())
    scalars = torch.stack((n, torch.zeros_like(n), zeros, y1, y2, c1, c2, c3, d4, umax), 1)
    return torch.cat((scalars, *(s.view(shards, parameters) for s in (s1, s2, s3))), 1)


def first(packed: Floats) -> Floats:
    """Σδ of packed records: [S, P]."""
    P = (packed.shape[1] - len(SCALARS)) // 3
    return packed[:, len(SCALARS) : len(SCALARS) + P]


def second(packed: Floats) -> Floats:
    """Σδ² of packed records: [S, P]."""
    P = (packed.shape[1] - len(SCALARS)) // 3
    return packed[:, len(SCALARS) + P : len(SCALARS) + 2 * P]


def record(delta: Floats, variance: Floats) -> Floats:
    """A packed record [1, 10 + 3P] of weight 1 that knows E δ and the variance of each coordinate [1, P], no more."""
    square = variance + delta**2
    packed = np.full((1, len(SCALARS) + 3 * delta.shape[1]), np.nan)
    packed[:, SCALARS.index("n")], packed[:, SCALARS.index("non_finite")] = 1.0, 0.0
    packed[:, SCALARS.index("y1")] = square.sum()
    packed[:, len(SCALARS) :] = np.concatenate((delta, square, np.full_like(delta, np.nan)), axis=1)
    return packed
