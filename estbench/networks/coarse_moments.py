"""Mean and variance of the coarse gradient of one example, for any proxy, by quadrature over x = z·ŵ.

The coarse gradient is g = Σ_i v_i ψ_i z_i r with ψ_i = ψ(z_i·w), r = Σ_j r_j and r_j = v_j s_j − v*_j t_j, where
s = 1[z·w > 0] and t = 1[z·w* > 0]. Rows z_i of Z are independent, so that E g and E‖g‖² are sums of products of
moments of one row: A_i^k = E r_i^k, M_i^k = E[ψ z r_i^k] and q_i^k = E[ψ² ‖z‖² r_i^k], k = 0, 1, 2. With y = z·e
independent of x and t = 1[y > −c], c = x cot θ, the mean over y of 1, y and y² where t = 1 is Φ(c), ϕ(c) and
Φ(c) − c ϕ(c); so each of them is an integral over x alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import ndtr
from torch import Tensor

from estbench.moments import Floats
from estbench.networks.coarse import TwoLayer

NODES = 24
"""Gauss–Legendre nodes in a piece; twice as many say how exact it is."""

_END = 12.0
_HALVES = 40
"""Pieces from 0 to 12 that halve towards 0: they resolve a slope as steep as 2^40 there."""


@dataclass(frozen=True)
class CoarseMoments:
    """The mean [n] and the total variance of the coarse gradient of one example, and how exact they are, relatively."""

    mean: Tensor
    variance: float
    mean_error: float
    error: float


def coarse_moments(net: TwoLayer, psi: Callable[[Tensor], Tensor], kinks: Sequence[float] = ()) -> CoarseMoments:
    """Moments of one network with ψ [n] of pre-activations [n]; `kinks` are |a| > 0 where ψ(a) is not smooth."""
    (mean, variance), (finer_mean, finer) = (_moments(net, psi, kinks, n) for n in (NODES, 2 * NODES))
    scale = max(float(finer_mean.norm()), math.sqrt(finer))
    return CoarseMoments(
        finer_mean,
        finer,
        float((mean - finer_mean).norm()),
        max(abs(variance - finer) / finer if finer > 0 else 0.0, float((mean - finer_mean).norm()) / (scale or 1.0)),
    )


def _moments(
    net: TwoLayer, psi: Callable[[Tensor], Tensor], kinks: Sequence[float], nodes: int
) -> tuple[Tensor, float]:
    """(E g, tr Cov g)."""
    x, weights = _nodes([kink / float(net.norm) for kink in kinks], nodes)
    one = _of_a_row(net, x, weights, psi(torch.from_numpy(x) * net.norm).numpy())
    v, v_star = net.v.numpy(), net.v_star.numpy()
    r = np.stack([np.zeros_like(v), -v_star, v, v - v_star])  # of (s, t) = 00, 01, 10, 11: [4, m]
    each = np.einsum("kcm,cf->kmf", np.stack([np.ones_like(r), r, r * r]), one)  # [3, m, (p, M_x, M_y, q)]
    A, M, q = each[..., 0], each[..., 1:3], each[..., 3]
    spread = A[2] - A[1] ** 2
    others = A[1].sum() - A[1]  # E Σ_{j≠i} r_j
    squares = others**2 + spread.sum() - spread  # E (Σ_{j≠i} r_j)²
    mean = v @ (M[1] + M[0] * others[:, None])
    alone = (v**2) @ (q[2] + 2 * q[1] * others + q[0] * squares)
    rest = others[:, None] - A[1]  # E Σ_{j≠i,k} r_j, [m, m]
    rest_squares = rest**2 + (spread.sum() - spread)[:, None] - spread
    first = M[1] @ M[0].T
    pairs = M[2] @ M[0].T + M[0] @ M[2].T + 2 * M[1] @ M[1].T
    pairs += 2 * (first + first.T) * rest + (M[0] @ M[0].T) * rest_squares
    np.fill_diagonal(pairs, 0.0)
    total = alone + v @ pairs @ v
    e = net.across / torch.where(net.sin > 0, net.sin, 1.0)
    return mean[0] * net.w_hat + mean[1] * e, float(total - mean @ mean)


def _of_a_row(net: TwoLayer, x: Floats, weights: Floats, psi: Floats) -> Floats:
    """P, E ψx, E ψy and E ψ²‖z‖² of one row where (s, t) = 00, 01, 10 and 11: [4, 4]."""
    n, cos, sin = net.w.shape[-1], float(net.cos), float(net.sin)
    c = x * (cos / sin if sin > 0 else math.copysign(1e100, cos))
    density = np.exp(-c * c / 2) / math.sqrt(2 * math.pi)
    tail = np.where(density > 0, c * density, 0.0)
    found = []
    for s in (x < 0, x > 0):
        for P, y, yy in ((ndtr(-c), -density, ndtr(-c) + tail), (ndtr(c), density, ndtr(c) - tail)):
            square = psi * psi * (x * x * P + yy + (n - 2) * P)
            found.append([(weights * s * f).sum() for f in (P, psi * x * P, psi * y, square)])
    return np.array(found)


def _nodes(kinks: Sequence[float], nodes: int) -> tuple[Floats, Floats]:
    """Nodes and weights of ∫ ϕ(x) … dx, in pieces between −12 and 12 that end at 0 and at ± each kink."""
    ends = sorted({0.0, *(_END / 2**i for i in range(_HALVES)), *(kink for kink in kinks if kink < _END)})
    low, high = np.array(ends[:-1]), np.array(ends[1:])
    u, w = np.polynomial.legendre.leggauss(nodes)
    half = (high - low)[:, None] / 2
    x, weights = ((low + high)[:, None] / 2 + half * u).ravel(), (half * w).ravel()
    weights = weights * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return np.concatenate([-x, x]), np.concatenate([weights, weights])
