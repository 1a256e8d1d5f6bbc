"""Tasks: pieces of work that any process can do from their description alone, and that answer in records."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import lru_cache, reduce
from hashlib import sha256
from statistics import median
from typing import Any

import numpy as np
import torch

from estbench import catalog
from estbench.draws import Draw, Streams
from estbench.engine.estimate import estimates, truth
from estbench.engine.exact import Unavailable, exact
from estbench.engine.limit import limited
from estbench.estimators.base import Estimator, Fitted, Referenced
from estbench.moments import merge, moments
from estbench.plan import Layout, ProblemSpec
from estbench.problem import Evaluations, Problem, make
from estbench.store import encode

Record = dict[str, Any]
Options = tuple[tuple[str, Any], ...]
_TIMINGS = 3


@dataclass(frozen=True)
class Group:
    """The cells of one estimator with its options (the temperature among them): sample count → cell key.

    `fitted` are the numbers of its fields that fitting has found.
    """

    name: str
    options: Options
    cells: tuple[tuple[int, str], ...]
    fitted: Options = ()

    def estimator(self) -> Estimator:
        """The frozen estimator, kept as long as it is in use: some solve for constants once."""
        return _estimator(self.name, self.options, self.fitted)

    @property
    def id(self) -> str:
        """A hash of what it is, whatever its cells."""
        return sha256(repr((self.name, self.options)).encode()).hexdigest()[:16]


@lru_cache(maxsize=1024)
def _estimator(name: str, options: Options, fitted: Options) -> Estimator:
    return catalog.build(catalog.estimator_class(name), dict(options) | dict(fitted))


@lru_cache(maxsize=8)
def problem_of(spec: ProblemSpec, device: str) -> Problem:
    """The problem of a spec, kept: its oracle constants are computed once in each process."""
    objective = catalog.build(catalog.objective_class(spec.objective), dict(spec.objective_options))
    return make(objective, torch.tensor(spec.logits, dtype=torch.float64, device=device), spec.tie)


FAULTS = (Exception, SystemExit)
"""What an estimator or an objective may raise."""


def reason(error: BaseException) -> str:
    """An error as the reason why a cell failed: on one line, and nothing in it that a terminal would obey."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return "".join(c for c in text if c.isprintable())[:500]


def failures(keys: Iterable[str], why: str) -> list[Record]:
    """A `failed` record for each of these cells."""
    return [{"kind": "failed", "key": key, "reason": why} for key in keys]


@lru_cache(maxsize=256)
def truth_of(spec: ProblemSpec, group: Group, device: str) -> torch.Tensor | None:
    """The truth of a group, kept: one of its own may take a quadrature."""
    return truth(problem_of(spec, device), group.estimator())


