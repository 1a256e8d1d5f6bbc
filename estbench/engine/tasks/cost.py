"""The exact gradient of a problem, and evaluations of f and ∇f per estimate, counted before anything is sampled."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

from estbench.draws import Draw
from estbench.engine.limit import limited
from estbench.engine.purity import random_of_its_own
from estbench.engine.tasks.failure import Record, demand_finite, failures, reason
from estbench.engine.tasks.group import Group, apart, has_user_code, isolated, keys, own_problem, problem_of, truth_of
from estbench.estimate import estimates
from estbench.estimators.base import Estimator, Referenced
from estbench.plan import ProblemSpec
from estbench.problem import Evaluations, Problem
from estbench.rarity import rarest_event
from estbench.store import encode
from estbench.streams import Streams


@dataclass(frozen=True)
class CostTask:
    """What is known about a problem and its cells before anything is sampled.

    `problem`: the exact gradient, how it was found, and how seldom samples show the rarest effect on f. `cost`, for
    each cell: evaluations of f and ∇f for one estimate, counted on a draw of its own (sharing would hide them); whether
    it is declared unbiased; and the gradient it is measured against, where that is one of its own.
    """

    spec: ProblemSpec
    groups: tuple[Group, ...]
    seed: int
    device: str = "cpu"
    timeout: float | None = None

    def pieces(self) -> list[CostTask]:
        """The same for each group on its own; none if there is but one."""
        return [replace(self, groups=each) for each in apart(self.groups)]

    def cells(self) -> list[str]:
        """The keys of its cells."""
        return keys(self.groups)

    def perform(self) -> list[Record]:
        """One `problem` record, and a `cost` or a `failed` record for each cell."""
        try:
            with isolated(has_user_code(self.spec), self.spec.id), limited(self.timeout):
                problem = problem_of(self.spec, self.device)
                true = None if problem.exact_gradient is None else problem.exact_gradient.cpu().numpy()
                rarest = rarest_event(problem)
            if true is not None:
                demand_finite(true, "the exact gradient is not finite: the objective returns NaN or infinity")
        except Exception as error:
            return failures(self.cells(), reason(error))
        records: list[Record] = [{"kind": "problem", "key": self.spec.id, "route": problem.route}]
        records[0] |= {"true": None if true is None else encode(true), "rarest_event": rarest}
        for group in self.groups:
            try:
                with group.isolated(self.spec, self.seed, "cost"):
                    estimator = group.estimator()  # a plug-in is imported, which may take longer than a job
                    with limited(self.timeout):
                        own = problem
                        if group.plugin:
                            own = self._own()
                            random_of_its_own(self._own, estimator, group.cells[0][0])
                        records += self._costs(group, estimator, own)
            except Exception as error:
                records += failures((key for _, key in group.cells), reason(error))
        return records

    def _own(self) -> Problem:
        return own_problem(self.spec, self.device)

    def _costs(self, group: Group, estimator: Estimator, problem: Problem) -> list[Record]:
        records = []
        reference = truth_of(problem, group) if isinstance(estimator, Referenced) else None
        for N, same in itertools.groupby(group.cells, key=lambda cell: cell[0]):
            counted = evaluations(estimator, problem, N, self._streams())
            f, df = counted.f, counted.df
            cost: Record = {"kind": "cost", "f": f, "df": df, "unbiased": estimator.facts.unbiased}
            if reference is not None:
                cost["reference"] = encode(reference.cpu().numpy())
            records += [cost | {"key": key} for _, key in same]
        return records

    def _streams(self) -> Streams:
        return Streams(self.seed, f"{self.spec.id}/cost", range(1), self.device)


def evaluations(estimator: Estimator, problem: Problem, N: int, streams: Streams) -> Evaluations:
    """The evaluations of f and ∇f for one estimate from N samples, counted on a draw of its own."""
    counting = replace(problem, evaluations=Evaluations())
    estimates(estimator, Draw(counting, 1, N, streams=streams), [N])
    return counting.evaluations
