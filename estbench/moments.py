"""Mergeable moments of gradient estimates: sums, and central second and third moments, one record per shard.

What varies is kept about the mean of the shard itself, and the mean about 0, neither about the true gradient: estimates
that are far smaller than it, or that hardly vary, would lose their digits in rounding. Records are merged by the
formulas of Chan, Golub & LeVeque 1983 and Pébay 2008: in any grouping, up to rounding.

Torch is imported only where estimates are made into moments, on whatever device they live.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]
T = TypeVar("T", "Tensor", Floats)

SCALARS = ("n", "non_finite", "zeros", "c1", "c2", "c3", "d4", "umax")
_N, _, _, _C1, _, _, _, _UMAX = range(len(SCALARS))


@dataclass(frozen=True)
class Moments:
    """Moments of the estimates ĝ of each of S shards; P parameters, cos = cos(ĝ, g).

    true         [P]     g, the true gradient; None where it is unknown, and so are bias, MSE and cosine
    n            [S]     number of finite estimates (for a weighted draw: their total weight)
    non_finite   [S]     number of estimates with a NaN or an infinity: counted here, left out everywhere else
    zeros        [S]     number of estimates that are exactly zero (their cosine counts as 0)
    c1, c2, c3   [S]     Σ cos, Σ (cos − c̄)², Σ (cos − c̄)³, c̄ the mean of the shard; NaN where the true gradient is
                         unknown or zero
    d4, umax     [S]     Σ‖ĝ − m_b‖⁴ and max‖ĝ − m_b‖², m_b the mean of the piece computed at once (for flags, and for
                         what sampled moments may differ by from exact ones; in quadrature d4 is the least that it can
                         be by Minkowski's inequality, and umax is about the shift of its sums)
    s1, m2, m3   [S, P]  Σ ĝ, Σ (ĝ − m)², Σ (ĝ − m)³ per coordinate, m the mean of the shard
    """

    exact_gradient: Floats | None
    n: Floats
    non_finite: Floats
    zeros: Floats
    c1: Floats
    c2: Floats
    c3: Floats
    d4: Floats
    umax: Floats
    s1: Floats
    m2: Floats
    m3: Floats

    @classmethod
    def unpack(cls, packed: Floats, true: Floats | None) -> Moments:
        """Name the columns of packed records [S, 8 + 3P] as `moments` makes them."""
        scalars = {name: packed[:, i] for i, name in enumerate(SCALARS)}
        s1, m2, m3 = np.split(packed[:, len(SCALARS) :], 3, axis=1)
        return cls(
            exact_gradient=None if true is None else np.asarray(true, np.float64), s1=s1, m2=m2, m3=m3, **scalars
        )

    @property
    def known(self) -> bool:
        """Whether the true gradient is known."""
        return self.exact_gradient is not None

    @property
    def y1(self) -> Floats:
        """Σ‖ĝ − g‖² of each shard, [S]; NaN where g is unknown."""
        g = np.nan if self.exact_gradient is None else self.exact_gradient
        bias = self.s1 / np.where(self.n > 0, self.n, 1.0)[:, None] - g
        y: Floats = self.m2.sum(1) + self.n * (bias**2).sum(1)
        return y


def merge(a: Floats, b: Floats) -> Floats:
    """Merge packed records of one shape: sums add, central moments move to the common mean, the larger umax stays."""
    merged: Floats = a + b
    merged[..., _UMAX] = np.maximum(a[..., _UMAX], b[..., _UMAX])
    P = (a.shape[-1] - len(SCALARS)) // 3
    n_a, n_b, n = (x[..., _N, None] for x in (a, b, merged))
    some = np.where(n > 0, n, 1.0)
    share = n_a * n_b / some
    for start, width in ((_C1, 1), (len(SCALARS), P)):
        first, second, third = (slice(start + i * width, start + (i + 1) * width) for i in range(3))
        means = (x[..., first] / np.where(w > 0, w, 1.0) for x, w in ((a, n_a), (b, n_b)))
        step = np.where(share > 0, -np.subtract(*means), 0.0)  # from the mean of a to that of b
        between = (n_a * b[..., second] - n_b * a[..., second]) / some
        merged[..., second] += share * step**2
        merged[..., third] += share * (n_a - n_b) / some * step**3 + 3 * step * between
    return merged


def in_span(packed: Floats, true: Floats) -> tuple[Floats, Floats]:
    """Packed records [S, 8 + 3P] in the span of the S means and of g: ([S, 8 + 3(S + 2)], g as [S + 2]).

    The first direction is that of g, so that g is (‖g‖, 0, …). All lengths and angles of means stay what they were. The
    variance within the shards is kept as a whole, in the last coordinate, where all means are 0, and third moments are
    not kept. So a record of thousands of parameters takes as much memory as one of S + 2.
    """
    import torch  # noqa: PLC0415 - reading results does not need torch

    S, P = len(packed), len(true)
    records, g = torch.from_numpy(packed), torch.from_numpy(true)
    scalars, s1, m2, _ = torch.split(records, [len(SCALARS), P, P, P], 1)
    size = g.norm()
    along = g / size if size > 0 else torch.zeros_like(g)
    each = s1 / torch.where(records[:, :1] > 0, records[:, :1], 1.0)
    across = each - torch.outer(each @ along, along)
    across -= torch.outer(across @ along, along)
    directions, _ = torch.linalg.qr(across.T)  # [P, min(P, S)]
    coordinates = records.new_zeros(3, S, S + 2)
    coordinates[0, :, 0] = s1 @ along
    coordinates[0, :, 1 : 1 + directions.shape[1]] = (s1 - torch.outer(s1 @ along, along)) @ directions
    coordinates[1, :, -1] = m2.sum(1)
    kept: Floats = torch.cat((scalars, *coordinates), 1).numpy()
    return kept, gradient_in_span(true, S)


def gradient_in_span(true: Floats, shards: int) -> Floats:
    """g as `in_span` has it, whatever the means of so many shards are: (‖g‖, 0, …), [shards + 2]."""
    g = np.zeros(shards + 2)
    g[0] = np.linalg.norm(true)
    return g


def moments(estimates: Tensor, true: Tensor | None, weights: Tensor | None = None) -> Tensor:
    """Packed records [S, 8 + 3P] in float64 of gradient estimates [S, n, P] about the true gradient [P] or None.

    With weights [S, n], every sum over estimates is weighted.
    """
    if weights is not None:
        return _weighted(estimates.double(), true, weights.double())
    x = estimates.double()
    if x.device.type == "cpu":  # elsewhere, asking would wait for the device
        packed = _packed(x, x[:, :1], true, None, centred=True)
        if _all_finite(packed, x.shape[-1]):
            return packed
    finite = x.isfinite().all(-1)  # [S, n]
    x = x.masked_fill(~finite.unsqueeze(-1), 0.0)
    start = x.take_along_dim(finite.byte().argmax(1).view(-1, 1, 1), 1)  # the first that is finite
    packed = _packed(x, start, true, finite.double(), centred=True)
    packed[:, SCALARS.index("non_finite")] = (~finite).sum(1)
    return packed


def _weighted(x: Tensor, true: Tensor | None, w: Tensor) -> Tensor:
    """Packed records of weighted estimates, by way of the heaviest: it is nearest to the mean beside the spread."""
    if x.device.type == "cpu":
        packed = _packed(x, x.take_along_dim(w.argmax(1).view(-1, 1, 1), 1), true, w, centred=True)
        if _all_finite(packed, x.shape[-1]):
            return packed
    finite = x.isfinite().all(-1)
    x, w = x.masked_fill(~finite.unsqueeze(-1), 0.0), w * finite
    start = x.take_along_dim(w.argmax(1).view(-1, 1, 1), 1)
    packed = _packed(x, start, true, w, centred=True)
    packed[:, SCALARS.index("non_finite")] = (~finite).sum(1)
    return packed


def power_sums(estimates: Tensor, true: Tensor, weights: Tensor, shift: Tensor) -> Tensor:
    """Records [S, 8 + 3P] of weighted estimates [S, n, P] in which everything but umax adds up: sums about `shift`.

    In place of the central moments of a packed record stand Σ w (ĝ − shift)ᵏ, k = 1, 2, 3, and Σ w cosᵏ; n is the total
    weight, and d4 and umax are about the shift too. `central` makes a packed record of the total.
    """
    x, w = estimates.double(), weights.double().expand(estimates.shape[:2])
    about = shift.expand(len(x), 1, -1)
    if x.device.type == "cpu":
        sums = _packed(x, about, true, w, centred=False)
        if _all_finite(sums, x.shape[-1]):
            return sums
    finite = x.isfinite().all(-1)
    x, w = x.masked_fill(~finite.unsqueeze(-1), 0.0), w * finite
    sums = _packed(x, about, true, w, centred=False)
    sums[:, SCALARS.index("non_finite")] = (~finite).sum(1)
    return sums


def _all_finite(packed: Tensor, parameters: int) -> bool:
    """Whether all estimates are, of which these are the sums: what is not finite stays so in Σ ĝ."""
    return math.isfinite(packed[:, len(SCALARS) : len(SCALARS) + parameters].sum().item())


def central(sums: Floats, shift: Floats) -> Floats:
    """The packed records [S, 8 + 3P] that `power_sums` about `shift` amount to.

    E‖ĝ − m‖⁴ follows only up to |(E‖ĝ − shift‖⁴)^¼ − ‖m − shift‖|⁴, which is the least that it can be.
    """
    packed, P = sums.copy(), len(shift)
    n, some = sums[:, :1], np.where(sums[:, :1] > 0, sums[:, :1], 1.0)
    for start, width, moved in ((_C1, 1, np.zeros(1)), (len(SCALARS), P, shift)):
        s1, s2, s3 = (sums[:, start + i * width : start + (i + 1) * width] for i in range(3))
        columns = (s1 + n * moved, *_about_mean(s1, s2, s3, s1 / some))
        packed[:, start : start + 3 * width] = np.concatenate(columns, axis=1)
    d4 = SCALARS.index("d4")
    with np.errstate(over="ignore", invalid="ignore"):  # it is NaN or infinite where ‖ĝ‖⁴ is no float
        moved = np.linalg.norm(first(sums) / some, axis=1)  # from the shift to the mean
        packed[:, d4] = n[:, 0] * ((sums[:, d4] / some[:, 0]) ** 0.25 - moved).clip(min=0) ** 4
    return packed


def _about_mean(s1: T, s2: T, s3: T, mean: T) -> tuple[T, T]:
    """Σ (x − m)² and Σ (x − m)³ from power sums of x."""
    return (s2 - mean * s1).clip(min=0), s3 + mean * (2 * mean * s1 - 3 * s2)


def _packed(x: Tensor, start: Tensor, true: Tensor | None, w: Tensor | None, *, centred: bool) -> Tensor:
    """Records [S, 8 + 3P] of x [S, n, P], weights w [S, n]: about the mean if `centred`, else about `start` [S, 1, P].

    Where that is one of the estimates, no digits are lost: its squared distance from the mean is at most n times the
    variance. Estimates that do not vary leave exactly 0.
    """
    import torch  # noqa: PLC0415 - reading results does not need torch

    shards, size, parameters = x.shape

    def total(v: Tensor) -> Tensor:  # over the estimates: [S, n] -> [S], [S, n, P] -> [S, P]
        if w is not None:
            v = v * (w if v.ndim == 2 else w.unsqueeze(-1))
        return v.sum(1)

    n = x.new_full((shards,), float(size)) if w is None else w.sum(1)
    some = n if w is None else n + (n == 0)
    direction = x.new_full((parameters,), float("nan")) if true is None else true / true.norm()
    if parameters == 1:  # [S, n]: a short last axis is slow
        x, start = x.squeeze(-1), start.squeeze(-1)
    each = n if parameters == 1 else n.unsqueeze(1)  # as the sums over estimates are: [S] or [S, P]
    delta = x - start
    s1 = total(delta)
    if centred:
        delta.sub_((s1 / (some if parameters == 1 else some.unsqueeze(1))).unsqueeze(1))
        s1.addcmul_(each, start.squeeze(1))
    squared = delta * delta
    m2 = total(squared)
    if parameters == 1:
        u = squared
        m3 = total(delta.mul_(squared))
        sign = torch.sign(x, out=delta)  # cosines are −1, 0 and 1: whole numbers, whose sums are exact
        c1 = c3 = total(sign) * direction
        nonzero = total(sign.abs_())
        zeros, c2 = n - nonzero, nonzero * direction.abs()
        if centred:
            c2, c3 = _about_mean(c1, c2, c3, c1 / some)
    else:
        one = x.new_ones(parameters)
        u = squared @ one  # [S, n]
        m3 = total(delta.mul_(squared))
        norm = torch.mul(x, x, out=squared) @ one
        zero = torch.eq(norm, 0, out=torch.empty_like(norm))
        zeros = total(zero)
        cosine = norm.add_(zero).rsqrt_().mul_(x @ direction)
        begin = cosine[:, :1].clone() if centred else torch.zeros_like(cosine[:, :1])
        c1 = total(cosine.sub_(begin))
        if centred:
            cosine.sub_((c1 / some).unsqueeze(1))
            c1.addcmul_(n, begin.squeeze(1))
        squares = cosine.square()
        c2, c3 = total(squares), total(squares.mul_(cosine))
    umax = (u if w is None else u * (w > 0)).amax(1)
    scalars = torch.stack((n, torch.zeros_like(n), zeros, c1, c2, c3, total(u.square_()), umax), 1)
    return torch.cat((scalars, *(s.view(shards, parameters) for s in (s1, m2, m3))), 1)


def first(packed: Floats) -> Floats:
    """Σ ĝ of packed records, or Σ (ĝ − shift) of power sums: [S, P]."""
    P = (packed.shape[1] - len(SCALARS)) // 3
    return packed[:, len(SCALARS) : len(SCALARS) + P]


def second(packed: Floats) -> Floats:
    """Σ (ĝ − m)² of packed records, or Σ (ĝ − shift)² of power sums: [S, P]."""
    P = (packed.shape[1] - len(SCALARS)) // 3
    return packed[:, len(SCALARS) + P : len(SCALARS) + 2 * P]


def record(delta: Floats, square: Floats) -> Floats:
    """A record [1, 8 + 3P] of weight 1 with these first and second moments [1, P]; all others are unknown."""
    packed = np.full((1, len(SCALARS) + 3 * delta.shape[1]), np.nan)
    packed[:, SCALARS.index("n")], packed[:, SCALARS.index("non_finite")] = 1.0, 0.0
    packed[:, len(SCALARS) :] = np.concatenate((delta, square, np.full_like(delta, np.nan)), axis=1)
    return packed
