"""What a config may say of a problem at given logits."""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import Annotated, Any

import torch
from pydantic import (
    Field,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.dataclasses import dataclass

from estbench import catalogue
from estbench.config.choice import DistributionChoice, ObjectiveChoice, read_distribution, read_objective
from estbench.config.explain import faults
from estbench.config.logits import STRICT, Logits, Row, fill, read_logits
from estbench.errors import UsageError
from estbench.isolation import reason
from estbench.objectives.base import unserved
from estbench.problem import Problem

MAX_LOGITS = 100_000

NO_CATEGORIES = "have no categories; drop the key, or say distribution: categorical"

Unsaid = WithJsonSchema({})  # the JSON schema of what is read by functions is written in `estbench.config.editor`


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ProblemConfig:
    """An objective of D variables at given logits."""

    distribution: Annotated[DistributionChoice, PlainValidator(read_distribution), Unsaid]
    dimensions: Annotated[int, Field(ge=1, le=MAX_LOGITS)] = 1
    categories: Annotated[int, Field(ge=2, le=MAX_LOGITS)] | None = None
    tie: bool = False
    logits: Annotated[Logits, PlainValidator(lambda value: value), Unsaid]
    objective: Annotated[ObjectiveChoice, PlainValidator(read_objective), Unsaid]

    @model_validator(mode="before")
    @classmethod
    def _infer(cls, data: Any) -> Any:
        """Explicit logits give the number of variables and of categories."""
        logits = data.get("logits") if isinstance(data, dict) else None
        if not isinstance(logits, list) or not logits:
            return data
        if one_hot(data.get("distribution")):
            row = logits[0] if isinstance(logits[0], list) else logits
            return {"dimensions": len(logits), **({"categories": len(row)} if len(row) > 1 else {}), **data}
        return {"dimensions": len(logits), **data}

    @field_validator("categories")
    @classmethod
    def _categories(cls, K: int | None, info: ValidationInfo) -> int | None:
        if K is not None and "distribution" in info.data and not one_hot(info.data["distribution"]):
            raise faults(((), f"{info.data['distribution'].name} variables {NO_CATEGORIES}"))
        return K

    @field_validator("logits")
    @classmethod
    def _logits(cls, value: Any, info: ValidationInfo) -> Logits:
        distribution, D, K, tie = (info.data.get(key) for key in ("distribution", "dimensions", "categories", "tie"))
        rows = None if distribution is None else one_hot(distribution)
        logits = read_logits(value, rows, D, K, tie)
        if rows and "categories" in info.data and K is None:
            wanted = "categories: K, or logits as rows of K ≥ 2 numbers"
            raise faults(((), f"{info.data['distribution'].name} variables need {wanted}"))
        if D and (count := math.prod(event_shape(D, K))) > MAX_LOGITS:
            raise faults(((), f"{count} logits are more than {MAX_LOGITS}; lower dimensions or categories"))
        if distribution is not None and D and tie is not None and "categories" in info.data:
            try:
                distribution.at(torch.tensor(fill(logits, event_shape(D, K), tie), dtype=torch.float64))
            except UsageError as error:  # logits that its options do not take
                raise faults(((), str(error))) from None
        return logits

    @field_validator("objective")
    @classmethod
    def _objective(cls, objective: ObjectiveChoice, info: ValidationInfo) -> ObjectiveChoice:
        if {"distribution", "dimensions", "categories", "logits"} <= info.data.keys():
            distribution, D, K = (info.data[key] for key in ("distribution", "dimensions", "categories"))
            if wrong := _misfit(_kinds(objective, distribution), objective, distribution, D, K):
                raise faults(((), wrong))
        return objective

    def all_logits(self) -> Row | tuple[Row, ...]:
        """The logits of all variables: D numbers, or D rows of K."""
        return fill(self.logits, self.event_shape, self.tie)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one sample: (D,), or (D, K) where it is one-hot."""
        return event_shape(self.dimensions, self.categories)


_TOY = TypeAdapter(ProblemConfig)


def read_toy(value: Any) -> ProblemConfig:
    """A problem at given logits from plain data; raises pydantic's ValidationError."""
    return _TOY.validate_json(json.dumps(value))


def one_hot(distribution: Any) -> bool:
    """Whether samples are one-hot, as far as what was given names a distribution."""
    if not isinstance(distribution, DistributionChoice):
        try:
            distribution = read_distribution(distribution)
        except ValidationError:
            return False
    return bool(distribution.event_dim == 2)  # only then a config says `categories`


def event_shape(D: int, K: int | None) -> tuple[int, ...]:
    """The shape of one sample of D variables, one-hot where they have K categories."""
    return (D,) if K is None else (D, K)  # read before there is a distribution to ask


def _kinds(objective: ObjectiveChoice, distribution: DistributionChoice) -> Any:
    """The classes that names stand for now: a class that is written anew is another one."""
    return (
        objective.given or catalogue.objective_class(objective.name),
        distribution.given or catalogue.distribution_class(distribution.name),
    )


@lru_cache(maxsize=4096)
def _misfit(kinds: Any, choice: ObjectiveChoice, distribution: DistributionChoice, D: int, K: int | None) -> str | None:
    """Why an objective cannot take samples of this kind and size, found by asking it for one value."""
    del kinds
    objective = choice.build()
    if why := unserved(objective, distribution.name, distribution.event_dim):
        return f"{choice.name} {why}"
    try:
        problem = Problem(distribution.at(torch.full(event_shape(D, K), 0.5, dtype=torch.float64)), objective)
        with catalogue.isolated(type(objective), dict(choice.options)):
            value = problem.f(problem.distribution.mode[None])
    except UsageError as error:
        return str(error)
    except Exception as error:  # a plug-in may raise anything
        return f"{choice.name} cannot be evaluated at a sample: {reason(error)}"
    return None if bool(value.isfinite().all()) else f"{choice.name} is {value.item():g} at a sample"
