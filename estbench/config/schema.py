"""The schema of configs: pydantic models with defaults, and checks of several keys at once."""

from __future__ import annotations

import math
import re
from dataclasses import fields
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, ValidationInfo, field_validator
from pydantic.dataclasses import dataclass

from estbench.config.choice import EstimatorChoice, Listed, Sorted, read_estimator
from estbench.config.complaint import Path
from estbench.config.explain import faults, shown
from estbench.config.logits import STRICT, Drawn, Normal
from estbench.config.network import NetworkConfig, read_network_config
from estbench.config.problem import ProblemConfig, Unsaid, read_toy
from estbench.config.trajectory import TrajectoryConfig, read_trajectory_config

MAX_ELEMENTS = 2**24

Method = Literal["exact", "monte_carlo"]
Replicates = Annotated[int, Field(ge=32, le=10**10)]
Samples = Annotated[int, Field(ge=1, le=MAX_ELEMENTS)]
Temperature = Annotated[float, Field(gt=0, allow_inf_nan=False)]
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


AnyProblem = ProblemConfig | NetworkConfig | TrajectoryConfig


def read_problem(value: Any) -> AnyProblem:
    """A problem of its `kind`, by default an objective at given logits; raises pydantic's ValidationError."""
    if isinstance(value, ProblemConfig | NetworkConfig | TrajectoryConfig):
        return value
    kind = value.get("kind", "toy") if isinstance(value, dict) else "toy"
    if kind == "network":
        return read_network_config(value)
    if kind == "trajectory":
        return read_trajectory_config(value)
    if kind != "toy":
        raise faults((("kind",), f"expected toy, network or trajectory, got {shown(kind)}"))
    if isinstance(value, dict):
        value = {key: item for key, item in value.items() if key != "kind"}
    return read_toy(value)


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
                ((i,), f"a {problem.kind} needs replicates, not a precision")
                for i, problem in enumerate(problems)
                if not isinstance(problem, ProblemConfig)
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
