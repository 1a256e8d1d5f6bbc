"""The coefficients of control variates of joint estimates, for each number of samples."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor

from estbench.draws import MAIN, Draw
from estbench.estimators.shared.least_squares import Estimates
from estbench.estimators.shared.least_squares_in_pieces import in_pieces, least_squares_in_pieces

Fits = tuple[tuple[float, ...], ...]
"""Coefficients for each number of samples in `SIZES`."""

SIZES = (2, 3, 4, 6, 8, 12, 16, 24, 32)


def least_squares_by_size(estimate: Callable[[Draw, int, Sequence[float]], Tensor], draw: Draw, n: int) -> Fits:
    """`least_squares` of a joint estimate at each N of `SIZES`, from the same samples; f is not evaluated again."""

    def at(samples: Draw, N: int) -> Estimates:
        groups = regrouped(samples, N)
        return lambda c: estimate(groups, N, c)

    pieces = in_pieces(draw, (MAIN,), math.lcm(*SIZES))
    return least_squares_in_pieces((map(partial(at, piece), SIZES) for piece in pieces), n)


def at_size(fits: Fits, samples: int) -> tuple[float, ...]:
    """The coefficients of the largest of `SIZES` that is not above `samples`; of the last where not all were fitted."""
    return fits[min(bisect_right(SIZES, samples), len(fits)) - 1]


def regrouped(draw: Draw, N: int) -> Draw:
    """The same samples as replicates of N of them, without what is left over."""
    R = draw.R * draw.N // N

    def group(t: Tensor) -> Tensor:
        return t.flatten(0, 1)[: R * N].reshape(R, N, *t.shape[2:])

    groups = Draw(draw.problem, R, N, z=group(draw.z))
    vars(groups).update(fz=group(draw.fz), dfz=group(draw.dfz))  # known, so not asked for again
    return groups
