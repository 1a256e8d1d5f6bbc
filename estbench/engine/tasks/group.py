"""The estimator and the problem of a task, built once in each process."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from estbench import catalogue
from estbench.engine.purity import demand_purity
from estbench.estimate import truth
from estbench.estimators.base import Estimator
from estbench.isolation import Isolated
from estbench.objectives.base import Objective
from estbench.plan import EstimatorSpec, Options, ProblemSpec
from estbench.problem import Problem

RANDOM = "it makes random numbers of its own (ask the draw: draw.uniform(name, ...))"
"""Why an estimator of a user has no exact moments."""


@dataclass(frozen=True)
class Group:
    """The cells of one estimator: sample count → cell key; `fitted` are the fields of it that fitting has found."""

    of: EstimatorSpec
    cells: tuple[tuple[int, str], ...]
    fitted: Options = ()

    def estimator(self) -> Estimator:
        """The frozen estimator, shared by all who ask for it in this process."""
        return catalogue.estimator(self.of, self.fitted)

    @property
    def plugin(self) -> bool:
        """Whether the estimator is a user's."""
        return is_own(self.of)

    def runs_user_code(self, spec: ProblemSpec) -> bool:
        """Whether code of a user is run for its cells on that problem."""
        return self.plugin or has_user_code(spec)

    def isolated(self, spec: ProblemSpec, seed: int, *where: object) -> AbstractContextManager[object]:
        """The context of a call for its cells; its random numbers depend on the run's seed, on it, and on `where`."""
        return isolated(self.runs_user_code(spec), seed, spec.id, self.of.id, *where)


_OURS = nullcontext()


def isolated(user_code: bool, *entropy: object) -> AbstractContextManager[object]:
    """The context of a call: isolated if it runs code of a user."""
    return Isolated(*entropy) if user_code else _OURS


def problem_of(spec: ProblemSpec, device: str) -> Problem:
    """The problem of a spec, cached: its exact gradient is computed once in each process.

    Raises ImpureError where its objective is a user's and is no pure function.
    """
    return _problem(*_classes(spec), spec, device)


@lru_cache(maxsize=8)
def _problem(objective: type[Objective], distribution: Any, spec: ProblemSpec, device: str) -> Problem:
    del objective, distribution  # classes of another version of their source are other ones
    if has_user_code(spec):
        with Isolated("purity", spec.id):
            demand_purity(_made(spec, device))
    return _made(spec, device)


def own_problem(spec: ProblemSpec, device: str) -> Problem:
    """A new problem of a spec, which is not cached: code that writes into it changes nothing else."""
    problem_of(spec, device)
    return _made(spec, device)


def _classes(spec: ProblemSpec) -> tuple[type[Objective], Any]:
    f, distribution = spec.objective_given, spec.distribution_given
    return (
        catalogue.objective_class(spec.objective) if f is None else type(f.value),
        catalogue.distribution_class(spec.distribution) if distribution is None else type(distribution.value),
    )


def is_own(estimator: EstimatorSpec | None) -> bool:
    """Whether an estimator is a user's, by its name or as an object; None is the exact gradient."""
    return estimator is not None and (catalogue.is_plugin(estimator.name) or estimator.given is not None)


def has_user_code(spec: ProblemSpec) -> bool:
    """Whether the objective or the distribution of a problem is a user's."""
    named = catalogue.is_plugin(spec.objective) or catalogue.is_plugin(spec.distribution)
    return named or spec.objective_given is not None or spec.distribution_given is not None


def _made(spec: ProblemSpec, device: str) -> Problem:
    logits = torch.tensor(spec.logits, dtype=torch.float64, device=device)
    f = catalogue.objective(spec.objective, spec.objective_options, spec.objective_given)
    own = catalogue.distribution(spec.distribution, spec.distribution_options, logits, spec.distribution_given)
    return Problem(own, f, spec.tie)


def forget_problems() -> None:
    """Clear the cache of problems: an estimator has written into one of them."""
    _problem.cache_clear()
    _truth.cache_clear()


def truth_of(problem: Problem, group: Group) -> torch.Tensor | None:
    """The gradient that an estimator is measured against, cached: that of some takes a quadrature."""
    return _truth(problem, type(group.estimator()), group.of, group.fitted)


@lru_cache(maxsize=256)
def _truth(problem: Problem, kind: type[Estimator], of: EstimatorSpec, fitted: Options) -> torch.Tensor | None:
    del kind  # a class of another version of its source is another one
    return truth(problem, catalogue.estimator(of, fitted))


def keys(groups: Iterable[Group]) -> list[str]:
    """The keys of the cells of some groups."""
    return [key for group in groups for _, key in group.cells]


def apart(groups: Iterable[Group]) -> list[tuple[Group, ...]]:
    """Each group on its own; none if there is but one: nothing is left to part."""
    each: list[tuple[Group, ...]] = [(group,) for group in groups]
    return each if len(each) > 1 else []
