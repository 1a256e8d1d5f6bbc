"""Gradients of the loss of a batch at a checkpoint of a training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch

from estbench import catalogue
from estbench.engine.limit import limited
from estbench.engine.purity import REPLICATES, random_of_its_own
from estbench.engine.tasks.failure import Record, demand_finite, failures, reason
from estbench.engine.tasks.group import RANDOM, Group, apart, has_user_code, isolated, keys
from estbench.engine.tasks.train import network_of
from estbench.estimators.base import Estimator, evaluations
from estbench.exact import Unavailable
from estbench.moments import Floats, gradient_in_span, in_span, record
from estbench.networks.base import draws_examples
from estbench.networks.data import Stamp, stamp
from estbench.plan import Layout, ProblemSpec
from estbench.store import decode, encode
from estbench.training.expected import measured
from estbench.trainings import drawn, exact, sampled
from estbench.trainings.loop import generator, initial, with_parameters

Batch = exact.Batch | drawn.Place

NOT_FINITE = (
    "the exact gradient, or its square, is not finite at this checkpoint: the training has diverged, or the network "
    "returns NaN or infinity"
)


@dataclass(frozen=True)
class NetworkTask:
    """Exact and sampled moments of some cells at a checkpoint, and what is known of the gradient there.

    `parameters` are those of the first seed, as the training has recorded them under the key `trained`. The batch is
    the first one of the training data. `methods` are those of the cells, by their keys.
    """

    spec: ProblemSpec
    groups: tuple[Group, ...]
    methods: tuple[tuple[str, str], ...]
    trained: str
    layout: Layout
    seed: int
    parameters: str = ""
    timeout: float | None = None

    def pieces(self) -> list[NetworkTask]:
        """The same for each group on its own; none if there is but one."""
        return [replace(self, groups=each) for each in apart(self.groups)]

    def cells(self) -> list[str]:
        """The keys of its cells."""
        return keys(self.groups)

    @np.errstate(over="ignore", invalid="ignore")  # what is not finite is told by its records
    def perform(self) -> list[Record]:
        """A `problem` record, and for each cell a `cost` and an `exact` or a `job` record, or a `failed` one."""
        try:
            with isolated(has_user_code(self.spec), self.seed, self.spec.id, "checkpoint"), limited(self.timeout):
                batch = batch_of(self.spec, self.parameters)
                true = batch.true.numpy()
                g = gradient_in_span(true, self.layout.shards)
            demand_finite(g, NOT_FINITE)
        except Exception as error:
            return failures(self.cells(), reason(error))
        assert self.spec.at is not None
        shared = None if self.spec.at.own else encode(g)
        known: Record = {"kind": "problem", "key": self.spec.id, "route": batch.route, "true": shared}
        records: list[Record] = [known | {"parameters": len(true)}]
        reference = {"reference": encode(g)} if self.spec.at.own else {}
        for group in self.groups:
            for N, key in group.cells:
                records += self._cell(batch, group, N, key, reference)
        return records

    def _cell(self, batch: Batch, group: Group, N: int, key: str, reference: Record) -> list[Record]:
        try:
            with group.isolated(self.spec, self.seed, "network", N), limited(self.timeout):
                estimator = self._estimator(group)
                f, df = (
                    evaluations(count, self.spec.dimensions, self.spec.classes, N)
                    for count in (estimator.facts.f, estimator.facts.df)
                )
                cost: Record = {"kind": "cost", "key": key, "f": f, "df": df, "unbiased": estimator.facts.unbiased}
                cost |= reference
                if dict(self.methods)[key] == "exact":
                    return [cost, {"kind": "exact", "key": key, **self._exact(batch, group, estimator, N)}]
                return [cost, self._sampled(batch, estimator, N, key)]
        except Exception as error:
            return failures([key], reason(error))

    def _estimator(self, group: Group) -> Estimator:
        """The estimator with what its annealed options are by then."""
        at = self.spec.at
        assert at is not None
        return catalogue.estimator(group.of.at(at.training.done(at.epoch)))

    def _exact(self, batch: Batch, group: Group, estimator: Estimator, N: int) -> Record:
        try:
            if isinstance(batch, drawn.Place):
                found = drawn.exact(batch, estimator)
                mean, variance, route, error, mean_error = (
                    found.mean,
                    found.variance,
                    "quadrature",
                    found.error,
                    found.mean_error,
                )
            else:
                if group.plugin and exact.why_not(batch, estimator) is None:
                    first = torch.zeros(REPLICATES, dtype=torch.long)  # an example of the batch, again and again
                    if random_of_its_own(lambda: exact.problem_at(batch, first), estimator, N):
                        raise Unavailable(RANDOM)
                bias, variance = exact.moments(batch, estimator, N)
                mean, route, error, mean_error = batch.true + bias, "enumeration", 0.0, 0.0
        except Unavailable as why:
            return {"reason": str(why)}
        packed = exact_record(mean.numpy(), variance, batch.true.numpy(), self.layout.shards + 2)
        return {"moments": encode(packed), "route": route, "error": encode(error), "mean_error": encode(mean_error)}

    def _sampled(self, batch: Batch, estimator: Estimator, N: int, key: str) -> Record:
        packed, _ = in_span(np.concatenate(list(self._shards(batch, estimator, N))), batch.true.numpy())
        return {"kind": "job", "key": f"{self.spec.id}/0", "cells": {key: {"moments": encode(packed)}}}

    def _shards(self, batch: Batch, estimator: Estimator, N: int) -> Iterator[Floats]:
        size = self.layout.shard_size
        noises = (self._generator("measured", shard) for shard in range(self.layout.shards))
        if not isinstance(batch, drawn.Place):
            expects = (partial(measured, estimator=estimator, samples=N, generator=noise) for noise in noises)
            return sampled.shards(batch, expects, size)
        examples = (self._generator("examples", shard) for shard in range(self.layout.shards))
        return (drawn.shard(batch, estimator, N, size, *each) for each in zip(examples, noises, strict=True))

    def _generator(self, of: str, shard: int) -> torch.Generator:
        return generator(self.seed, self.spec.id, of, shard)


def exact_record(mean: Floats, variance: float, true: Floats, width: int) -> Floats:
    """A record [1, 8 + 3 width] of the mean and the variance, in the span of both gradients as `in_span` has it."""
    size = float(np.linalg.norm(true))
    along = mean @ true / size if size > 0 else 0.0
    across = np.linalg.norm(mean - along * true / size) if size > 0 else np.linalg.norm(mean)
    first, second = np.zeros((1, width)), np.zeros((1, width))
    first[0, :2], second[0, -1] = (along, across), variance
    return record(first, second)


def batch_of(spec: ProblemSpec, parameters: str) -> Batch:
    """The first batch of the training data at a checkpoint, with its exact gradient.

    Of a network whose examples are drawn, that of the population: each replicate has a batch of new examples. It is
    kept as long as the class of the network and the data are the same.
    """
    assert spec.at is not None
    of: Any = catalogue.network_class(spec.objective)  # which mypy does not know to be hashable
    return _batch_of(of, stamp(spec.at.training.data), spec, parameters)


@lru_cache(maxsize=2)
def _batch_of(of: Any, now: Stamp, spec: ProblemSpec, parameters: str) -> Batch:
    del of, now
    at = spec.at
    assert at is not None
    network, images, kind = network_of(spec)
    model: Any = initial(network, images, kind, 1, 0)
    model = with_parameters(model, torch.from_numpy(decode(parameters, (-1,))))
    if draws_examples(network):
        return drawn.Place(model, kind, at.training.batch)
    x = images.train[: at.training.batch]
    y = None if images.train_labels is None else images.train_labels[: at.training.batch]
    return exact.Batch.of(model, kind, x, y, at.parameters)
