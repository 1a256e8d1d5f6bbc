"""The learned control variate of LAX and RELAX: a small network of the noisy logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Critic(NamedTuple):
    """r(x) = aᵀ tanh(W x + b), and η, the coefficient of what stands beside it in c: W [H, P], b and a [H], η []."""

    W: Tensor
    b: Tensor
    a: Tensor
    eta: Tensor

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """r and ∇r at x, [R, N, D] or [R, N, D, K]: [R, N] and like x.

        With tanh t = 2σ − 1, σ = σ(2t), 1 − tanh² t = 4 (σ − σ²): fewer passes over [R N, H] than by tanh itself.
        """
        sigma = self._sigma(x)
        r = sigma @ (2 * self.a) - self.a.sum()
        dr = (sigma - sigma * sigma) @ (4 * self.a.unsqueeze(1) * self.W)  # Wᵀ (a (1 − tanh²))
        return r.view(x.shape[:2]), dr.view(x.shape)

    def hidden(self, x: Tensor) -> Tensor:
        """tanh(W x + b), [R N, H]."""
        return 2 * self._sigma(x) - 1

    def _sigma(self, x: Tensor) -> Tensor:
        """σ(2 (W x + b)), [R N, H]; torch's tanh takes seven times as long."""
        return torch.addmm(2 * self.b, bounded(x).reshape(-1, self.W.shape[1]), 2 * self.W.T).sigmoid_()

    def of_flat(self, numbers: Tensor) -> Critic:
        """The critic of these `numbers`, of the shape of this one; views of them."""
        H, P = self.W.shape
        W, b, a, eta = torch.split(numbers, [H * P, H, H, 1])
        return Critic(W.view(H, P), b, a, eta.squeeze(0))

    def numbers(self) -> tuple[float, ...]:
        """W, b, a and η as floats, for a record."""
        return tuple(torch.cat([t.flatten() for t in self]).tolist())


def bounded(x: Tensor) -> Tensor:
    """x, without infinities: log π of a class whose probability rounds to 0 is −∞."""
    return x.clamp(-1e30, 1e30)


def random_critic(uniforms: Tensor, eta: float) -> Critic:
    """The critic that fitting starts from: W, b ~ N(0, 1/fan-in) of uniforms [H, P + 1], a = 0."""
    P = uniforms.shape[1] - 1
    normal = torch.special.ndtri(uniforms) / P**0.5
    return Critic(normal[:, :P], normal[:, P], uniforms.new_zeros(len(uniforms)), uniforms.new_tensor(eta))


def unfitted(like: Tensor, eta: float) -> Critic:
    """The critic before any fit: a = 0, so nothing but η, whatever W and b."""
    P = like.numel()
    return Critic(like.new_zeros(1, P), like.new_zeros(1), like.new_zeros(1), like.new_tensor(eta))


def restored(numbers: Sequence[float], like: Tensor) -> Critic:
    """The critic of these `numbers`, for logits `like`."""
    P = like.numel()
    H = (len(numbers) - 1) // (P + 2)
    W, b, a, eta = torch.split(like.new_tensor(numbers), [H * P, H, H, 1])
    return Critic(W.view(H, P), b, a, eta.squeeze(0))
