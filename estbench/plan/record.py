"""A plan as JSON, in the manifest of a run: tables that refer to each other by index, one row per entry.

    problems    one object each: the fields of `ProblemSpec` but for the logits, and what trains, which the config has
    estimators  one object each: the fields of `EstimatorSpec` but for id and temperature
    variants    one `EstimatorSpec` each: [id, index of the estimator, temperature or null, unbiased or null]
    cells       [key, index of the problem, index of the variant, N, method, reason why it is skipped or null]
    layout      by problem id: how the replicates are cut (see `Layout`)

With these a run is read without the code that made it: no estimator, objective or plug-in is imported.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from estbench.errors import ResultsError
from estbench.plan.layout import Layout
from estbench.plan.settings import Settings
from estbench.plan.spec import Cell, Checkpoint, EstimatorSpec, Options, Plan, ProblemSpec, Training

Json = dict[str, Any]

_STRICT = ConfigDict(strict=True, extra="ignore")
_Index = Annotated[int, Field(ge=0)]
_Count = Annotated[int, Field(ge=1, le=2**53)]
_Temperature = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, config=_STRICT)
class _Training:
    id: str
    kind: Literal["network", "trajectory"]
    data: str
    trained_by: str
    samples: _Count
    epochs: Annotated[int, Field(ge=0, le=2**31)]
    batch: _Count
    optimiser: Annotated[str, Field(validation_alias=AliasChoices("optimiser", "optimizer"))]  # so older runs say
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    seeds: _Count
    subject: str = ""
    importance_samples: _Count | None = None


@dataclass(frozen=True, config=_STRICT)
class _Checkpoint:
    training: _Training
    epoch: Annotated[int, Field(ge=0, le=2**31)]
    parameters: str
    own: bool = False
    curl: bool = False


@dataclass(frozen=True, config=_STRICT)
class _Problem:
    id: str
    label: str
    objective: str
    objective_text: str
    objective_options: dict[str, Any]
    distribution: str
    distribution_text: str
    distribution_options: dict[str, Any]
    dimensions: Annotated[int, Field(ge=1, le=2**24)]
    categories: Annotated[int, Field(ge=2, le=2**24)] | None
    logits_text: str
    tie: bool
    rarest: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    at: _Checkpoint | None = None


@dataclass(frozen=True, config=_STRICT)
class _Estimator:
    name: str
    options: dict[str, Any]
    changed: dict[str, Any]
    options_text: str
    label: str
    anneal: tuple[tuple[str, float, float], ...] = ()


@dataclass(frozen=True, config=_STRICT)
class _Layout:
    shard_size: _Count
    shards_per_job: _Count
    block_rows: _Count
    stages: Annotated[tuple[Annotated[int, Field(ge=1, le=2**24)], ...], Field(min_length=1)]


_Variant = tuple[str, _Index, _Temperature | None, bool | None]
_Cell = tuple[str, _Index, _Index, _Count, Literal["exact", "monte_carlo"], str | None]


@dataclass(frozen=True, config=_STRICT)
class _Tables:
    config: Settings
    problems: tuple[_Problem, ...]
    estimators: tuple[_Estimator, ...]
    variants: tuple[_Variant, ...]
    cells: tuple[_Cell, ...]
    layout: dict[str, _Layout]


_TABLES = TypeAdapter(_Tables)


def recorded(plan: Plan) -> Json:
    """The tables of a plan."""
    estimators: dict[str, Json] = {}
    for cell in plan.cells:
        estimators.setdefault(cell.estimator.label, _of_estimator(cell.estimator))
    index = {label: i for i, label in enumerate(estimators)}
    variants: dict[str, tuple[int, list[Any]]] = {}
    cells = []
    for cell in plan.cells:
        spec = cell.estimator
        if spec.id not in variants:
            variants[spec.id] = (len(variants), [spec.id, index[spec.label], spec.temperature, cell.unbiased])
        variant, _ = variants[spec.id]
        cells.append([cell.key, cell.problem, variant, cell.samples, cell.method, cell.reason])
    return {
        "problems": [_of_problem(spec) for spec in plan.problems],
        "estimators": list(estimators.values()),
        "variants": [row for _, row in variants.values()],
        "cells": cells,
        "layout": {spec.id: layout.record() for spec, layout in zip(plan.problems, plan.layouts, strict=True)},
    }


def plan_of(manifest: Mapping[str, Any], where: str) -> Plan:
    """The plan in a manifest; ResultsError, beginning with `where`, if something in it is not what a plan has."""
    try:
        tables = _TABLES.validate_json(json.dumps({name: manifest.get(name) for name in _Tables.__dataclass_fields__}))
        problems = tuple(_problem(entry) for entry in tables.problems)
        layouts = [_layout(tables.config, tables.layout[spec.id]) for spec in problems]
        variants = [
            (_estimator(id_, tables.estimators[i], temperature), claim)
            for id_, i, temperature, claim in tables.variants
        ]
        cells = []
        for key, problem, variant, samples, method, reason in tables.cells:
            estimator, claim = variants[variant]
            if problem >= len(problems):
                raise IndexError(f"problem {problem}")
            cells.append(Cell(problem, estimator, samples, method, key, reason, claim))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at = ".".join(map(str, first["loc"]))
        raise ResultsError(_damage(where, f"{at}: {first['msg']}")) from None
    except (LookupError, ValueError) as error:
        raise ResultsError(
            _damage(where, f"an entry refers to nothing, or the stages of a layout do not grow ({error})")
        ) from None
    return Plan(tables.config, problems, tuple(cells), tuple(layouts))


def _damage(where: str, what: str) -> str:
    return (
        f"{where}: damaged, or written by another version of estbench: {what}. Restore the file; or run the config "
        "again with another folder (-o), or with --fresh, which deletes this run."
    )


def _of_problem(spec: ProblemSpec) -> Json:
    kept = {name: getattr(spec, name) for name in _Problem.__dataclass_fields__}
    options = {name: _plain(getattr(spec, name)) for name in ("objective_options", "distribution_options")}
    at = kept.pop("at")
    return kept | options | ({} if at is None else {"at": _of_checkpoint(at)})


def _of_checkpoint(at: Checkpoint) -> Json:
    training = {name: getattr(at.training, name) for name in _Training.__dataclass_fields__}
    if at.training.importance_samples is None:
        del training["importance_samples"]
    kept = {name: getattr(at, name) for name in ("epoch", "parameters", "own", "curl")}
    return {"training": training, **kept}


def _of_estimator(spec: EstimatorSpec) -> Json:
    own = {"name": spec.name, "options": _plain(spec.options), "changed": _plain(spec.changed)}
    own |= {"options_text": spec.options_text, "label": spec.label}
    return own | ({"anneal": [list(each) for each in spec.anneal]} if spec.anneal else {})


def _estimator(id_: str, entry: _Estimator, temperature: float | None) -> EstimatorSpec:
    options, changed = _options(entry.options), _options(entry.changed)
    return EstimatorSpec(id_, entry.name, entry.label, options, changed, entry.options_text, temperature, entry.anneal)


def _problem(entry: _Problem) -> ProblemSpec:
    fields = {name: getattr(entry, name) for name in _Problem.__dataclass_fields__}
    options = {name: _options(getattr(entry, name)) for name in ("objective_options", "distribution_options")}
    at = entry.at and Checkpoint(**vars(entry.at) | {"training": Training(**vars(entry.at.training))})
    return ProblemSpec(**fields | options | {"at": at})


def _layout(settings: Settings, entry: _Layout) -> Layout:
    if list(entry.stages) != sorted(set(entry.stages)):
        raise ValueError(f"stages {entry.stages} do not grow")
    return Layout.of_record(vars(entry)).asked(settings)


def _plain(options: Options) -> Json:
    """Options as JSON has them; it has no infinity."""
    return {name: "inf" if isinstance(v, float) and math.isinf(v) else v for name, v in options}


def _options(entries: Mapping[str, Any]) -> Options:
    return tuple((name, math.inf if value == "inf" else _frozen(value)) for name, value in entries.items())


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
