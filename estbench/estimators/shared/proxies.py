"""Surrogate derivatives ψ(x) of a hard threshold at the pre-activation x, as used for binary units and spikes.

Mass ∫ψ = 1, but 2 for hardtanh, approx_sign and swish_sign (made for outputs ±1), 2/k for fast_sigmoid, ∞ for relu.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def hard_sigmoid(x: Tensor) -> Tensor:
    """½ · 1[|x| ≤ 1] (Hubara et al. 2016)."""
    return 0.5 * (x.abs() <= 1)


def relu(x: Tensor) -> Tensor:
    """1[x > 0] (Yin et al. 2019)."""
    return (x > 0).to(x.dtype)


def clipped_relu(x: Tensor) -> Tensor:
    """1[0 < x < 1] (Yin et al. 2019)."""
    return ((x > 0) & (x < 1)).to(x.dtype)


def hardtanh(x: Tensor) -> Tensor:
    """1[|x| ≤ 1] (Hubara et al. 2016)."""
    return (x.abs() <= 1).to(x.dtype)


def approx_sign(x: Tensor) -> Tensor:
    """(2 − 2|x|) · 1[|x| ≤ 1] (Liu et al. 2018, Bi-Real net)."""
    return (2 - 2 * x.abs()).clamp(min=0)


def swish_sign(x: Tensor, b: float = 5.0) -> Tensor:
    """b (2 − b x tanh(b x/2))/(1 + cosh b x) (Darabi et al. 2019)."""
    bx = (b * x).clamp(-700, 700)
    return b * (2 - bx * torch.tanh(bx / 2)) / (1 + torch.cosh(bx))


def fast_sigmoid(x: Tensor, k: float = 25.0) -> Tensor:
    """1/(1 + k|x|)² (Zenke & Ganguli 2018)."""
    return 1 / (1 + k * x.abs()) ** 2


def steep_sigmoid(x: Tensor, k: float = 25.0) -> Tensor:
    """k σ(k x) σ(−k x)."""
    return k * torch.sigmoid(k * x) * torch.sigmoid(-k * x)


def atan(x: Tensor, alpha: float = 2.0) -> Tensor:
    """(α/2)/(1 + (π α x/2)²) (Fang et al. 2021)."""
    return alpha / 2 / (1 + (torch.pi * alpha * x / 2) ** 2)


def piecewise_quadratic(x: Tensor, alpha: float = 1.0) -> Tensor:
    """max(0, α − α²|x|), the derivative of a piecewise quadratic threshold (Esser et al. 2016)."""
    return (alpha - alpha**2 * x.abs()).clamp(min=0)


def piecewise_exponential(x: Tensor, alpha: float = 1.0) -> Tensor:
    """(α/2) e^(−α|x|) (Shrestha & Orchard 2018)."""
    return alpha / 2 * torch.exp(-alpha * x.abs())


FIXED: dict[str, Callable[[Tensor], Tensor]] = {
    "hard_sigmoid": hard_sigmoid,
    "relu": relu,
    "clipped_relu": clipped_relu,
    "hardtanh": hardtanh,
    "approx_sign": approx_sign,
}
SCALED: dict[str, Callable[..., Tensor]] = {
    "swish_sign": swish_sign,
    "fast_sigmoid": fast_sigmoid,
    "steep_sigmoid": steep_sigmoid,
    "atan": atan,
    "piecewise_quadratic": piecewise_quadratic,
    "piecewise_exponential": piecewise_exponential,
}
"""Those with a parameter of their own, by default that of the paper or of the library that made it common."""

PROXIES = FIXED.keys() | SCALED.keys()
