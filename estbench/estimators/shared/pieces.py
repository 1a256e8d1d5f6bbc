"""The draw of a fit in pieces, so that nothing is held that has a number for each replicate and parameter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from estbench.draws import Draw

HELD = 2**19
"""Numbers, about, in the samples of a piece: a fit holds some dozens of tensors as large, 4 megabytes each."""


def in_pieces(draw: Draw, streams: Sequence[str], multiple: int = 1) -> Iterator[Draw]:
    """The draw itself or, if its samples have more numbers than `HELD`, draws of some replicates after the others.

    These have the noise `streams` of the draw, and each but the last a multiple of `multiple` replicates.
    """
    of_one = draw.N * draw.problem.numbers
    if draw.R * of_one <= HELD:
        return iter((draw,))
    return draw.split(multiple * max(1, HELD // (multiple * of_one)), streams)
