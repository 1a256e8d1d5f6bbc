"""What shards are derived from: means, variances and skewness of many cells at once, and what of them is rounding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from estbench.moments import Floats, Moments

ROUNDING = 1e-13  # of their own size: estimates that vary by less, or lie nearer to g, differ by rounding alone: by 0
MIN_SHARDS = 3  # with fewer, trace(V²) has no estimate: every interval is unknown

_AT_ONCE = 2**15  # numbers that are passed over several times while a processor has them at hand
_NAN = float("nan")


class Derived(NamedTuple):
    """Fields of `Shards`, by their names there."""

    R: float
    n: Floats
    g: Floats
    m: Floats
    b: Floats
    d: Floats
    var: Floats
    skew: Floats
    v: float
    v_without: Floats
    y1: Floats


def derived(cells: Sequence[Moments]) -> list[Derived]:
    """What follows from the moments of each cell; all shards have estimates."""
    found: dict[int, Derived] = {}
    for some in _of_one_shape(cells):
        found |= dict(zip(some, _derived([cells[i] for i in some]), strict=True))
    return [found[i] for i in range(len(cells))]


def _of_one_shape(cells: Sequence[Moments]) -> Iterator[list[int]]:
    """The indices of cells with records of one shape, so many at a time as a processor has at hand."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for i, cell in enumerate(cells):
        by_shape.setdefault(cell.s1.shape, []).append(i)
    for (S, P), same in by_shape.items():
        step = max(_AT_ONCE // max(S * P, 1), 1)
        yield from (same[i : i + step] for i in range(0, len(same), step))


def _derived(cells: Sequence[Moments]) -> Iterator[Derived]:
    """The same of C cells with S shards of P parameters each."""
    n = np.stack([k.n for k in cells])  # [C, S]
    C, S, P = len(cells), n.shape[1], cells[0].s1.shape[1]
    g = np.stack([np.full(P, _NAN) if k.exact_gradient is None else k.exact_gradient for k in cells])  # [C, P]
    R = n.sum(1)
    if S < MIN_SHARDS:
        for i, k in enumerate(cells):
            none, no_shard = np.full(P, _NAN), n[i] * _NAN
            yield Derived(float(R[i]), n[i], g[i], none, none, k.s1 * _NAN, none, none, _NAN, no_shard, no_shard)
        return
    m, scatter, third, d = np.empty((C, P)), np.empty((C, P)), np.empty((C, P)), np.empty((C, S, P))
    records = [[getattr(k, name) for k in cells] for name in ("s1", "m2", "m3")]
    of_within, of_d, of_off = np.zeros((3, C, S))
    each, width = n[:, :, None], max(_AT_ONCE // S, 1)  # not of C: its bytes depend on no other cell
    for i in range(0, P, width):
        some = slice(i, i + width)
        s1, within, m3 = (np.stack([x[:, some] for x in of]) for of in records)
        m[:, some] = s1.sum(1) / R[:, None]
        means = s1 / each
        off = means - g[:, None, some]
        here = means - m[:, None, some]
        square = here * here
        about = each * square
        scatter[:, some] = (within + about).sum(1)  # Σ(ĝ − m)²
        third[:, some] = (m3 + 3 * here * within + about * here).sum(1)
        d[:, :, some] = here
        of_within += within.sum(2)
        of_d += square.sum(2)
        of_off += (off * off).sum(2)
    b, R_ = m - g, R[:, None]
    var = without_rounding(scatter / (R_ - 1), m)
    v = var.sum(1)
    for i in np.flatnonzero(v == 0).tolist():
        b[i], d[i] = unless_rounding(b[i], g[i]), 0.0
    m = unless_cancelled(m, g, np.sqrt(var))
    # leaving a shard out takes its own scatter and its distance from the others: n_s R/(R − n_s) ‖d_s‖²
    rest = scatter.sum(1)[:, None] - of_within - n * R_ / (R_ - n) * of_d
    v_without = np.where(v[:, None] > 0, rest / (R_ - n - 1), 0.0)
    with np.errstate(invalid="ignore"):  # NaN where powers of the estimates are below the range of float64
        skew = np.where(var > 0, third / R_, 0.0) / np.where(var > 0, scatter / R_, 1.0) ** 1.5
    y1 = of_within + n * of_off
    for i in range(C):
        yield Derived(float(R[i]), n[i], g[i], m[i], b[i], d[i], var[i], skew[i], float(v[i]), v_without[i], y1[i])


def unless_cancelled(m: Floats, g: Floats, sd: Floats) -> Floats:
    """The mean m of estimates [..., P]; what is left of a cancellation, beside sd and g alike, is 0: no direction."""
    return np.where((np.abs(m) <= 1e-14 * np.abs(m - g)) & (np.abs(m) <= 1e-16 * sd), 0.0, m)


def without_rounding(var: Floats, m: Floats) -> Floats:
    """The variances of the coordinates, 0 where that is rounding of estimates of mean m [..., P]."""
    square = m**2
    total = square.sum(-1, keepdims=True)
    rounded = var <= np.maximum(ROUNDING**2 * square, 1e-32 * total)
    return np.where(rounded | (var.sum(-1, keepdims=True) <= ROUNDING**2 * total), 0.0, var)


def unless_rounding(b: Floats, g: Floats) -> Floats:
    """The bias b = E ĝ − g [P] of estimates that do not vary, 0 if it is rounding of theirs or of g."""
    size = max(float(np.linalg.norm(g)), float(np.linalg.norm(g + b)))
    return np.zeros_like(b) if np.linalg.norm(b) <= ROUNDING * size else b
