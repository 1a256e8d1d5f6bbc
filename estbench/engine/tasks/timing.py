"""The seconds that one estimate takes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

import torch

from estbench.draws import Draw
from estbench.engine.limit import limited
from estbench.engine.tasks.failure import Record, failures, reason
from estbench.engine.tasks.group import Group, apart, keys, own_problem, problem_of
from estbench.estimate import estimates
from estbench.estimators.base import Estimator, RowEstimator
from estbench.plan import ProblemSpec
from estbench.problem import Problem
from estbench.streams import Streams

_NUMBERS = 2**15
"""Random numbers in a timed block: enough that the time of a call is not that of its overhead alone."""

_TIMINGS = 3


@dataclass(frozen=True)
class TimingTask:
    """The seconds that an estimate of some cells takes on a block of its own, nothing shared: the median of three.

    An estimator of independent rows is timed once for all its N, as an estimate takes N times as long as a row; one
    whose samples are coupled is timed at each N.
    """

    spec: ProblemSpec
    groups: tuple[Group, ...]
    seed: int
    device: str = "cpu"
    timeout: float | None = None

    def pieces(self) -> list[TimingTask]:
        """The same for each group on its own; none if there is but one."""
        return [replace(self, groups=each) for each in apart(self.groups)]

    def cells(self) -> list[str]:
        """The keys of its cells."""
        return keys(self.groups)

    def perform(self) -> list[Record]:
        """A `timing` or a `failed` record for each cell."""
        return [record for group in self.groups for record in self._group(group)]

    def _group(self, group: Group) -> list[Record]:
        try:
            shared = own_problem if group.plugin else problem_of
            problem = shared(self.spec, self.device)
            with group.isolated(self.spec, self.seed, "timing"):
                estimator = group.estimator()
                with limited(self.timeout):
                    seconds = self._seconds(estimator, problem, sorted({N for N, _ in group.cells}))
        except Exception as error:
            return failures((key for _, key in group.cells), f"timing: {reason(error)}")
        return [{"kind": "timing", "key": key, "seconds": seconds[N]} for N, key in group.cells]

    def _seconds(self, estimator: Estimator, problem: Problem, samples: Sequence[int]) -> dict[int, float]:
        """Seconds of an estimate, by its N, of which `samples` are in order."""
        if isinstance(estimator, RowEstimator):
            of_row = self._timed(estimator, problem, samples[0]) / samples[0]
            return {N: N * of_row for N in samples}
        return {N: self._timed(estimator, problem, N) for N in samples}

    def _timed(self, estimator: Estimator, problem: Problem, N: int) -> float:
        rows = max(1, _NUMBERS // (N * self.spec.numbers))
        draw = Draw(problem, rows, N, streams=Streams(self.seed, f"{self.spec.id}/timing", range(1), self.device))
        estimates(estimator, draw, [N])  # makes the noise, and warms up
        seconds = []
        for _ in range(_TIMINGS):
            alone = draw.with_same_noise()
            self._wait()
            start = time.perf_counter()
            estimates(estimator, alone, [N])
            self._wait()
            seconds.append((time.perf_counter() - start) / rows)
        return median(seconds)

    def _wait(self) -> None:
        """Until all that was asked of an accelerator is done."""
        if self.device != "cpu":
            torch.cuda.synchronize()
