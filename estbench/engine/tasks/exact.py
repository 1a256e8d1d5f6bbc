"""Exact moments of the cells of one problem."""

from __future__ import annotations

from dataclasses import dataclass, replace

from estbench.engine.limit import limited
from estbench.engine.purity import ImpureError, random_of_its_own, writes
from estbench.engine.tasks.failure import Record, failures, reason
from estbench.engine.tasks.group import RANDOM, Group, apart, keys, own_problem, problem_of
from estbench.exact import Unavailable, exact
from estbench.plan import ProblemSpec
from estbench.problem import Problem
from estbench.store import encode
from estbench.tensor_versions import written


@dataclass(frozen=True)
class ExactTask:
    """Exact moments of groups of cells of one problem."""

    spec: ProblemSpec
    groups: tuple[Group, ...]
    timeout: float | None = None

    def pieces(self) -> list[ExactTask]:
        """The same for each cell on its own; none if there is but one."""
        single = [replace(group, cells=(cell,)) for group in self.groups for cell in group.cells]
        return [replace(self, groups=each) for each in apart(single)]

    def cells(self) -> list[str]:
        """The keys of its cells."""
        return keys(self.groups)

    def perform(self) -> list[Record]:
        """An `exact` record for each cell: its moments, or the reason why there are none."""
        return [record for group in self.groups for record in self._group(group)]

    def _group(self, group: Group) -> list[Record]:
        """The records of a group; what an estimator of a user keeps of the problem serves no other."""
        plugin = group.plugin
        try:
            problem = (own_problem if plugin else problem_of)(self.spec, "cpu")
        except Exception as error:
            return failures(keys([group]), reason(error))
        return [record for N, key in group.cells for record in self._cell(group, problem, N, key)]

    def _cell(self, group: Group, problem: Problem, N: int, key: str) -> list[Record]:
        try:
            with group.isolated(self.spec, 0, "exact"):
                estimator = group.estimator()
                with limited(self.timeout):
                    if group.plugin and random_of_its_own(self._own, estimator, N):
                        raise Unavailable(RANDOM)
                    x = exact(problem, estimator, N)
            if touched := [*written(problem), *written(problem.distribution)]:
                raise ImpureError(writes(estimator, touched))
            found = {"moments": encode(x.packed), "route": x.route, "error": encode(x.error)}
            found["mean_error"] = encode(x.mean_error)
        except Unavailable as why:
            found = {"reason": str(why)}
        except Exception as error:
            return failures([key], reason(error))
        return [{"kind": "exact", "key": key, **found}]

    def _own(self) -> Problem:
        return own_problem(self.spec, "cpu")
