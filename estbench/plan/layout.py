"""How the replicates of a problem are cut into shards, jobs and blocks.

Sizes come from the config alone, never from the number of workers or of cores, so that no result depends on them.

Jobs are not made longer than their block: one takes some 40 ms, and to send it to another process and back 0.12 ms
(0.3 %), so that longer ones would save nothing, and let workers stand idle at the end. To a Dask cluster, where that
takes milliseconds, several are sent at once (`engine.cluster`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from estbench.plan.settings import Settings

BLOCK = 2**17
"""Random numbers in a block: what is computed at once, sized to stay in the cache of one core."""

DEVICE_BLOCK = 2**24
"""The same on an accelerator, which wants large batches."""

MIN_SHARDS = 16
"""The fewest shards: intervals from fewer are too wide to be of use."""

PILOT = 32
"""Shards of the first stage when a precision decides how many replicates there are."""


_RECORDED = ("shard_size", "shards_per_job", "block_rows")


@dataclass(frozen=True)
class Layout:
    """How the replicates of one problem are cut.

    Every cell gets `shards` shards of `shard_size` replicates (with a precision: those of the pilot). `stages` are the
    numbers of shards, each including those before, that the run had, or may have, at its ends: a job never reaches
    over the end of a stage, so that a run that grows has the jobs it had, and more. A job takes `shards_per_job`; it
    computes `block_rows` replicates of a shard at once, or, where these are all of the shard, all shards of the job.
    """

    shard_size: int
    shards: int
    stages: tuple[int, ...]
    shards_per_job: int
    block_rows: int

    @property
    def replicates(self) -> int:
        """The replicates that every cell gets: what was asked for, rounded up to whole shards."""
        return self.shard_size * self.shards

    def record(self) -> dict[str, Any]:
        """What of it is recorded, as JSON; `shards` follows from the config."""
        return {**{name: getattr(self, name) for name in _RECORDED}, "stages": list(self.stages)}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Layout:
        """The layout of a run from its record."""
        stages = tuple(record["stages"])
        return cls(**{name: record[name] for name in _RECORDED}, stages=stages, shards=stages[-1])

    def asked(self, config: Settings) -> Layout:
        """This layout with the `shards` that every cell of a config gets."""
        if config.precision is not None:
            return replace(self, shards=PILOT)
        assert config.replicates is not None
        return replace(self, shards=max(MIN_SHARDS, -(-config.replicates // self.shard_size)))

    def jobs(self) -> Iterator[tuple[int, int]]:
        """All jobs as (first shard, number of shards)."""
        for start, end in itertools.pairwise((0, *self.stages)):
            for first in range(start, end, self.shards_per_job):
                yield first, min(self.shards_per_job, end - first)


def layout_of(config: Settings, numbers: int, recorded: Layout | None, block: int = BLOCK) -> Layout:
    """The layout of a problem, one estimate of which takes `numbers` = N D K random numbers."""
    if config.precision is None:
        assert config.replicates is not None
        size = recorded.shard_size if recorded else shard_size(config.replicates)
        shards = max(MIN_SHARDS, -(-config.replicates // size))
        stages: tuple[int, ...] = (shards,)
    else:
        cap = config.precision.max_replicates
        size = recorded.shard_size if recorded else min(max(128, -(-cap // 2**14)), cap // PILOT)
        shards, stages = PILOT, tuple(sorted({PILOT, max(PILOT, cap // size)}))  # one, where the pilot is all
    if recorded:
        more = tuple(end for end in stages if end > recorded.stages[-1])
        return replace(recorded, shards=shards, stages=recorded.stages + more)
    rows = max(1, block // numbers)
    if size <= rows:
        return Layout(size, shards, stages, shards_per_job=rows // size, block_rows=size)
    blocks = -(-size // rows)
    return Layout(size, shards, stages, shards_per_job=1, block_rows=-(-size // blocks))


def one_job(config: Settings) -> Layout:
    """The layout of a problem whose shards are all made by one job: of a network."""
    assert config.replicates is not None
    size = shard_size(config.replicates)
    shards = max(MIN_SHARDS, -(-config.replicates // size))
    return Layout(size, shards, (shards,), shards_per_job=shards, block_rows=size)


def shard_size(replicates: int) -> int:
    """Replicates in a shard, so that there are about 64 shards, or about 32 below 5000 replicates.

    The divisor of `replicates` nearest to that number (in log, within a factor of 1.5) makes round numbers come out
    exactly; where there is none the last shard is filled up, and below 512 replicates there are 16.
    """
    aim, low, high = (64, 48, 96) if replicates >= 5000 else (32, 24, 48)
    divisors = [shards for shards in range(low, high + 1) if replicates % shards == 0 and replicates > shards]
    shards = min(divisors, key=lambda s: abs(math.log(s / aim)), default=aim if replicates >= 16 * aim else MIN_SHARDS)
    return -(-replicates // shards)