@dataclass(frozen=True)
class CostTask:
    """What is known about a problem and its cells before anything is sampled.

    `problem`: the exact gradient and how it was found. `cost`, for each cell: evaluations of f and ∇f for one estimate,
    counted on a draw of its own (sharing would hide them); the seconds an estimate takes when nothing is shared, the
    median over some draws of `replicates` (0: not timed); and the gradient it is measured against, where that is one of
    its own.
    """

    spec: ProblemSpec
    groups: tuple[Group, ...]
    seed: int
    replicates: int
    device: str = "cpu"
    timeout: float | None = None

    def pieces(self) -> list[CostTask]:
        """The same for each group on its own; none if there is but one."""
        return [replace(self, groups=(group,)) for group in self.groups] if len(self.groups) > 1 else []

    def cells(self) -> list[str]:
        """The keys of its cells."""
        return [key for group in self.groups for _, key in group.cells]

    def perform(self) -> list[Record]:
        """One `problem` record, and a `cost` or a `failed` record for each cell."""
        try:
            problem = problem_of(self.spec, self.device)
            with limited(self.timeout):
                true = None if problem.true is None else problem.true.cpu().numpy()
            if true is not None and not np.isfinite(true).all():
                raise FloatingPointError("the exact gradient is not finite: the objective returns NaN or infinity")
        except FAULTS as error:
            return failures(self.cells(), reason(error))
        records: list[Record] = [{"kind": "problem", "key": self.spec.id, "route": problem.route}]
        records[0]["true"] = None if true is None else encode(true)
        for group in self.groups:
            try:
                group.estimator()  # a plug-in is imported, which may take longer than a job
                with limited(self.timeout):
                    records += self._costs(group, problem)
            except FAULTS as error:
                records += failures((key for _, key in group.cells), reason(error))
        return records

    def _costs(self, group: Group, problem: Problem) -> list[Record]:
        records = []
        own = isinstance(group.estimator(), Referenced)
        reference = truth_of(self.spec, group, self.device) if own else None
        for N, keys in itertools.groupby(group.cells, key=lambda cell: cell[0]):
            f, df = self._evaluations(group.estimator(), problem, N)
            cost = {"kind": "cost", "f": f, "df": df, "seconds": None}
            if self.replicates:
                cost["seconds"] = self._seconds(group.estimator(), problem, N)
            if reference is not None:
                cost["reference"] = encode(reference.cpu().numpy())
            records += [cost | {"key": key} for _, key in keys]
        return records

    def _evaluations(self, estimator: Estimator, problem: Problem, N: int) -> tuple[int, int]:
        counting = replace(problem, evaluations=Evaluations())
        streams = Streams(self.seed, f"{self.spec.id}/cost", range(1), self.device)
        estimates(estimator, Draw(counting, 1, N, streams=streams), [N])
        return counting.evaluations.f, counting.evaluations.df

    def _seconds(self, estimator: Estimator, problem: Problem, N: int) -> float:
        streams = Streams(self.seed, f"{self.spec.id}/cost", range(1), self.device)
        rows = max(1, self.replicates // N)
        draw = Draw(problem, rows, N, streams=streams)
        estimates(estimator, draw, [N])  # makes the noise, and warms up
        seconds = []
        for _ in range(_TIMINGS):
            alone = draw.again()
            start = time.perf_counter()
            estimates(estimator, alone, [N])
            if self.device != "cpu":
                torch.cuda.synchronize()
            seconds.append((time.perf_counter() - start) / rows)
        return median(seconds)


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
        return [replace(self, groups=(group,)) for group in self.groups] if len(self.groups) > 1 else []

    def cells(self) -> list[str]:
        """The keys of its cells."""
        return [key for group in self.groups for _, key in group.cells]

    def perform(self) -> list[Record]:
        """A `job` record of all cells, and a `failed` record for each cell that failed."""
        try:
            problem = problem_of(self.spec, self.device)
        except FAULTS as error:
            return failures(self.cells(), reason(error))
        streams = Streams(self.seed, self.spec.id, range(self.first, self.first + self.shards), self.device)
        found: list[list[torch.Tensor]] = [[] for _ in self.groups]
        failed: dict[str, str] = {}
        for rows in self._rows():
            draw = Draw(problem, self.shards * rows, self.samples, streams=streams, shard=rows)
            for group, blocks in zip(self.groups, found, strict=True):
                if any(key in failed for _, key in group.cells):
                    continue
                try:
                    group.estimator()
                    with limited(self.timeout):
                        blocks.append(self._moments(group, draw))
                except FAULTS as error:
                    failed |= {key: reason(error) for _, key in group.cells}
        cells: dict[str, Record] = {}
        for group, blocks in zip(self.groups, found, strict=True):
            if not any(key in failed for _, key in group.cells):
                packed = reduce(merge, (block.cpu().numpy() for block in blocks))
                cells |= {key: {"moments": encode(m)} for (_, key), m in zip(group.cells, packed, strict=True)}
        job: Record = {"kind": "job", "key": f"{self.spec.id}/{self.first}", "cells": cells}
        return [job] * bool(cells) + [record for key, why in failed.items() for record in failures([key], why)]

    def _rows(self) -> list[int]:
        """The replicates of each shard that are computed at once, block after block."""
        n, rows = self.layout.shard_size, self.layout.block_rows
        return [min(rows, n - start) for start in range(0, n, rows)]

    def _moments(self, group: Group, draw: Draw) -> torch.Tensor:
        """Packed records [cells, shards, 10 + 3P], of all cells in one call: few estimates cost less than the calls."""
        x = estimates(group.estimator(), draw, [N for N, _ in group.cells])  # [cells, R, P]
        true = truth_of(self.spec, group, self.device)
        packed = moments(x.reshape(len(x) * self.shards, -1, x.shape[-1]), true)
        return packed.view(len(x), self.shards, -1)


@dataclass(frozen=True)
class FitTask:
    """The fitting of one group, on a stream of its own."""

    spec: ProblemSpec
    group: Group
    seed: int
    device: str = "cpu"
    timeout: float | None = None

    def pieces(self) -> list[FitTask]:
        """None: it is one fit."""
        return []

    def cells(self) -> list[str]:
        """The keys of its cells."""
        return [key for _, key in self.group.cells]

    def perform(self) -> list[Record]:
        """A `fit` record: the fitted fields, and the evaluations and seconds it cost; `failed` records otherwise."""
        streams = Streams(self.seed, f"{self.spec.id}/fit", range(1), self.device)
        start = time.perf_counter()
        try:
            problem = replace(problem_of(self.spec, self.device), evaluations=Evaluations())
            estimator = self.group.estimator()
            assert isinstance(estimator, Fitted)
            draw = Draw(problem, estimator.n_fit, estimator.facts.min_samples, streams=streams)
            with limited(self.timeout):
                frozen = estimator.fit(problem, draw)
            new = {f.name: getattr(frozen, f.name) for f in fields(frozen)}  # type: ignore[arg-type] # a dataclass, by contract
            old = {f.name: getattr(estimator, f.name) for f in fields(estimator)}  # type: ignore[arg-type] # likewise
            found = {name: value for name, value in new.items() if value != old[name]}
            json.dumps(found, allow_nan=False)  # a fit that found NaN, or no plain numbers, has failed
        except FAULTS as error:
            return failures(self.cells(), f"fit: {reason(error)}")
        counts = problem.evaluations
        record = {"kind": "fit", "key": f"{self.spec.id}/{self.group.id}", "fields": found}
        return [record | {"f": counts.f, "df": counts.df, "seconds": time.perf_counter() - start}]


@dataclass(frozen=True)
class ExactTask:
    """Exact moments of one group of cells."""

    spec: ProblemSpec
    group: Group
    timeout: float | None = None

    def pieces(self) -> list[ExactTask]:
        """The same for each cell on its own; none if there is but one."""
        cells = self.group.cells
        return [replace(self, group=replace(self.group, cells=(c,))) for c in cells] if len(cells) > 1 else []

    def cells(self) -> list[str]:
        """The keys of its cells."""
        return [key for _, key in self.group.cells]

    def perform(self) -> list[Record]:
        """An `exact` record for each cell: its moments, or the reason why there are none."""
        records = []
        for N, key in self.group.cells:
            try:
                problem, estimator = problem_of(self.spec, "cpu"), self.group.estimator()
                with limited(self.timeout):
                    x = exact(problem, estimator, N)
                found = {"moments": encode(x.packed), "route": x.route, "error": encode(x.error)}
            except Unavailable as why:
                found = {"reason": str(why)}
            except FAULTS as error:
                records += failures([key], reason(error))
                continue
            records.append({"kind": "exact", "key": key, **found})
        return records


Task = CostTask | FitTask | ExactTask | ShardTask
