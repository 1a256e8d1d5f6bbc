"""What tasks are about: a problem, and the cells of one estimator on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from estbench import catalog
from estbench.engine.estimate import truth
from estbench.estimators.base import Estimator
from estbench.plan import ProblemSpec
from estbench.problem import Problem

Options = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Group:
    """The cells of one estimator with its options (the temperature among them): sample count → cell key.

    `id` is a hash of the estimator; `fitted` are the numbers of its fields that fitting has found.
    """

    id: str
    name: str
    options: Options
    cells: tuple[tuple[int, str], ...]
    fitted: Options = ()

    def estimator(self) -> Estimator:
        """The frozen estimator, kept as long as it is in use: some solve for constants once."""
        return _estimator(self.name, self.options, self.fitted)


@lru_cache(maxsize=1024)
def _estimator(name: str, options: Options, fitted: Options) -> Estimator:
    return catalog.build(catalog.estimator_class(name), dict(options) | dict(fitted))


@lru_cache(maxsize=8)
def problem_of(spec: ProblemSpec, device: str) -> Problem:
    """The problem of a spec, kept: its oracle constants are computed once in each process."""
    objective = catalog.build(catalog.objective_class(spec.objective), dict(spec.objective_options))
    logits = torch.tensor(spec.logits, dtype=torch.float64, device=device)
    distribution = catalog.distribution_class(spec.distribution)(logits, **dict(spec.distribution_options))
    return Problem(distribution, objective, spec.tie)


@lru_cache(maxsize=256)
def truth_of(spec: ProblemSpec, group: Group, device: str) -> torch.Tensor | None:
    """The truth of a group, kept: one of its own may take a quadrature."""
    return truth(problem_of(spec, device), group.estimator())


def keys(groups: Iterable[Group]) -> list[str]:
    """The keys of the cells of some groups."""
    return [key for group in groups for _, key in group.cells]


def apart(groups: Iterable[Group]) -> list[tuple[Group, ...]]:
    """Each group on its own; none if there is but one: nothing is left to part."""
    each: list[tuple[Group, ...]] = [(group,) for group in groups]
    return each if len(each) > 1 else []
