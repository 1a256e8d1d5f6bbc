"""Exact moments."""

from __future__ import annotations

from dataclasses import dataclass, replace

from estbench.engine.exact import Unavailable, exact
from estbench.engine.limit import limited
from estbench.engine.tasks.failure import FAULTS, Record, failures, reason
from estbench.engine.tasks.group import Group, apart, keys, problem_of
from estbench.plan import ProblemSpec
from estbench.store import encode


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
        return [record for group in self.groups for N, key in group.cells for record in self._cell(group, N, key)]

    def _cell(self, group: Group, N: int, key: str) -> list[Record]:
        try:
            problem, estimator = problem_of(self.spec, "cpu"), group.estimator()
            with limited(self.timeout):
                x = exact(problem, estimator, N)
            found = {"moments": encode(x.packed), "route": x.route, "error": encode(x.error)}
            found["mean_error"] = encode(x.mean_error)
        except Unavailable as why:
            found = {"reason": str(why)}
        except FAULTS as error:
            return failures([key], reason(error))
        return [{"kind": "exact", "key": key, **found}]
