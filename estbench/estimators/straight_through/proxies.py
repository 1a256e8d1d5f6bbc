"""Surrogate derivatives ψ(x) of a hard threshold at the pre-activation x, as used for binary units and spikes.

Each is a function of x and of its own scale (None: its paper's value). Mass ∫ψ = 1, but 2 for hardtanh, approx_sign and
swish_sign (made for outputs ±1), 2/k for fast_sigmoid, and infinite for relu.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def hard_sigmoid(x: Tensor, scale: float | None) -> Tensor:
    """½ · 1[|x| ≤ 1] (Hubara et al. 2016)."""
    del scale
    return 0.5 * (x.abs() <= 1)


def relu(x: Tensor, scale: float | None) -> Tensor:
    """1[x > 0] (Yin et al. 2019)."""
    del scale
    return (x > 0).to(x.dtype)


def clipped_relu(x: Tensor, scale: float | None) -> Tensor:
    """1[0 < x < 1] (Yin et al. 2019)."""
    del scale
    return ((x > 0) & (x < 1)).to(x.dtype)


def hardtanh(x: Tensor, scale: float | None) -> Tensor:
    """1[|x| ≤ 1] (Hubara et al. 2016)."""
    del scale
    return (x.abs() <= 1).to(x.dtype)


def approx_sign(x: Tensor, scale: float | None) -> Tensor:
    """(2 − 2|x|) · 1[|x| ≤ 1] (Liu et al. 2018, Bi-Real net)."""
    del scale
    return (2 - 2 * x.abs()).clamp(min=0)


def swish_sign(x: Tensor, scale: float | None) -> Tensor:
    """b (2 − b x tanh(b x/2))/(1 + cosh b x), b = 5 (Darabi et al. 2019)."""
    b = 5.0 if scale is None else scale
    bx = (b * x).clamp(-700, 700)
    return b * (2 - bx * torch.tanh(bx / 2)) / (1 + torch.cosh(bx))


def fast_sigmoid(x: Tensor, scale: float | None) -> Tensor:
    """1/(1 + k|x|)², k = 25 (Zenke & Ganguli 2018)."""
    k = 25.0 if scale is None else scale
    return 1 / (1 + k * x.abs()) ** 2


def steep_sigmoid(x: Tensor, scale: float | None) -> Tensor:
    """k σ(k x) σ(−k x), k = 25."""
    k = 25.0 if scale is None else scale
    return k * torch.sigmoid(k * x) * torch.sigmoid(-k * x)


def atan(x: Tensor, scale: float | None) -> Tensor:
    """(α/2)/(1 + (π α x/2)²), α = 2 (Fang et al. 2021)."""
    alpha = 2.0 if scale is None else scale
    return alpha / 2 / (1 + (torch.pi * alpha * x / 2) ** 2)


def piecewise_quadratic(x: Tensor, scale: float | None) -> Tensor:
    """max(0, α − α²|x|), α = 1 (Bohte 2011)."""
    alpha = 1.0 if scale is None else scale
    return (alpha - alpha**2 * x.abs()).clamp(min=0)


def piecewise_exponential(x: Tensor, scale: float | None) -> Tensor:
    """(α/2) e^(−α|x|), α = 1 (Shrestha & Orchard 2018)."""
    alpha = 1.0 if scale is None else scale
    return alpha / 2 * torch.exp(-alpha * x.abs())


PROXIES: dict[str, Callable[[Tensor, float | None], Tensor]] = {
    "hard_sigmoid": hard_sigmoid,
    "relu": relu,
    "clipped_relu": clipped_relu,
    "hardtanh": hardtanh,
    "approx_sign": approx_sign,
    "swish_sign": swish_sign,
    "fast_sigmoid": fast_sigmoid,
    "steep_sigmoid": steep_sigmoid,
    "atan": atan,
    "piecewise_quadratic": piecewise_quadratic,
    "piecewise_exponential": piecewise_exponential,
}
