"""Sampled gradients of a batch: replicates are copies of one network side by side, each with noise of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from estbench.moments import Floats, moments
from estbench.networks.base import Expect
from estbench.networks.gradients import copies, gradients
from estbench.trainings.exact import Batch


def shards(batch: Batch, expects: Iterable[Expect], replicates: int) -> Iterator[Floats]:
    """The packed record [1, 8 + 3P] of so many replicates of the gradient of a batch, for each of `expects`.

    It takes any network and any parameters: each replicate is a training step of its own, with noise by `expect`.
    """
    each = copies(batch.model, 0, replicates)
    x = batch.x.expand(replicates, -1, -1)
    y = None if batch.y is None else batch.y.expand(replicates, -1)
    for expect in expects:
        found = gradients(each, batch.kind, batch.part, x, y, expect)
        packed: Floats = moments(found.unsqueeze(0), batch.true).numpy()
        yield packed
