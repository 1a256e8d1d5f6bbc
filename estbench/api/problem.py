"""The problem of an f and a distribution that Python code gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard, cast, get_args

from torch import Tensor

from estbench import catalogue
from estbench.api.entries import read_entry
from estbench.config.choice import read_objective
from estbench.distributions import Distribution
from estbench.engine.purity import ImpureError, demand_purity
from estbench.errors import UsageError
from estbench.isolation import Isolated, UserCodeError, reason
from estbench.objectives.base import Objective, unserved
from estbench.objectives.function import On, function_of, name_of
from estbench.objectives.training_mode import buffers_kept, in_training_mode
from estbench.problem import Problem

F = Callable[[Any], Any] | Objective | type[Objective] | str
"""An objective: any callable on samples, an objective or its class, or a selector such as `quadratic[target=0.45]`."""


def problem_of(f: F, distribution: Distribution, on: On | None = None) -> Problem:
    """The problem of an f and a distribution, in float64, whatever the type of the logits and with no graph behind it.

    UsageError for anything but a distribution, logits that are not finite, and an f that `objective_of` refuses.
    """
    if not isinstance(getattr(distribution, "logits", None), Tensor) or isinstance(distribution, type):
        raise UsageError(
            "distribution: expected estbench.Bernoulli(logits) or estbench.Categorical(logits), got "
            f"{distribution!r:.80}"
        )
    logits = distribution.logits.detach().clone().double()
    if not bool(logits.isfinite().all()):
        raise UsageError(f"{type(distribution).__name__}: expected finite logits, got {distribution.logits!r:.200}")
    distribution = distribution.with_logits(logits)
    return Problem(distribution, objective_of(f, distribution, on))


def objective_of(f: F, distribution: Distribution, on: On | None = None) -> Objective:
    """The objective that an f is, or is made into (`function_of`).

    UsageError where it does not serve the distribution, and where it is a function that is not pure: that answers
    otherwise when it is asked again, with other random numbers, or among other samples.
    """
    if on is not None and not (isinstance(on, str) and on in get_args(On)):
        raise UsageError(f"on: expected {', '.join(map(repr, get_args(On)))}, got {on!r:.80}")
    objective = read_entry(read_objective, f, "f").build() if isinstance(f, str) else f
    objective = objective() if isinstance(objective, type) else objective
    if hasattr(objective, "for_distribution"):  # a function that was named, and is called once for each form
        with buffers_kept(getattr(objective, "target", None)), Isolated("objective"):
            objective = objective.for_distribution(distribution)
    if is_objective(objective):
        if why := unserved(objective, distribution.name, distribution.event_dim):
            raise UsageError(f"f ({name_of(objective)}) {why}")
        if on not in (None, objective.on):
            raise UsageError(f"on={on!r}: f ({name_of(objective)}) is an objective, on {objective.on!r}")
        if type(objective) in catalogue.OBJECTIVES.values():
            return objective
    try:
        with buffers_kept(objective), Isolated("objective"):
            made = objective if is_objective(objective) else function_of(cast(Any, objective), distribution, on)
            try:
                demand_purity(Problem(_unbatched(distribution), made))
            except Exception as error:
                impure = isinstance(error, ImpureError)
                what = "is not a pure function of the sample" if impure else "cannot be evaluated"
                remedy = in_training_mode(objective)
                said = f"f ({name_of(objective)}) {what}: {reason(error)}"
                raise UsageError(f"{said}. {remedy}" if remedy else said) from error
    except UserCodeError as error:  # it ends the process, or replaces what all others use
        raise UsageError(f"f ({name_of(objective)}) cannot be evaluated: {error}") from error
    return made


def _unbatched(distribution: Distribution) -> Distribution:
    return distribution.with_logits(distribution.logits.reshape(-1, *distribution.event_shape)[0])


def is_objective(f: object) -> TypeGuard[Objective]:
    """Whether it has what an objective has, and is no mere function."""
    return all(hasattr(f, member) for member in ("on", "distributions", "value"))
