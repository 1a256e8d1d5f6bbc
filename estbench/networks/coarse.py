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
from functools import cached_property

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


_SQRT_2_PI = math.sqrt(2 * math.pi)


@dataclass(frozen=True, eq=False)
class TwoLayer:
    """The network v [..., m], w [..., n] beside the one that labels, v* [..., m] and w* [..., n] of norm 1; in float64.

    With leading axes it is several networks side by side, and everything below has these axes.
    """

    v: Tensor
    w: Tensor
    v_star: Tensor
    w_star: Tensor

    def __post_init__(self) -> None:
        if float((self.w_star.norm(dim=-1) - 1).abs().max()) > 1e-9:
            raise UsageError(f"w* must have norm 1, got {self.w_star.norm(dim=-1).max().item():g}")
        if not float(self.w.norm(dim=-1).min()) > 0:
            raise UsageError("w must not be 0: the angle between w and w* would not be known")

    @cached_property
    def norm(self) -> Tensor:
        """‖w‖."""
        found: Tensor = self.w.norm(dim=-1)
        return found

    @cached_property
    def w_hat(self) -> Tensor:
        """ŵ = w/‖w‖."""
        return self.w / self.norm.unsqueeze(-1)

    @cached_property
    def across(self) -> Tensor:
        """The part of w* that is orthogonal to w; its norm is sin θ, and 0 where w and w* are parallel."""
        found = self.w_star - self.cos.unsqueeze(-1) * self.w_hat
        rounding = (4 + math.sqrt(found.shape[-1])) * torch.finfo(found.dtype).eps
        return torch.where(found.norm(dim=-1, keepdim=True) <= rounding, 0.0, found)

    @cached_property
    def cos(self) -> Tensor:
        """cos θ."""
        return _dot(self.w_hat, self.w_star)

    @cached_property
    def sin(self) -> Tensor:
        """sin θ, at least 0."""
        found: Tensor = self.across.norm(dim=-1)
        return found

    @property
    def theta(self) -> Tensor:
        """The angle between w and w*, in [0, π]."""
        return torch.atan2(self.sin, self.cos)

    @property
    def similar(self) -> Tensor:
        """1 − 2θ/π."""
        return 1 - 2 * self.theta / math.pi

    def loss(self) -> Tensor:
        """⅛ {vᵀ(I + 11ᵀ)v − 2 vᵀ((1 − 2θ/π) I + 11ᵀ)v* + v*ᵀ(I + 11ᵀ)v*}."""
        v, v_star = self.v, self.v_star
        own, label = (_dot(x, x) + x.sum(-1) ** 2 for x in (v, v_star))
        both = self.similar * _dot(v, v_star) + v.sum(-1) * v_star.sum(-1)
        return (own - 2 * both + label) / 8

    def gradient_v(self) -> Tensor:
        """∂f/∂v = ¼ (I + 11ᵀ) v − ¼ ((1 − 2θ/π) I + 11ᵀ) v*, [..., m]."""
        v, v_star = self.v, self.v_star
        sums = (v.sum(-1) - v_star.sum(-1)).unsqueeze(-1)
        return (v + sums - self.similar.unsqueeze(-1) * v_star) / 4

    def gradient_w(self) -> Tensor:
        """∂f/∂w = −v·v*/(2π ‖w‖) e, [..., n]; it has no value where w and w* are parallel, and is 0 here."""
        size = -_dot(self.v, self.v_star) / (2 * math.pi * self.norm)
        return (size / torch.where(self.sin > 0, self.sin, 1.0)).unsqueeze(-1) * self.across

    def coarse_gradient_w(self, proxy: str) -> Tensor:
        """E Zᵀ (ψ(Z w) ⊙ v)(y − y*), [..., n]; UsageError unless the proxy is a multiple of an indicator."""
        if proxy not in INDICATORS:
            raise UsageError(f"no closed form for proxy {proxy}; there are {', '.join(INDICATORS)}")
        h, lower, upper = INDICATORS[proxy]
        l, u = lower / self.norm, upper / self.norm  # noqa: E741 - the letters of the formula
        v, v_star = self.v, self.v_star
        a = _density(l) - _density(u)
        b = _density(l.clamp(min=0)) - _density(u)
        own, both = _dot(v, v), _dot(v, v_star)
        off = (v.sum(-1) * (v - v_star).sum(-1) - _dot(v, v - v_star)) / 2
        A, step = self._labelled(l, u)
        along, across = off * a + own * b - both * A, both * step  # at v = v* and w = w*, 0
        return h * (along.unsqueeze(-1) * self.w_hat - across.unsqueeze(-1) * self.across)

    def _labelled(self, l: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:  # noqa: E741 - the letters of the formula
        """A and B/sin θ: E[z; l < x < u, z·w* > 0] = A ŵ + B e."""
        cos, sin = self.cos, torch.where(self.sin > 0, self.sin, 1.0)
        step = (_normal(u / sin) - _normal(l / sin)) / _SQRT_2_PI  # B/sin θ
        A = _density(l) * _normal(_times(l, cos / sin)) - _density(u) * _normal(_times(u, cos / sin)) + cos * step
        above = _density(l.clamp(min=0)) - _density(u.clamp(min=0))  # where θ = 0: z·w* > 0 is x > 0
        below = _density(l.clamp(max=0)) - _density(u.clamp(max=0))  # where θ = π it is x < 0
        A = torch.where(self.sin > 0, A, torch.where(cos > 0, above, below))
        return A, torch.where(self.sin > 0, step, 0.0)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """a·b over the last axis."""
    found: Tensor = torch.linalg.vecdot(a, b)
    return found


def _density(x: Tensor) -> Tensor:
    """ϕ(x)."""
    return torch.exp(-x * x / 2) / _SQRT_2_PI


def _normal(x: Tensor) -> Tensor:
    """Φ(x)."""
    return torch.erfc(-x / math.sqrt(2)) / 2


def _times(x: Tensor, slope: Tensor) -> Tensor:
    """x · slope, where x may be infinite; ϕ(x) is 0 there."""
    return torch.where(x.isinf(), 0.0, x * slope)
