"""The schema of configs: pydantic models with defaults, and checks of several keys at once."""

from __future__ import annotations

import json
import math
import re
from dataclasses import fields
from functools import lru_cache
from typing import Annotated, Any, Literal

import torch
from pydantic import (
    AfterValidator,
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

from estbench import catalog
from estbench.config.choice import (
    DistributionChoice,
    EstimatorChoice,
    Listed,
    ObjectiveChoice,
    Sorted,
    read_distribution,
    read_estimator,
    read_objective,
)
from estbench.config.complaint import Path
from estbench.config.explain import faults, shown
from estbench.config.logits import STRICT, Drawn, Logits, Normal, Row, fill, read_logits
from estbench.config.network import NetworkConfig, read_network_config
from estbench.errors import UsageError
from estbench.isolation import reason
from estbench.objectives.base import unserved
from estbench.problem import Problem

MAX_LOGITS = 100_000
MAX_ELEMENTS = 2**24

Method = Literal["exact", "monte_carlo"]
Replicates = Annotated[int, Field(ge=32, le=10**10)]
Samples = Annotated[int, Field(ge=1, le=MAX_ELEMENTS)]
Temperature = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Unsaid = WithJsonSchema({})  # the JSON schema of what is read by functions is written in `estbench.config.editor`
Estimator = Annotated[EstimatorChoice, PlainValidator(read_estimator), Unsaid]


def _folder(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        allowed = "letters, digits, '.', '_' and '-' that name a folder of results"
        raise faults(((), f"expected up to 100 {allowed}, got {shown(name)}; give the config a `name`"))
    return name


@dataclass(frozen=True, config=STRICT)
class Precision:
    """As many replicates as bring the relative standard error of a metric to `relative`, at most `max_replicates`."""

    relative: Annotated[float, Field(gt=0, lt=1)]
    metric: Literal["variance", "mse", "cosine"] = "variance"
    max_replicates: Annotated[int, Field(ge=1024, le=10**10)] = 10**7


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
        if _one_hot(data.get("distribution")):
            row = logits[0] if isinstance(logits[0], list) else logits
            return {"dimensions": len(logits), **({"categories": len(row)} if len(row) > 1 else {}), **data}
        return {"dimensions": len(logits), **data}

    @field_validator("categories")
    @classmethod
    def _categories(cls, K: int | None, info: ValidationInfo) -> int | None:
        if K is not None and "distribution" in info.data and not _one_hot(info.data["distribution"]):
            name: str = info.data["distribution"].name
            raise faults(((), f"{name} variables have no categories; drop the key, or say distribution: categorical"))
        return K

    @field_validator("logits")
    @classmethod
    def _logits(cls, value: Any, info: ValidationInfo) -> Logits:
        distribution, D, K, tie = (info.data.get(key) for key in ("distribution", "dimensions", "categories", "tie"))
        rows = None if distribution is None else _one_hot(distribution)
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
            if wrong := _misfit(objective, distribution, D, K):
                raise faults(((), wrong))
        return objective

    def all_logits(self) -> Row | tuple[Row, ...]:
        """The logits of all variables: D numbers, or D rows of K."""
        return fill(self.logits, self.event_shape, self.tie)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one sample: (D,), or (D, K) where it is one-hot."""
        return event_shape(self.dimensions, self.categories)


AnyProblem = ProblemConfig | NetworkConfig
_TOY = TypeAdapter(ProblemConfig)


def read_problem(value: Any) -> AnyProblem:
    """A problem of its `kind`, by default an objective at given logits; raises pydantic's ValidationError."""
    if isinstance(value, ProblemConfig | NetworkConfig):
        return value
    kind = value.get("kind", "toy") if isinstance(value, dict) else "toy"
    if kind == "network":
        return read_network_config(value)
    if kind != "toy":
        raise faults((("kind",), f"expected toy or network, got {shown(kind)}"))
    if isinstance(value, dict):
        value = {key: item for key, item in value.items() if key != "kind"}
    return _TOY.validate_json(json.dumps(value))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Config:
    """A whole benchmark: problems × estimators × temperatures × sample counts × methods."""

    name: Annotated[str, AfterValidator(_folder)]
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    precision: Precision | None = None
    replicates: Annotated[Replicates | None, Field(validate_default=True)] = None
    samples: Annotated[tuple[Samples, ...], Listed, Field(min_length=1), Sorted] = (1,)
    temperatures: Annotated[tuple[Temperature, ...], Listed, Sorted] = ()
    methods: Annotated[tuple[Method, ...], Listed, Field(min_length=1), Sorted] = ("exact", "monte_carlo")
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    delta: Annotated[float, Field(gt=0, lt=1)] = 0.01
    timings: bool = False
    problems: Annotated[tuple[Annotated[AnyProblem, PlainValidator(read_problem), Unsaid], ...], Field(min_length=1)]
    estimators: Annotated[tuple[Estimator, ...], Listed, Field(min_length=1)]

    @field_validator("replicates")
    @classmethod
    def _replicates(cls, replicates: int | None, info: ValidationInfo) -> int | None:
        """20000 unless a precision decides."""
        if info.data.get("precision") is None:
            return 20_000 if replicates is None else replicates
        if replicates is not None:
            raise faults(((), "give replicates or precision, not both: the one is fixed, the other decides it"))
        return None

    @field_validator("problems")
    @classmethod
    def _sizes(cls, problems: tuple[AnyProblem, ...], info: ValidationInfo) -> tuple[AnyProblem, ...]:
        N = max(info.data.get("samples", (1,)))
        wrong: list[tuple[Path, str]] = []
        if info.data.get("precision") is not None:
            wrong = [
                ((i,), "a network needs replicates, not a precision")
                for i, problem in enumerate(problems)
                if isinstance(problem, NetworkConfig)
            ]
        for i, problem in enumerate(problems):
            size = N * math.prod(problem.event_shape)
            if size > MAX_ELEMENTS:
                wrong.append(((i,), f"one estimate with N = {N} takes {size} random numbers; at most {MAX_ELEMENTS}"))
        if wrong:
            raise faults(*wrong)
        return problems

    @property
    def toys(self) -> tuple[ProblemConfig, ...]:
        """The problems at given logits."""
        return tuple(problem for problem in self.problems if isinstance(problem, ProblemConfig))

    @field_validator("estimators")
    @classmethod
    def _distinct(cls, estimators: tuple[EstimatorChoice, ...], info: ValidationInfo) -> tuple[EstimatorChoice, ...]:
        shared = info.data.get("temperatures", ())
        labels: dict[str, int] = {}
        variants: dict[str, int] = {}
        wrong: list[tuple[Path, str]] = []
        for j, b in enumerate(estimators):
            spec, own = b.spec, [each.id for each in b.specs(shared)]
            same = next((variants[variant] for variant in own if variant in variants), None)
            labelled = labels.setdefault(spec.label, j)
            if same is not None:
                wrong.append(((j,), f"is the same as estimators[{same}]; drop one of them"))
            elif (spec.name, spec.changed) != (estimators[labelled].spec.name, estimators[labelled].spec.changed):
                wrong.append(((j,), f"has the label {spec.label!r} of estimators[{labelled}]; give it another"))
            variants |= {variant: j for variant in own if variant not in variants}
        if wrong:
            raise faults(*wrong)
        return estimators


KEYS = {
    (): [f.name for f in fields(Config)],
    ("precision",): [f.name for f in fields(Precision)],
    ("problems",): [*(f.name for f in fields(ProblemConfig)), "kind", "sweep"],
    ("problems", "logits"): [f.name for f in fields(Drawn)],
    ("problems", "logits", "normal"): [f.name for f in fields(Normal)],
}
"""The keys allowed below a path, list indices left out."""


def _one_hot(distribution: Any) -> bool:
    """Whether samples are one-hot, as far as what was given names a distribution: only these have categories."""
    if not isinstance(distribution, DistributionChoice):
        try:
            distribution = read_distribution(distribution)
        except ValidationError:
            return False
    return bool(distribution.event_dim == 2)


def event_shape(D: int, K: int | None) -> tuple[int, ...]:
    """The shape of one sample of D variables, one-hot where they have K categories."""
    return (D,) if K is None else (D, K)


@lru_cache(maxsize=4096)
def _misfit(choice: ObjectiveChoice, distribution: DistributionChoice, D: int, K: int | None) -> str | None:
    """Why an objective cannot take samples of this kind and size, found by asking it for one value."""
    objective = choice.build()
    if why := unserved(objective, distribution.name, distribution.event_dim):
        return f"{choice.name} {why}"
    try:
        problem = Problem(distribution.at(torch.full(event_shape(D, K), 0.5, dtype=torch.float64)), objective)
        with catalog.isolated(type(objective), dict(choice.options)):
            value = problem.f(problem.distribution.mode[None])
    except UsageError as error:
        return str(error)
    except Exception as error:  # a plug-in may raise anything
        return f"{choice.name} cannot be evaluated at a sample: {reason(error)}"
    return None if bool(value.isfinite().all()) else f"{choice.name} is {value.item():g} at a sample"
