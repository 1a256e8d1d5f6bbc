"""The learned control variate of LAX and RELAX: a small network of the noisy logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import NamedTuple

import torch
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.shared.least_squares import least_squares

BATCH = 256
LEARNING_RATE = 0.01


class Critic(NamedTuple):
    """r(x) = aᵀ tanh(W x + b), and η, the coefficient of what stands beside it in c: W [H, P], b and a [H], η []."""

    W: Tensor
    b: Tensor
    a: Tensor
    eta: Tensor

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """r and ∇r at x, [R, N, D] or [R, N, D, K]: [R, N] and like x."""
        if x.dtype != torch.float64:
            x = x.clamp(-1e30, 1e30)  # log π of a class that float32 takes for impossible is −∞
        t = torch.addmm(2 * self.b, x.reshape(-1, self.W.shape[1]), 2 * self.W.T)
        h = 2 * torch.sigmoid(t) - 1  # tanh(t/2), [R N, H]; torch's tanh takes seven times as long
        aW = self.a.unsqueeze(1) * self.W
        return (h @ self.a).view(x.shape[:2]), (aW.sum(0) - h.square() @ aW).view(x.shape)

    def numbers(self) -> tuple[float, ...]:
        """W, b, a and η as floats, for a record."""
        return tuple(torch.cat([t.flatten() for t in self]).tolist())


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


def learn(
    estimate: Callable[[Draw, Critic], Tensor], draw: Draw, streams: Sequence[str], start: Critic, steps: int, eta: bool
) -> Critic:
    """The critic of least mean ‖ĝ‖²: Adam from `start` on W, b, a (and η), then a (and η) once more by least squares.

    `estimate` is ĝ of a critic, [R, N, …], and reads the noise `streams`. Adam sees half of the draw, 256 replicates a
    step, over and over; least squares sees the other half, so that what Adam learned by heart is given no weight.
    """
    batches = _pieces(draw, streams)
    seen, fresh = batches[: len(batches) // 2], batches[len(batches) // 2 :]
    with torch.enable_grad():
        critic = Critic(*(t.clone().requires_grad_(eta or t is not start.eta) for t in start))
        adam = torch.optim.Adam([t for t in critic if t.requires_grad], lr=LEARNING_RATE)
        for batch in islice(cycle(seen), steps):
            adam.zero_grad()
            torch.autograd.backward(batch.problem.project(estimate(batch, critic)).square().sum(-1).mean())
            adam.step()
    W, b, a, _ = (t.detach() for t in critic)
    H = len(a)

    def linear(c: Sequence[float]) -> Critic:
        numbers = a.new_tensor(c)
        return Critic(W, b, numbers[:H], numbers[H] if eta else start.eta)

    def estimates(c: Sequence[float]) -> Tensor:
        return torch.cat([batch.problem.project(estimate(batch, linear(c)).flatten(0, 1)) for batch in fresh])

    return linear(least_squares(estimates, H + eta))


def _pieces(draw: Draw, streams: Sequence[str]) -> list[Draw]:
    """The draw as draws of `BATCH` replicates: the same noise, cut."""
    return [
        Draw(draw.problem, min(BATCH, draw.R - i), draw.N, noise={s: draw.noise(s)[i : i + BATCH] for s in streams})
        for i in range(0, draw.R, BATCH)
    ]
