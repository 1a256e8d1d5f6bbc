"""Coarse gradients of a two-layer threshold network with Gaussian input, in closed form (Yin et al. 2019, 1903.05662).

y(Z) = vᵀ σ(Z w) with σ(a) = 1[a > 0], rows z_i ~ N(0, I_n) of Z, i = 1 … m, labels v*ᵀ σ(Z w*) with ‖w*‖ = 1, and
population loss f(v, w) = E ½ (y(Z) − y*(Z))². θ is the angle between w and w*; ŵ = w/‖w‖.

The coarse gradient replaces σ′ by a proxy ψ: g = Zᵀ (ψ(Z w) ⊙ v) (y(Z) − y*(Z)). For ψ = h · 1[l < a < u], as the
identity, ReLU, clipped ReLU, hardtanh and hard sigmoid have, with x = z·ŵ its mean is

    E g = h { ½ ((1ᵀv)² − ‖v‖² − 1ᵀv 1ᵀv* + v·v*) a ŵ + ‖v‖² b ŵ − v·v* (A ŵ + B e) },

    a = E[x; l < x̃ < u] = ϕ(l′) − ϕ(u′),   b = E[x; l < x̃ < u, x > 0],   l′ = l/‖w‖,  u′ = u/‖w‖,
    A = E[x Φ(x cot θ); …] = [−ϕ(x) Φ(x cot θ)] + cot θ B,   B = E[ϕ(x cot θ); …] = sin θ/√2π [Φ(x/sin θ)],

where x̃ = x ‖w‖, brackets are differences between l′ and u′, and e is the unit vector in the plane of w and w* that is
orthogonal to w.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from estbench.errors import UsageError

INDICATORS: dict[str, tuple[float, float, float]] = {
    "identity": (1.0, -math.inf, math.inf),
    "relu": (1.0, 0.0, math.inf),
    "clipped_relu": (1.0, 0.0, 1.0),
    "hardtanh": (1.0, -1.0, 1.0),
    "hard_sigmoid": (0.5, -1.0, 1.0),
}
"""Proxies that are a multiple h of an indicator: (h, l, u)."""


@dataclass(frozen=True, eq=False)
class TwoLayer:
    """The network v [m], w [n] beside the one that labels, v* [m] and w* [n] of norm 1; all in float64."""

    v: Tensor
    w: Tensor
    v_star: Tensor
    w_star: Tensor

    def __post_init__(self) -> None:
        if not math.isclose(float(self.w_star.norm()), 1.0, rel_tol=1e-9):
            raise UsageError(f"w* must have norm 1, got {float(self.w_star.norm()):g}")
        if not float(self.w.norm()) > 0:
            raise UsageError("w must not be 0: the angle between w and w* would not be known")

    @property
    def w_hat(self) -> Tensor:
        """ŵ = w/‖w‖."""
        found: Tensor = self.w / self.w.norm()
        return found

    @property
    def across(self) -> Tensor:
        """The part of w* that is orthogonal to w; its norm is sin θ."""
        return self.w_star - (self.w_hat @ self.w_star) * self.w_hat

    @property
    def theta(self) -> float:
        """The angle between w and w*, in [0, π]."""
        return math.atan2(float(self.across.norm()), float(self.w_hat @ self.w_star))

    def loss(self) -> float:
        """⅛ {vᵀ(I + 11ᵀ)v − 2 vᵀ((1 − 2θ/π) I + 11ᵀ)v* + v*ᵀ(I + 11ᵀ)v*}."""
        v, v_star = self.v, self.v_star
        own, label = (x @ x + x.sum() ** 2 for x in (v, v_star))
        both = (1 - 2 * self.theta / math.pi) * (v @ v_star) + v.sum() * v_star.sum()
        return float(own - 2 * both + label) / 8

    def gradient_v(self) -> Tensor:
        """∂f/∂v = ¼ (I + 11ᵀ) v − ¼ ((1 − 2θ/π) I + 11ᵀ) v*, [m]."""
        v, v_star = self.v, self.v_star
        found: Tensor = (v + v.sum() - (1 - 2 * self.theta / math.pi) * v_star - v_star.sum()) / 4
        return found

    def gradient_w(self) -> Tensor:
        """∂f/∂w = −v·v*/(2π ‖w‖) e, [n]; it has no value where w and w* are parallel, and is 0 here."""
        length = self.across.norm()
        if not float(length) > 0:
            return torch.zeros_like(self.w)
        found: Tensor = -(self.v @ self.v_star) / (2 * math.pi * self.w.norm()) * self.across / length
        return found

    def coarse_gradient_w(self, proxy: str) -> Tensor:
        """E Zᵀ (ψ(Z w) ⊙ v)(y − y*), [n]; UsageError for a proxy that is no multiple of an indicator."""
        if proxy not in INDICATORS:
            raise UsageError(f"no closed form for proxy {proxy}; there are {', '.join(INDICATORS)}")
        h, lower, upper = INDICATORS[proxy]
        l, u = (end / float(self.w.norm()) for end in (lower, upper))  # noqa: E741 - the letters of the formula
        v, v_star, w_hat = self.v, self.v_star, self.w_hat
        a = _density(l) - _density(u)
        b = _density(max(l, 0.0)) - _density(u)
        off = (v.sum() ** 2 - v @ v - v.sum() * v_star.sum() + v @ v_star) / 2
        return h * ((off * a + (v @ v) * b) * w_hat - (v @ v_star) * self._labelled(l, u))

    def _labelled(self, l: float, u: float) -> Tensor:  # noqa: E741 - the letters of the formula
        """E[z; l < x < u, z·w* > 0] = A ŵ + B e, [n]."""
        cos, sin = float(self.w_hat @ self.w_star), float(self.across.norm())
        if sin == 0:  # z·w* > 0 is x > 0, or x < 0
            inside = (max(l, 0.0), max(u, 0.0)) if cos > 0 else (min(l, 0.0), min(u, 0.0))
            return (_density(inside[0]) - _density(inside[1])) * self.w_hat
        step = (_normal(u / sin) - _normal(l / sin)) / math.sqrt(2 * math.pi)  # B/sin θ
        A = _density(l) * _normal(_times(l, cos / sin)) - _density(u) * _normal(_times(u, cos / sin)) + cos * step
        return A * self.w_hat + step * self.across


def _density(x: float) -> float:
    """ϕ(x)."""
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _normal(x: float) -> float:
    """Φ(x)."""
    return math.erfc(-x / math.sqrt(2)) / 2


def _times(x: float, slope: float) -> float:
    """x · slope, where x may be infinite; ϕ(x) is 0 there."""
    return 0.0 if math.isinf(x) else x * slope
