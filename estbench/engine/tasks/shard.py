"""Monte Carlo moments of gradient estimates, shard by shard."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce

import torch

from estbench.draws import Draw
from estbench.engine.limit import limited
from estbench.engine.purity import held, replaced, writes
from estbench.engine.tasks.failure import Record, failures, reason
from estbench.engine.tasks.group import Group, apart, forget_problems, keys, problem_of, truth_of
from estbench.estimate import estimates
from estbench.estimators.base import Estimator
from estbench.moments import merge, moments
from estbench.plan import Layout, ProblemSpec
from estbench.store import encode
from estbench.streams import Streams


@dataclass(frozen=True)
class ShardTask:
    """Monte Carlo moments of groups of cells of one problem over some shards.

    Small shards are computed at once; a shard of more than `layout.block_rows` replicates is computed block by block.
    """

    spec: ProblemSpec
    groups: tuple[Group, ...]
    seed: int
    samples: int
    layout: Layout
    first: int
    shards: int
    device: str = "cpu"
    timeout: float | None = None

    def pieces(self) -> list[ShardTask]:
        """The same for each group on its own; none if there is but one."""
        return [replace(self, groups=each) for each in apart(self.groups)]

    def cells(self) -> list[str]:
        """The keys of its cells."""
        return keys(self.groups)

    def perform(self) -> list[Record]:
        """A `job` record of all cells, and a `failed` record for each cell that failed."""
        cells: dict[str, Record] = {}
        failed: dict[str, str] = {}
        while not self._attempt(cells, failed):
            forget_problems()
            cells.clear()
        job: Record = {"kind": "job", "key": f"{self.spec.id}/{self.first}", "cells": cells}
        return [job] * bool(cells) + [record for key, why in failed.items() for record in failures([key], why)]

    def _attempt(self, cells: dict[str, Record], failed: dict[str, str]) -> bool:
        """Fill in the records of the cells that have not failed, and why others fail.

        False where an estimator has changed what others read too: it has failed, and all is to be done again.
        """
        try:
            problem = problem_of(self.spec, self.device)
        except Exception as error:
            failed |= dict.fromkeys(self.cells(), reason(error))
            return True
        streams = Streams(self.seed, self.spec.id, range(self.first, self.first + self.shards), self.device)
        found: dict[Group, list[torch.Tensor]] = {
            group: [] for group in self.groups if not any(key in failed for _, key in group.cells)
        }
        estimators: dict[Group, Estimator] = {}
        for number, rows in enumerate(self._rows()):
            draw = Draw(problem, self.shards * rows, self.samples, streams=streams, shard=rows)
            for group in sorted(found, key=lambda group: group.plugin):  # last, so that no other reads what they wrote
                before = held(draw, copies=group.plugin) if group.runs_user_code(self.spec) else None
                try:
                    with group.isolated(self.spec, self.seed, self.first, number):
                        if group not in estimators:
                            estimators[group] = group.estimator()
                        with limited(self.timeout):
                            found[group].append(self._moments(group, estimators[group], draw))
                except Exception as error:
                    failed |= {key: reason(error) for _, key in group.cells}
                    del found[group]
                if before is not None and (touched := [*draw.written(), *replaced(draw, before)]):
                    failed |= {key: writes(group.estimator(), touched) for _, key in group.cells}
                    return False
        for group, blocks in found.items():
            packed = reduce(merge, (block.cpu().numpy() for block in blocks))
            cells |= {key: {"moments": encode(m)} for (_, key), m in zip(group.cells, packed, strict=True)}
        return True

    def _rows(self) -> list[int]:
        """The replicates of each shard that are computed at once, block after block."""
        n, rows = self.layout.shard_size, self.layout.block_rows
        return [min(rows, n - start) for start in range(0, n, rows)]

    def _moments(self, group: Group, estimator: Estimator, draw: Draw) -> torch.Tensor:
        """Packed records [cells, shards, 8 + 3P], of all cells in one call: few estimates cost less than the calls."""
        x = estimates(estimator, draw, [N for N, _ in group.cells])  # [cells, R, P]
        true = truth_of(draw.problem, group)
        packed = moments(x.reshape(len(x) * self.shards, -1, x.shape[-1]), true)
        return packed.view(len(x), self.shards, -1)
