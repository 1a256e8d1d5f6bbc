"""A config expanded into problems, cells and jobs; pure, so that it gives the same plan on every machine."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np
from pydantic import ValidationError

from estbench import catalog
from estbench.config import Config, ProblemConfig, format_selector
from estbench.config.choice import Options, changed, temperatures_of
from estbench.config.explain import explain
from estbench.config.logits import Drawn, Row
from estbench.config.schema import event_shape
from estbench.config.selector import format_value
from estbench.estimators.base import Estimator, Facts
from estbench.plan.layout import BLOCK, Layout, layout_of

LONG_NAME = 80
"""Characters of an objective with its options in a label; a longer one, as with a whole matrix, is cut."""

LONG = 8
"""Logits shown in a label before the rest is left out."""


@dataclass(frozen=True)
class ProblemSpec:
    """A problem spelled out; `id` is a hash of its content, `label` its name in results.

    `distribution_options` are those that are not at their defaults.
    """

    id: str
    label: str
    objective: str
    objective_options: Options
    distribution: str
    dimensions: int
    categories: int | None
    logits: Row | tuple[Row, ...]
    logits_text: str
    tie: bool
    distribution_options: Options = ()

    @property
    def numbers(self) -> int:
        """The numbers in one sample, D or D K, and so the uniforms that it takes."""
        return math.prod(event_shape(self.dimensions, self.categories))

    @property
    def classes(self) -> int:
        """K; variables that are not categories have two classes."""
        return self.categories or 2

    @property
    def parameters(self) -> int:
        """P, the length of the gradient."""
        return self.numbers // self.dimensions if self.tie else self.numbers

    @property
    def rarest(self) -> float:
        """How many of a sample's variables are expected to have a given class, for the rarest one (and its variable).

        min over d and k of P(z_d = k); where the variables share one logit, D times that: each of them shows the class.
        """
        theta = np.array(self.logits, dtype=np.float64)
        if self.categories is None:
            theta = np.stack([theta, np.zeros_like(theta)], -1)
        log_p = theta - np.logaddexp.reduce(theta, axis=-1, keepdims=True)
        return float(np.exp(log_p.min())) * (self.dimensions if self.tie else 1)


@dataclass(frozen=True)
class EstimatorSpec:
    """An estimator with all its options but the temperature; `changed` are those that are not at their defaults."""

    name: str
    options: Options
    changed: Options
    label: str

    def build(self, temperature: float | None) -> Estimator:
        """The estimator itself; pydantic's ValidationError if it does not take the temperature."""
        own = {} if temperature is None else {"temperature": temperature}
        return catalog.estimator_class(self.name)(**dict(self.options), **own)


@dataclass(frozen=True)
class Cell:
    """One row of the results: a problem (its index), an estimator, a temperature or none, N samples, a method.

    `variant` is a hash of the estimator with its temperature, `key` one of all that the cell is; `reason`, where there
    is one, says why the cell makes no sense and is skipped.
    """

    problem: int
    estimator: EstimatorSpec
    temperature: float | None
    samples: int
    method: str
    variant: str
    key: str
    reason: str | None = None


@dataclass(frozen=True)
class Plan:
    """Everything a run does, in order: cells problem by problem, and one layout for each problem."""

    config: Config
    problems: tuple[ProblemSpec, ...]
    cells: tuple[Cell, ...]
    layouts: tuple[Layout, ...]


def expand(config: Config, recorded: Mapping[str, Layout] | None = None, block: int = BLOCK) -> Plan:
    """The plan of a config; `recorded` holds the layouts, by problem id, of a run that is to be extended.

    `block` is the number of random numbers that is computed at once.
    """
    problems = _labelled([_problem(problem) for problem in config.problems])
    variants = list(_variants(config))
    cells = tuple(cell for i, problem in enumerate(problems) for cell in _cells(config, i, problem, variants))
    N = max(config.samples)
    known = recorded or {}
    layouts = tuple(layout_of(config, N * problem.numbers, known.get(problem.id), block) for problem in problems)
    return Plan(config, problems, cells, layouts)


