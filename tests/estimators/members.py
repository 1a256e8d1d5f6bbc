"""Who takes the contract tests: every estimator of the catalogue, with its options at two values and more.

So do plug-ins that the environment names: ESTBENCH_CONTRACT="my.module:MyEstimator", or several with commas between.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from estbench import catalogue
from estbench.draws import Draw
from estbench.estimators.base import Estimator, Fitted, JointEstimator, RowEstimator
from estbench.objectives.base import Objective
from estbench.problem import Problem
from estbench.streams import Streams
from tests.problems import make

BERNOULLI = (0.4, -1.3, 0.8)
CATEGORICAL = ((0.3, -0.9, 0.5), (-0.2, 0.7, 0.1))


def variants(name: str) -> Iterator[dict[str, Any]]:
    """The default options, and each option at another value (all others of a choice)."""
    kind: Any = catalogue.estimator_class(name)
    yield {}
    for option in catalogue.option_names(kind):
        field = kind.__pydantic_fields__[option]
        for value in _others(field.annotation, field.get_default()):
            try:
                kind(**{option: value})
            except ValidationError:
                continue
            yield {option: value}


def _others(annotation: Any, default: Any) -> list[Any]:
    if get_origin(annotation) is Literal:
        return [value for value in get_args(annotation) if value != default]
    if get_args(annotation):
        return [other for part in get_args(annotation) for other in _others(part, default)]
    if annotation is bool:
        return [not default]
    if annotation is int:
        return [(default or 1) + 1]
    return [1.7 * default if default and not isinstance(default, str) else 0.3] if annotation is float else []


def build(name: str, options: dict[str, Any]) -> Estimator:
    """The estimator."""
    return catalogue.build(catalogue.estimator_class(name), options)


def objective(name: str, **options: Any) -> Objective:
    """An objective of the catalogue."""
    return catalogue.build(catalogue.objective_class(name), options)


def coupled_over_replicates(estimator: Estimator) -> bool:
    """Whether it reads other replicates of its shard, as a moving average does."""
    return estimator.facts.within_shard


def sizes(estimator: Estimator) -> range:
    """The N at which to look: the smallest, and two more where N is more than a number of independent rows."""
    N = estimator.facts.min_samples
    rows = isinstance(estimator, RowEstimator) and not coupled_over_replicates(estimator)
    return range(N, N + 1 if rows else N + 3)


def problems(estimator: Estimator, dtype: torch.dtype = torch.float64) -> list[Problem]:
    """A coupled, non-quadratic problem of every kind that the estimator serves."""
    facts = estimator.facts
    found = []
    for distribution, logits in (("bernoulli", BERNOULLI), ("categorical", CATEGORICAL)):
        if distribution in facts.distributions:
            cut = logits[: facts.max_variables] if facts.max_variables else logits
            found.append(make(objective("mlp", seed=3), torch.tensor(cut, dtype=dtype)))
    return found


def draw(problem: Problem, replicates: int, samples: int, seed: int = 0) -> Draw:
    """A Monte Carlo draw of one shard."""
    return Draw(problem, replicates, samples, streams=Streams(seed, "contract", range(1)))


def gradients(estimator: Estimator, of: Draw, samples: int | None = None) -> Tensor:
    """The estimates [R, D(, K)] from the first `samples` samples."""
    N = of.N if samples is None else samples
    if isinstance(estimator, RowEstimator):
        return estimator.rows(of)[:, :N].mean(1)
    assert isinstance(estimator, JointEstimator)
    return estimator.joint(of, N)


def where(holds: Callable[[Estimator], bool], cases: Sequence[Any]) -> list[Any]:
    """The cases of these whose estimator is such."""
    return [case for case in cases if holds(build(*case.values))]


def only_its_fit_differs(name: str, options: dict[str, Any]) -> bool:
    """Whether an option is of the fit alone: unfitted, every estimate has the bits that it has without the option."""
    plain, other = build(name, {}), build(name, options)
    if not options or not isinstance(other, Fitted) or plain.facts != other.facts:
        return False
    N = max(3, other.facts.min_samples)
    return all(
        torch.equal(*(gradients(estimator, draw(problem, 100, N)) for estimator in (plain, other)))
        for problem in problems(other)
    )


def plugins(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Those that the environment names."""
    return [name.strip() for name in environment.get("ESTBENCH_CONTRACT", "").split(",") if name.strip()]


ALL = [
    pytest.param(name, options, id=name + "".join(f"[{o}={v}]" for o, v in options.items()))
    for name in (*catalogue.ESTIMATORS, *plugins())
    for options in variants(name)
]

UNFITTED = [case for case in ALL if not only_its_fit_differs(*case.values)]  # type: ignore[arg-type] # its values
"""Those whose estimates differ before any fit: what holds for one of them holds for its twin with another fit."""
