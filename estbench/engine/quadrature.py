"""Quadrature nodes on (0, 1) and for the noise of one variable given its class."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy.special import roots_legendre
from torch import Tensor

from estbench.moments import Floats

_CLOSEST = 1 - 2.0**-53  # the largest float64 below 1


@dataclass(frozen=True)
class Nodes:
    """Nodes u in (0, 1) with their complements 1 − u (exact also next to 1) and weights."""

    u: Tensor
    complement: Tensor
    weight: Tensor

    @property
    def exponential(self) -> Tensor:
        """−log u."""
        return -torch.where(self.u < 0.5, torch.log(self.u), torch.log1p(-self.complement))


@lru_cache(maxsize=64)
def _clustered(n: int) -> tuple[Floats, Floats, Floats]:
    """Gauss-Legendre nodes s on (0, 1) sent through t = s⁴(35 − 84s + 70s² − 20s³): t, 1 − t and weights.

    dt/ds = 140 s³(1 − s)³ vanishes at both ends, which tames the logarithms and powers that noise has there.
    """
    s, w = roots_legendre(n)
    s, w = (s + 1) / 2, w / 2

    def t(s: Floats) -> Floats:
        return s**4 * (35 - 84 * s + 70 * s**2 - 20 * s**3)

    return t(s), t(s[::-1].copy()), w * 140 * s**3 * (1 - s) ** 3


def nodes(low: float, high: float, breaks: Tensor, n: int) -> Nodes:
    """n clustered nodes on every piece of (low, high) between the break points; the weights sum to high − low."""
    inside = sorted({float(b) for b in breaks.flatten() if low < float(b) < high})
    t, mirrored, w = _clustered(n)
    u, complement, weight = [], [], []
    for a, b in zip([low, *inside], [*inside, high], strict=True):
        u.append(a + (b - a) * t)
        complement.append((1 - b) + (b - a) * mirrored)
        weight.append((b - a) * w)
    points = np.clip(np.concatenate(u), 2.0**-1000, _CLOSEST)
    rest = np.clip(np.concatenate(complement), 2.0**-1000, 1.0)
    return Nodes(torch.from_numpy(points), torch.from_numpy(rest), torch.from_numpy(np.concatenate(weight)))


def product(axes: list[Nodes], chunk: int) -> Iterator[list[Nodes]]:
    """The product grid of the axes, in chunks: each axis flattened to the [M] points of the chunk."""
    sizes = [len(axis.u) for axis in axes]
    for start in range(0, math.prod(sizes), chunk):
        index = np.unravel_index(np.arange(start, min(start + chunk, math.prod(sizes))), sizes)
        rows = [torch.from_numpy(i.copy()) for i in index]
        yield [Nodes(a.u[i], a.complement[i], a.weight[i]) for a, i in zip(axes, rows, strict=True)]


def lomax(axes: list[Nodes]) -> Tensor:
    """Ratios of K − 1 exponentials to one more, [M, K − 1], from K − 1 axes of uniforms v at the same M points.

    They are multivariate Lomax: S_j = Π_{i ≤ j} v_i^(−1/i), ratio_j = S_j − S_{j−1}.
    """
    S, ratios = torch.ones_like(axes[0].u), []
    for j, axis in enumerate(axes, start=1):
        grown = axis.exponential / j
        ratios.append(S * torch.expm1(grown))
        S = S * torch.exp(grown)
    return torch.stack(ratios, -1)
