"""An estimator called on draws that share some of their noise, which shows what its estimates depend on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from estbench.catalogue import facts_of
from estbench.draws import Draw
from estbench.estimators.base import Estimator, RowEstimator
from estbench.isolation import Isolated
from estbench.problem import Problem
from estbench.streams import Streams

REPLICATES = 48
"""Replicates of a draw."""

KEPT = 16
"""The first replicates, whose noise draws have in common; the size of a shard where replicates of one depend on each
other."""

MORE = 3
"""Samples of a draw beyond those of an estimate."""

SAME = 1e-9
"""Estimates that differ by less, relative to the largest, are the same: sums may be taken in another order."""

Edit = Callable[[Tensor, Tensor], Tensor]
"""Makes the noise of a draw of that of two others, all of the same shape."""


@dataclass(frozen=True, eq=False)
class Trial:
    """An estimator (`build` makes a new instance), a problem, and N samples of one estimate."""

    build: Callable[[], Estimator]
    problem: Problem
    samples: int

    def draw(
        self,
        stream: str = "a",
        *,
        replicates: int = REPLICATES,
        samples: int | None = None,
        over_replicates: Edit | None = None,
        over_samples: Edit | None = None,
    ) -> Draw:
        """A draw of the noise `stream`, or of what `over_replicates` or `over_samples` makes of it and of another one.

        They are given the noise of two whole draws, [R, …] or [R, N, …], and return that of the draw. `samples` are
        those of the draw, N + 3 by default; a draw of fewer has the first samples of the whole one.
        """
        whole = self.samples + MORE
        own = whole if samples is None else samples
        streams = _Edited(stream, replicates, whole, own, over_replicates, over_samples)
        return _Draw(self.problem, replicates, own, streams=streams, shard=self.shard(replicates))

    def shard(self, replicates: int) -> int:
        """The replicates of a shard: all of a draw, unless those of a shard depend on each other."""
        return KEPT if facts_of(self.build()).within_shard else replicates

    def each(self, draw: Draw, estimator: Estimator | None = None, seed: int = 0) -> Tensor:
        """What the estimator returns: rows [R, N, D(, K)], or estimates from the first N samples [R, D(, K)].

        `seed`: of the global generators, from which it should take nothing.
        """
        estimator = self.build() if estimator is None else estimator
        with Isolated("preflight", seed):
            if isinstance(estimator, RowEstimator):
                return estimator.rows(draw).detach()
            return estimator.joint(draw, self.samples).detach()  # type: ignore[attr-defined, no-any-return] # one or the other

    def of(self, problem: Problem) -> Trial:
        """The same of another problem."""
        return replace(self, problem=problem)


class _Draw(Draw):
    """A draw that tells its streams which noise is one per replicate."""

    def uniform(self, name: str, *shape: int, per_replicate: bool = False) -> Tensor:
        """As that of any draw."""
        assert isinstance(self._streams, _Edited)
        self._streams.per_replicate = per_replicate
        try:
            return super().uniform(name, *shape, per_replicate=per_replicate)
        finally:
            self._streams.per_replicate = False


class _Edited(Streams):
    """Streams whose noise is made by edits of that of two others, `stream` and `not stream`."""

    def __init__(
        self,
        stream: str,
        replicates: int,
        whole: int,
        own: int,
        over_replicates: Edit | None,
        over_samples: Edit | None,
    ) -> None:
        super().__init__(0, "preflight", range(1))
        self.per_replicate = False
        self._stream, self._replicates, self._whole, self._own = stream, replicates, whole, own
        self._over_replicates, self._over_samples = over_replicates, over_samples

    def uniform(
        self, name: str, rows: int, *shape: int, dtype: torch.dtype = torch.float64, reader: str = ""
    ) -> Tensor:
        """All replicates of the draw: [R, *shape]."""
        del rows, reader  # those of one shard; each stream is read once, from its beginning
        self.reads += 1
        of_samples = not self.per_replicate
        tail = (self._whole, *shape[1:]) if of_samples else shape
        total = self._replicates if self._over_replicates is None else REPLICATES
        a, b = (
            Streams(0, f"preflight/{stream}", range(1)).uniform(name, total, *tail, dtype=dtype)
            for stream in (self._stream, f"not {self._stream}")
        )
        if of_samples:
            a = (a if self._over_samples is None else self._over_samples(a, b))[:, : self._own]
            b = b[:, : self._own]
        return (a if self._over_replicates is None else self._over_replicates(a, b)).contiguous()


def same(a: Tensor, b: Tensor) -> bool:
    """Whether estimates are the same but for rounding."""
    if a.shape != b.shape:
        return False
    size = max((float(x.nan_to_num().abs().max()) for x in (a, b) if x.numel()), default=0.0)
    return torch.allclose(a, b, rtol=0.0, atol=SAME * size, equal_nan=True)
