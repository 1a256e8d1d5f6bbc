"""Fitting the critic of LAX and RELAX."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.shared.critic import Critic
from estbench.estimators.shared.descent import Parts, descended
from estbench.estimators.shared.least_squares import least_squares

BATCH = 256


def learn(
    estimate: Callable[[Draw, Critic], Tensor],
    parts: Callable[[Draw], Parts],
    draw: Draw,
    streams: Sequence[str],
    start: Critic,
    steps: int,
    eta: bool,
) -> Critic:
    """The critic of least mean ‖ĝ‖²: Adam from `start` on W, b, a (and η), then a (and η) once more by least squares.

    `estimate` is ĝ of a critic, [R, N, …], `parts` the same in parts; they read the noise `streams`. Adam sees half of
    the draw, 256 replicates a step, over and over. Least squares sees the other half, so that what Adam learned by
    heart is given no weight.
    """
    batches = pieces(draw, streams)
    seen, fresh = batches[: len(batches) // 2], batches[len(batches) // 2 :]
    W, b, a, _ = descended(map(parts, seen), start, steps, eta)
    H = len(a)

    def linear(c: Sequence[float]) -> Critic:
        numbers = a.new_tensor(c)
        return Critic(W, b, numbers[:H], numbers[H] if eta else start.eta)

    def estimates(c: Sequence[float]) -> Tensor:
        return torch.cat([batch.problem.project(estimate(batch, linear(c)).flatten(0, 1)) for batch in fresh])

    return linear(least_squares(estimates, H + eta))


def pieces(draw: Draw, streams: Sequence[str]) -> list[Draw]:
    """The draw as draws of `BATCH` replicates: the same noise, cut."""
    return [
        Draw(draw.problem, min(BATCH, draw.R - i), draw.N, noise={s: draw.noise(s)[i : i + BATCH] for s in streams})
        for i in range(0, draw.R, BATCH)
    ]
