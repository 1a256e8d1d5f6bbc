"""What a config may say of logits that estimators train, many seeds side by side."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PlainValidator, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from estbench import catalogue
from estbench.config.choice import DistributionChoice, Listed, ObjectiveChoice, Sorted
from estbench.config.explain import explain, faults
from estbench.config.logits import STRICT, Drawn, Normal
from estbench.config.problem import ProblemConfig, Unsaid, read_toy
from estbench.objectives.base import WithExpectation
from estbench.plan import classes_of

MAX_NUMBERS = 2**24
"""Logits of all seeds together."""

MAX_STATES = 2**12
"""Joint states over which E f(z) is summed for every seed at every step, where it has no closed form."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DescentConfig:
    """How logits are trained.

    optimiser  adam, or sgd without momentum; `learning_rate` is its
    steps      of the optimiser, each with one estimate of N samples a seed
    seeds      trainings side by side
    """

    optimiser: Literal["adam", "sgd"] = "adam"
    learning_rate: Annotated[float, Field(gt=0, le=1e6)] = 1e-2
    steps: Annotated[int, Field(ge=0, le=10**7)] = 2000
    seeds: Annotated[int, Field(ge=2, le=100_000)] = 1000


def _read_start(value: Any) -> ProblemConfig:
    if isinstance(value, dict) and "tie" in value:
        raise faults((("tie",), "the logits of a trajectory are not tied; drop the key"))
    return read_toy(value)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrajectoryConfig:
    """The logits of a problem, trained by each estimator and by the exact gradient, and looked at on the way.

    start        the problem at the logits where all seeds begin; drawn logits are drawn anew for each seed
    checkpoints  steps after which losses are recorded and gradients measured; by default the first and the last
    curl         whether to measure how far the mean of an estimator is from being a gradient (`exact.curl`)
    """

    kind: Literal["trajectory"] = "trajectory"
    start: Annotated[ProblemConfig, PlainValidator(_read_start), Unsaid]
    training: DescentConfig = DescentConfig()
    checkpoints: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Listed, Sorted] = ()
    curl: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if late := [step for step in self.checkpoints if step > self.training.steps]:
            said = f"step {late[0]} is after the end of the training; steps: {self.training.steps}"
            raise faults((("checkpoints",), said))
        start = self.start
        states = math.log2(classes_of(start.categories)) * start.dimensions
        if states > math.log2(MAX_STATES) and not _closed_form(start.objective, start.distribution):
            said = f"{start.objective.name} has no closed form of E f(z), and joint states are more than {MAX_STATES}"
            raise faults((("objective",), f"{said}, over which it would be summed at every step; take fewer variables"))
        count = self.training.seeds
        for size in self.event_shape:
            count *= size
        if count > MAX_NUMBERS:
            raise faults(
                (("training", "seeds"), f"{count} logits in all are more than {MAX_NUMBERS}; take fewer seeds")
            )
        return self

    @property
    def steps(self) -> tuple[int, ...]:
        """The checkpoints; where none are given, the beginning and the end of the training."""
        return self.checkpoints or tuple(sorted({0, self.training.steps}))

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one sample: (D,), or (D, K) where it is one-hot."""
        return self.start.event_shape


def _closed_form(objective: ObjectiveChoice, distribution: DistributionChoice) -> bool:
    """Whether E f(z) is known without a sum over all joint states."""
    return issubclass(catalogue.objective_class(objective.name), WithExpectation) and bool(
        catalogue.distribution_class(distribution.name).independent
    )


_OWN = [f.name for f in fields(TrajectoryConfig) if f.name != "start"]
_START = [f.name for f in fields(ProblemConfig) if f.name != "tie"]
TRAJECTORY_KEYS = {
    (): [*_START, *_OWN],
    ("start",): [*_START, *_OWN],
    ("start", "logits"): [f.name for f in fields(Drawn)],
    ("start", "logits", "normal"): [f.name for f in fields(Normal)],
    ("training",): [f.name for f in fields(DescentConfig)],
}
_TRAJECTORY = TypeAdapter(TrajectoryConfig)


def read_trajectory_config(value: Any) -> TrajectoryConfig:
    """A problem of kind `trajectory` from plain data; raises pydantic's ValidationError, with all that is wrong."""
    own = {key: item for key, item in value.items() if key in _OWN}
    data = own | {"start": {key: item for key, item in value.items() if key not in _OWN}}
    try:
        return _TRAJECTORY.validate_json(json.dumps(data))
    except ValidationError as error:
        wrong = explain(error, data, TRAJECTORY_KEYS)
        raise faults(*((path[1:] if path[:1] == ("start",) else path, text) for path, text in wrong)) from None
