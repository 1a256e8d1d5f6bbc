"""What a config may say: the models, their defaults, and the checks that look at several keys at once."""

from __future__ import annotations

import re
from dataclasses import fields
from functools import lru_cache
from typing import Annotated, Any, Literal

import torch
from pydantic import AfterValidator, Field, PlainValidator, ValidationInfo, field_validator, model_validator
from pydantic.dataclasses import dataclass

from estbench import catalog
from estbench.config.choice import (
    EstimatorChoice,
    Listed,
    ObjectiveChoice,
    Sorted,
    read_estimator,
    read_objective,
    temperatures_of,
)
from estbench.config.complaint import Path, listed
from estbench.config.explain import faults, shown
from estbench.config.logits import STRICT, Drawn, Logits, Normal, Row, fill, read_logits
from estbench.errors import UsageError
from estbench.problem import make

MAX_LOGITS = 100_000
MAX_ELEMENTS = 2**24

Method = Literal["exact", "monte_carlo"]
Replicates = Annotated[int, Field(ge=32, le=10**10)]
Samples = Annotated[int, Field(ge=1, le=MAX_ELEMENTS)]
Temperature = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Estimator = Annotated[EstimatorChoice, PlainValidator(read_estimator)]


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

    distribution: Literal["bernoulli", "categorical"]
    dimensions: Annotated[int, Field(ge=1, le=MAX_LOGITS)] = 1
    categories: Annotated[int, Field(ge=2, le=MAX_LOGITS)] | None = None
    tie: bool = False
    logits: Annotated[Logits, PlainValidator(lambda value: value)]
    objective: Annotated[ObjectiveChoice, PlainValidator(read_objective)]

    @model_validator(mode="before")
    @classmethod
    def _infer(cls, data: Any) -> Any:
        """Explicit logits give the number of variables and of categories."""
        logits = data.get("logits") if isinstance(data, dict) else None
        if not isinstance(logits, list) or not logits:
            return data
        if data.get("distribution") == "categorical":
            row = logits[0] if isinstance(logits[0], list) else logits
            return {"dimensions": len(logits), **({"categories": len(row)} if len(row) > 1 else {}), **data}
        return {"dimensions": len(logits), **data}

    @field_validator("categories")
    @classmethod
    def _categories(cls, K: int | None, info: ValidationInfo) -> int | None:
        if K is not None and info.data.get("distribution") == "bernoulli":
            raise faults(((), "Bernoulli variables have no categories; drop the key, or say distribution: categorical"))
        return K

    @field_validator("logits")
    @classmethod
    def _logits(cls, value: Any, info: ValidationInfo) -> Logits:
        distribution, D, K, tie = (info.data.get(key) for key in ("distribution", "dimensions", "categories", "tie"))
        logits = read_logits(value, distribution, D, K, tie)
        if distribution == "categorical" and "categories" in info.data and K is None:
            raise faults(((), "categorical variables need categories: K, or logits as rows of K ≥ 2 numbers"))
        if D and D * (K or 1) > MAX_LOGITS:
            raise faults(((), f"{D * (K or 1)} logits are more than {MAX_LOGITS}; lower dimensions or categories"))
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
        return fill(self.logits, self.dimensions, self.categories, self.tie)


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
    problems: Annotated[tuple[ProblemConfig, ...], Field(min_length=1)]
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
    def _sizes(cls, problems: tuple[ProblemConfig, ...], info: ValidationInfo) -> tuple[ProblemConfig, ...]:
        N = max(info.data.get("samples", (1,)))
        wrong: list[tuple[Path, str]] = []
        for i, problem in enumerate(problems):
            size = N * problem.dimensions * (problem.categories or 1)
            if size > MAX_ELEMENTS:
                wrong.append(((i,), f"one estimate with N = {N} takes {size} random numbers; at most {MAX_ELEMENTS}"))
        if wrong:
            raise faults(*wrong)
        return problems

    @field_validator("estimators")
    @classmethod
    def _distinct(cls, estimators: tuple[EstimatorChoice, ...], info: ValidationInfo) -> tuple[EstimatorChoice, ...]:
        shared = info.data.get("temperatures", ())
        wrong: list[tuple[Path, str]] = []
        for j, b in enumerate(estimators):
            for i, a in enumerate(estimators[:j]):
                if (a.name, a.options) != (b.name, b.options):
                    if a.label == b.label:
                        wrong.append(((j,), f"has the label {b.label!r} of estimators[{i}]; give it another"))
                elif set(temperatures_of(a, shared)) & set(temperatures_of(b, shared)):
                    wrong.append(((j,), f"is the same as estimators[{i}]; drop one of them"))
        if wrong:
            raise faults(*wrong)
        return estimators


KEYS = {
    (): [f.name for f in fields(Config)],
    ("precision",): [f.name for f in fields(Precision)],
    ("problems",): [*(f.name for f in fields(ProblemConfig)), "sweep"],
    ("problems", "logits"): [f.name for f in fields(Drawn)],
    ("problems", "logits", "normal"): [f.name for f in fields(Normal)],
}
"""The keys allowed below a path, list indices left out."""


@lru_cache(maxsize=4096)
def _misfit(choice: ObjectiveChoice, distribution: str, D: int, K: int | None) -> str | None:
    """Why an objective cannot take samples of this kind and size, found by asking it for one value."""
    kind: Any = catalog.objective_class(choice.name)
    objective = kind(**dict(choice.options))
    if distribution not in objective.distributions:
        return f"{choice.name} serves {listed(sorted(objective.distributions))} variables, not {distribution!r}"
    problem = make(objective, torch.zeros(D if K is None else (D, K), dtype=torch.float64))
    try:
        value = problem.f(problem.distribution.mode[None])
    except UsageError as error:
        return str(error)
    except Exception as error:  # a plug-in may raise anything
        return f"{choice.name} cannot be evaluated at a sample: {type(error).__name__}: {error}"
    if not isinstance(value, torch.Tensor) or value.shape != (1,):
        return f"{choice.name} must return one number for each sample, a tensor [...] of samples [..., {D}]"
    return None if bool(value.isfinite().all()) else f"{choice.name} is {value.item():g} at a sample"
