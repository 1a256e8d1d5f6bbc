"""Fitting the critic of LAX and RELAX."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, count, cycle, pairwise

import torch
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.shared.critic import Critic
from estbench.estimators.shared.descent import Parts, descended
from estbench.estimators.shared.least_squares import least_squares
from estbench.estimators.shared.least_squares_in_pieces import least_squares_in_pieces

BATCH = 256
"""Replicates in a step of Adam."""

HELD = 2**24
"""Numbers, about, that are kept at once where making them again would take time: 128 megabytes."""

OF_PARTS = 7
"""Numbers that `Parts` hold for each number of a sample, at most."""

FEW = 2**16
"""Numbers, about, of the replicates that least squares see at a time where they do not see all at once."""

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
    numbers, H = draw.problem.numbers, len(start.a)

    def seen() -> Iterator[Parts]:
        return (batch for piece in pieces(draw, streams, 0, half) for batch in parts(piece).split(BATCH))

    kept = half * numbers * OF_PARTS <= HELD
    batches = cycle(seen()) if kept else chain.from_iterable(seen() for _ in count())
    W, b, a, _ = descended(batches, start, steps, eta)

    def linear(c: Sequence[float]) -> Critic:
        numbers = a.new_tensor(c)
        return Critic(W, b, numbers[:H], numbers[H] if eta else start.eta)

    def estimates(draw: Draw) -> Callable[[Sequence[float]], Tensor]:
        part = parts(draw)
        h = part.hidden(linear([0.0] * (H + 1)))
        return lambda c: part.problem.project(part.estimate(linear(c), h).flatten(0, 1))

    if (draw.R - half) * numbers * (H + 2) > HELD:
        few = 2 ** max(min(BATCH, FEW // numbers).bit_length() - 1, 0)  # which a batch is a whole number of
        return linear(*least_squares_in_pieces(zip(map(estimates, pieces(draw, streams, half, draw.R, few))), H + eta))
    known = [estimates(piece) for piece in pieces(draw, streams, half, draw.R)]
    return linear(least_squares(lambda c: torch.cat([of_piece(c) for of_piece in known]), H + eta))


def pieces(draw: Draw, streams: Sequence[str], start: int, stop: int, few: int = BATCH) -> Iterator[Draw]:
    """Those replicates of a draw as draws of some thousands of numbers each: the same noise, cut at whole batches.

    `start` is a whole number of batches. Of a draw of very many numbers, `few` replicates at a time.
    """
    numbers = draw.problem.numbers
    if draw.R * numbers * len(streams) > HELD:
        every = zip(count(0, few), draw.split(few, streams), strict=False)
        yield from (piece for i, piece in every if start <= i < stop)
        return
    size = BATCH * max(1, NUMBERS // (BATCH * numbers))
    for i, end in pairwise([*range(start, stop, size), stop]):
        yield Draw(draw.problem, end - i, draw.N, noise={s: draw.noise(s)[i:end] for s in streams})
