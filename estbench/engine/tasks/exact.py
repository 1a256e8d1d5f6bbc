"""Exact moments."""

from __future__ import annotations

from dataclasses import dataclass, replace

from estbench.engine.exact import Unavailable, exact
from estbench.engine.limit import limited
from estbench.engine.tasks.failure import FAULTS, Record, failures, reason
from estbench.engine.tasks.group import Group, problem_of
from estbench.plan import ProblemSpec
from estbench.store import encode


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
