"""Fitting an estimator to a problem: coefficients of control variates, networks, baselines."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, fields, replace

from estbench.draws import Draw
from estbench.engine.limit import limited
from estbench.engine.tasks.failure import Record, failures, reason
from estbench.engine.tasks.group import Group, keys, own_problem, problem_of
from estbench.estimators.base import Fitted
from estbench.plan import ProblemSpec, fit_key
from estbench.problem import Evaluations
from estbench.streams import Streams


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
        return keys([self.group])

    def perform(self) -> list[Record]:
        """A `fit` record: the fitted fields, and the evaluations and seconds it cost; `failed` records otherwise."""
        streams = Streams(self.seed, f"{self.spec.id}/fit", range(1), self.device)
        start = time.perf_counter()
        try:
            shared = own_problem if self.group.runs_user_code(self.spec) else problem_of
            problem = replace(shared(self.spec, self.device), evaluations=Evaluations())
            with self.group.isolated(self.spec, self.seed, "fit"):
                estimator = self.group.estimator()
                assert isinstance(estimator, Fitted)
                draw = Draw(problem, estimator.n_fit, estimator.facts.min_samples, streams=streams)
                with limited(self.timeout):
                    frozen = estimator.fit(problem, draw)
            new = {f.name: getattr(frozen, f.name) for f in fields(frozen)}  # type: ignore[arg-type] # a dataclass, by contract
            old = {f.name: getattr(estimator, f.name) for f in fields(estimator)}  # type: ignore[arg-type] # likewise
            found = {name: value for name, value in new.items() if value != old[name]}
            json.dumps(found, allow_nan=False)  # a fit that found NaN, or no plain numbers, has failed
        except Exception as error:
            return failures(self.cells(), f"fit: {reason(error)}")
        counts = problem.evaluations
        record = {"kind": "fit", "key": fit_key(self.spec, self.group.of), "fields": found}
        return [record | {"f": counts.f, "df": counts.df, "seconds": time.perf_counter() - start}]
