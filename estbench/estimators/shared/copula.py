"""Copulas over the sample axis: N uniforms as negatively dependent as possible, and the joint law of two of them.

Dirichlet: U_n = (1 − d_n)^{N−1}, d = e/Σ_n e. It is never raised to that power here: U_n < t is d_n > `cut(log t)`.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from estbench.draws import over_samples


def dirichlet(u: Tensor) -> Tensor:
    """d = e/Σ_n e, e = −log u, over axis 1 of u [R, N, …]: Dirichlet(1), like u."""
    log_u = torch.log(u)
    return log_u.div_(over_samples(log_u).unsqueeze(1))


def cut(log_t: Tensor, N: int) -> Tensor:
    """1 − t^{1/(N−1)}: the d_n above which U_n < t."""
    return -torch.expm1(log_t / (N - 1))


def both_below(s: Tensor, t: Tensor, N: int) -> Tensor:
    """C = P(U_1 < s, U_2 < t) = P(d_1 > a, d_2 > b) = max(0, 1 − a − b)^{N−1} from the cuts a, b of s, t."""
    joint: Tensor = (1 - (s + t)).clamp(min=0) ** (N - 1)
    return joint


def gaussian(u: Tensor) -> Tensor:
    """G_n = (ε_n − ε̄) √(N/(N−1)), ε = Φ⁻¹(u), over axis 1 of u [R, N, …]: normal, correlation −1/(N−1), like u."""
    N = u.shape[1]
    epsilon: Tensor = torch.special.ndtri(u)
    return (epsilon - epsilon.mean(1, keepdim=True)).mul_(math.sqrt(N / (N - 1)))


def parted(h: Tensor, N: int) -> Tensor:
    """P(G_1 < h, G_2 > h) = (1/π) ∫₀^{atan √(N/(N−2))} exp(−h²/(2 cos² t)) dt by 40 Gauss-Legendre nodes; like h."""
    if N == 2:  # the integrand gets steep towards π/2, but G_2 = −G_1; erfc, as torch's ndtr loses the tail
        tail: Tensor = torch.special.erfc(h.abs() / math.sqrt(2)) / 2
        return tail
    top = math.atan(math.sqrt(N / (N - 2)))
    s, w = (torch.from_numpy(v).to(h) for v in np.polynomial.legendre.leggauss(40))
    cos = torch.cos(top * (s + 1) / 2)
    integral: Tensor = torch.exp(-((h.unsqueeze(-1) / cos) ** 2) / 2) @ w * (top / 2)
    return integral / math.pi