def _problem(problem: ProblemConfig) -> ProblemSpec:
    objective = problem.objective
    logits = problem.all_logits()
    K = problem.categories
    distribution = problem.distribution.text
    id_ = _hash(objective.name, objective.options, distribution, problem.dimensions, K, logits, problem.tie)
    named = format_selector(objective.name, changed(catalog.objective_class(objective.name), objective.options))
    named = named if len(named) <= LONG_NAME else f"{objective.name}[…]"
    size = " ".join(f"{letter}={n}" for letter, n in zip("DK", problem.event_shape, strict=False))
    text = _logits_text(problem)
    label = f"{named} {distribution} {size} logits={text}{' tied' if problem.tie else ''}"
    return ProblemSpec(
        id=id_,
        label=label,
        objective=objective.name,
        objective_options=objective.options,
        distribution=problem.distribution.name,
        distribution_options=problem.distribution.changed,
        dimensions=problem.dimensions,
        categories=K,
        logits=logits,
        logits_text=text,
        tie=problem.tie,
    )


def _labelled(problems: list[ProblemSpec]) -> tuple[ProblemSpec, ...]:
    """The problems, those with long logits that read the same told apart by their hash."""
    count = Counter(problem.label for problem in problems)
    return tuple(replace(p, label=f"{p.label} #{p.id[:6]}") if count[p.label] > 1 else p for p in problems)


def _logits_text(problem: ProblemConfig) -> str:
    """The logits as they were given; of a long list only its beginning."""
    logits = problem.logits
    if isinstance(logits, Drawn):
        return f"normal(scale={format_value(logits.normal.scale)},seed={logits.normal.seed})"
    if not isinstance(logits, tuple) or math.prod(problem.event_shape) <= LONG:
        return format_value(logits)
    if isinstance(logits[0], tuple):
        return f"[{format_value(logits[0][:LONG])[:-1]},…],…]"
    return f"{format_value(logits[:LONG])[:-1]},…]"


@dataclass(frozen=True)
class _Variant:
    """An estimator at one temperature: the hash of both, and its facts, or why there can be none."""

    spec: EstimatorSpec
    temperature: float | None
    id: str
    facts: Facts | str


def _variants(config: Config) -> Iterator[_Variant]:
    for choice in config.estimators:
        kind = catalog.estimator_class(choice.name)
        spec = EstimatorSpec(choice.name, choice.options, changed(kind, choice.options), choice.label)
        for temperature in temperatures_of(choice, config.temperatures):
            yield _Variant(spec, temperature, _hash(spec.name, spec.options, temperature), _facts(spec, temperature))


def _facts(spec: EstimatorSpec, temperature: float | None) -> Facts | str:
    try:
        return spec.build(temperature).facts
    except ValidationError as error:
        if temperature is None:
            return "needs a temperature"
        return "; ".join(text for _, text in explain(error, {"temperature": temperature}, {}))


def _cells(config: Config, i: int, problem: ProblemSpec, variants: list[_Variant]) -> Iterator[Cell]:
    for variant in variants:
        for samples in config.samples:
            reason = variant.facts if isinstance(variant.facts, str) else _senseless(variant.facts, problem, samples)
            for method in config.methods:
                key = _hash(problem.id, variant.id, samples, method)
                yield Cell(i, variant.spec, variant.temperature, samples, method, variant.id, key, reason)


def _senseless(facts: Facts, problem: ProblemSpec, samples: int) -> str | None:
    """Why a cell makes no sense, or None."""
    D, K = problem.dimensions, problem.classes
    if (reason := facts.unserved(problem.distribution)) is not None:
        return reason
    if samples < facts.min_samples:
        return f"needs N ≥ {facts.min_samples}"
    if facts.max_variables is not None and facts.max_variables < D:
        return f"needs D ≤ {facts.max_variables}"
    if facts.max_states is not None and D * math.log2(K) > math.log2(facts.max_states):
        return f"goes through all joint states, and {K}^{D} are more than {facts.max_states}"
    return None


def fit_key(problem: ProblemSpec, variant: str) -> str:
    """The key of what fitting an estimator to a problem found."""
    return f"{problem.id}/{variant}"


def _hash(*content: Any) -> str:
    return sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()[:16]
