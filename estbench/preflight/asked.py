"""The steps of a check, each of one problem or one estimator; any process can do them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan

from estbench.catalogue import facts_of
from estbench.engine.limit import is_limit
from estbench.engine.tasks import CostTask, Group, TimingTask, problem_of
from estbench.engine.tasks.group import has_user_code, isolated, own_problem
from estbench.plan import ProblemSpec
from estbench.preflight import claims
from estbench.preflight.claims import Answer, Mean
from estbench.preflight.objective import Answer as OfObjective
from estbench.preflight.objective import answers
from estbench.preflight.problems import named, own_problems, served
from estbench.preflight.unbiasedness import Sampled, sampled
from estbench.problem import Problem


@dataclass(frozen=True)
class Place:
    """An estimator on a problem: that of a plan's `spec`, or without one the check's own of that number."""

    group: Group
    spec: ProblemSpec | None
    number: int = 0

    @property
    def user_code(self) -> bool:
        """Whether code of a user is called there."""
        return self.group.plugin if self.spec is None else self.group.runs_user_code(self.spec)

    @property
    def label(self) -> str:
        """What the estimator is called."""
        return self.group.of.label

    @property
    def text(self) -> str:
        """What the problem is called."""
        return self.spec.label if self.spec is not None else named(own_problems()[self.number])

    def problem(self) -> Problem:
        """The problem: a new one for code of users, which may write into it."""
        if self.spec is None:
            return own_problems()[self.number]
        return own_problem(self.spec, "cpu") if self.user_code else problem_of(self.spec, "cpu")


@dataclass(frozen=True)
class Costs:
    """What one estimate of a group's cells costs.

    `failed`: why cells cannot be had, one reason each. `samples`: the N of those that can, whose declared cost is true
    or not (`cost`), and `seconds` the time of an estimate, by cell key: NaN where it was not measured, as it took too
    long.
    """

    failed: Sequence[str]
    samples: tuple[int, ...]
    cost: Answer
    seconds: Mapping[str, float]


def route(spec: ProblemSpec) -> str:
    """How the exact gradient of a problem is found; raises what making the problem raises."""
    with isolated(has_user_code(spec), "preflight", spec.id):
        return problem_of(spec, "cpu").route


def of_objective(spec: ProblemSpec) -> list[OfObjective]:
    """What is found of the claims of its objective."""
    with isolated(has_user_code(spec), "preflight", spec.id):
        return list(answers(problem_of(spec, "cpu")))


def costs(spec: ProblemSpec, group: Group, seed: int) -> Costs:
    """The costs of the cells of an estimator on a problem."""
    records = CostTask(spec, (group,), seed).perform()
    timed = TimingTask(spec, (group,), seed).perform()
    counted = {r["key"]: (r["f"], r["df"]) for r in records if r["kind"] == "cost"}
    samples = tuple(sorted({N for N, key in group.cells if key in counted}))
    answer = claims.cost(problem_of(spec, "cpu"), group, counted) if samples else (None, "")
    failed = {r["key"]: r["reason"] for r in records if r["kind"] == "failed"}
    unmeasured = {key: nan for _, key in group.cells if key in counted or is_limit(failed.get(key, ""))}
    seconds = unmeasured | {r["key"]: r["seconds"] for r in timed if r["kind"] == "timing"}
    return Costs(list(failed.values()), samples, answer, seconds)


def purity(place: Place) -> Answer:
    """Whether the estimator is a pure function of its draw."""
    return claims.purity(place.problem(), place.group)


def means(place: Place, samples: Sequence[int]) -> list[Mean]:
    """What is known of its mean at these N."""
    estimator = place.group.estimator()
    problem = place.problem()
    if place.spec is None and not served(problem, facts_of(estimator)):
        return []
    return list(claims.means(problem, estimator, samples))


def again(place: Place, N: int) -> Sampled:
    """A second sample of its estimates."""
    return sampled(place.problem(), place.group.estimator(), N, stage=2)
