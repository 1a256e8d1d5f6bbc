"""Training of logits by one estimator, and what its estimates are like at the checkpoints of that training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from estbench import catalogue
from estbench.engine.limit import limited
from estbench.engine.purity import random_of_its_own
from estbench.engine.tasks.failure import Record, failures, reason
from estbench.engine.tasks.group import RANDOM, has_user_code, is_own, isolated, own_problem, problem_of
from estbench.estimators.base import evaluations
from estbench.exact import Unavailable
from estbench.exact.curl import curl
from estbench.plan import ProblemSpec, Training
from estbench.problem import Problem
from estbench.store import encode
from estbench.streams import Streams
from estbench.trainings.seeds import ESTIMATES, Numbers, exactly, sampled
from estbench.trainings.trajectory import Gradient, beginning, trajectory


@dataclass(frozen=True)
class Looked:
    """A cell: its step, its key, its method."""

    step: int
    key: str
    method: str


@dataclass(frozen=True)
class TrajectoryTask:
    """The training of all seeds by one estimator, or by the exact gradient, with what is measured on the way.

    It is trained up to the last of the `steps`, whose losses are recorded; `looked` are the cells at them. `spec` is a
    problem of this trajectory, `noise` what the noise of all its trainings depends on.
    """

    spec: ProblemSpec
    training: Training
    steps: tuple[int, ...]
    looked: tuple[Looked, ...]
    noise: str
    seed: int
    timeout: float | None = None

    def pieces(self) -> list[TrajectoryTask]:
        """None: it is one training."""
        return []

    def cells(self) -> list[str]:
        """The keys of its cells."""
        return [cell.key for cell in self.looked]

    @np.errstate(over="ignore", invalid="ignore")  # what is not finite is told by its records
    def perform(self) -> list[Record]:
        """A `trained` record for each step, a `seeds` record for each cell; else `failed` ones."""
        records: list[Record] = []
        try:
            with self._isolated("trajectory"), limited(self.timeout):
                for record in self._records():
                    records.append(record)
        except Exception as error:
            done = {record["key"] for record in records}
            return records + failures((key for key in self.cells() if key not in done), f"training: {reason(error)}")
        return records

    def _isolated(self, *where: object) -> AbstractContextManager[object]:
        """The context of the training, or within it of what is measured on the way, which does not change it."""
        own = has_user_code(self.spec) or is_own(self.training.by)
        return isolated(own, self.seed, self.training.id, *where)

    def _records(self) -> Iterator[Record]:
        problem = problem_of(self.spec, "cpu").at(beginning(self.spec, self.training))
        for step, here, gradient in trajectory(problem, self.training, self.steps, self.noise, self.seed):
            with self._isolated("losses", step):
                trained = self._trained(here, step)
            yield trained
            for cell in self.looked:
                if cell.step == step:
                    with self._isolated(cell.method, step):
                        measured = self._measured(here, gradient, cell)
                    yield {"kind": "seeds", "key": cell.key, **measured}

    def _trained(self, here: Problem, step: int) -> Record:
        g = here.exact_gradient
        assert g is not None  # its config has said so
        return {
            "kind": "trained",
            "key": f"{self.training.id}/{step}",
            "parameters": encode(here.distribution.logits[0].flatten().numpy()),
            "train": encode(here.mean_f.numpy()),
            "gradient": encode(torch.linalg.vector_norm(g, dim=-1).numpy()),
        }

    def _measured(self, problem: Problem, gradient: Gradient, cell: Looked) -> Record:
        assert self.training.by is not None
        assert self.spec.at is not None
        estimator = catalogue.estimator(self.training.by.at(self.training.done(cell.step)))
        N, D, K = self.training.samples, self.spec.dimensions, self.spec.classes
        f, df = (evaluations(count, D, K, N) for count in (estimator.facts.f, estimator.facts.df))
        if cell.method == "monte_carlo":
            streams = Streams(self.seed, f"{self.noise}/{cell.step}", range(1))
            return _record(sampled(problem, gradient, N, streams)) | {"f": f, "df": df, "estimates": ESTIMATES}
        try:
            if is_own(self.training.by) and random_of_its_own(self._own, estimator, N):
                raise Unavailable(RANDOM)
            found = exactly(problem, estimator, N)
        except Unavailable as why:
            return {"reason": str(why)}
        if self.spec.at.curl:
            with suppress(Unavailable):  # it takes the means at 2 P times as many logits
                found["curl"] = curl(problem, estimator, N)
        return _record(found) | {"f": f, "df": df, "estimates": 0}

    def _own(self) -> Problem:
        return own_problem(self.spec, "cpu")


def _record(found: Numbers) -> Record:
    """Number of seeds with finite estimates, and mean and standard deviation over these of each number."""
    finite = found["mse"].isfinite()
    means = {name: encode(_mean_and_deviation(x[finite])) for name, x in found.items()}
    return {"seeds": int(finite.sum()), "non_finite": int((~finite).sum()), "means": means}


def _mean_and_deviation(x: Tensor) -> list[float]:
    """Both NaN where there is too little for them."""
    return [float(x.mean()), float(x.std()) if len(x) > 1 else math.nan]
