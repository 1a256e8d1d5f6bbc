"""Fitting the critic of LAX and RELAX."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.shared.critic import Critic
from estbench.estimators.shared.descent import Parts, descended
from estbench.estimators.shared.least_squares import least_squares

BATCH = 256
"""Replicates in a step of Adam."""

NUMBERS = 2**14
"""Random numbers, about, of the replicates whose parts are computed at once: enough that calls cost little."""


def learn(
    parts: Callable[[Draw], Parts],
    draw: Draw,
    streams: Sequence[str],
    start: Critic,
    steps: int,
    eta: bool,
) -> Critic:
    """The critic of least mean ‖ĝ‖²: Adam from `start` on W, b, a (and η), then a (and η) once more by least squares.

    `parts` is ĝ as a function of the critic; it reads the noise `streams`. Adam sees half of the draw, 256 replicates a
    step, over and over. Least squares sees the other half, so that what Adam learned by heart is given no weight.
    """
    half = BATCH * (math.ceil(draw.R / BATCH) // 2)
    seen = (batch for piece in pieces(draw, streams, 0, half) for batch in parts(piece).split(BATCH))
    W, b, a, _ = descended(seen, start, steps, eta)
    H = len(a)

    def linear(c: Sequence[float]) -> Critic:
        numbers = a.new_tensor(c)
        return Critic(W, b, numbers[:H], numbers[H] if eta else start.eta)

    known = [(part, part.hidden(linear([0.0] * (H + 1)))) for part in map(parts, pieces(draw, streams, half, draw.R))]

    def estimates(c: Sequence[float]) -> Tensor:
        return torch.cat([part.problem.project(part.estimate(linear(c), h).flatten(0, 1)) for part, h in known])

    return linear(least_squares(estimates, H + eta))


def pieces(draw: Draw, streams: Sequence[str], start: int, stop: int) -> list[Draw]:
    """Those replicates of a draw as draws of some thousands of numbers each: the same noise, cut at whole batches."""
    size = BATCH * max(1, NUMBERS // (BATCH * draw.problem.numbers))
    bounds = [*range(start, stop, size), stop]
    return [
        Draw(draw.problem, end - i, draw.N, noise={s: draw.noise(s)[i:end] for s in streams})
        for i, end in pairwise(bounds)
    ]
