"""A config expanded into problems, cells and jobs; pure, so that it gives the same plan on every machine."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any

import torch
from pydantic import ValidationError

from estbench import catalog
from estbench.config import Config, ProblemConfig, format_selector
from estbench.config.choice import changed, temperatures_of
from estbench.config.explain import explain
from estbench.config.logits import Drawn, Row
from estbench.config.selector import format_value
from estbench.estimators.base import Estimator, Facts
from estbench.isolation import reason
from estbench.plan.layout import BLOCK, Layout, layout_of
from estbench.plan.settings import Precision, Settings
from estbench.plan.spec import Cell, EstimatorSpec, Plan, ProblemSpec

LONG_NAME = 80
"""Characters of an objective with its options in a label; a longer one, as with a whole matrix, is cut."""

LONG = 8
"""Logits shown in a label before the rest is left out."""


def expand(config: Config, recorded: Mapping[str, Layout] | None = None, block: int = BLOCK) -> Plan:
    """The plan of a config; `recorded` holds the layouts, by problem id, of a run that is to be extended.

    `block` is the number of random numbers that is computed at once.
    """
    problems = _labelled([_problem(problem) for problem in config.problems])
    variants = list(_variants(config))
    cells = tuple(cell for i, problem in enumerate(problems) for cell in _cells(config, i, problem, variants))
    N = max(config.samples)
    known, settings = recorded or {}, _settings(config)
    layouts = tuple(layout_of(settings, N * problem.numbers, known.get(problem.id), block) for problem in problems)
    return Plan(settings, problems, cells, layouts)


def _settings(config: Config) -> Settings:
    precision = None if config.precision is None else Precision(**asdict(config.precision))
    return Settings(
        name=config.name,
        seed=config.seed,
        samples=config.samples,
        methods=config.methods,
        level=config.level,
        delta=config.delta,
        replicates=config.replicates,
        precision=precision,
        timings=config.timings,
    )


def _problem(problem: ProblemConfig) -> ProblemSpec:
    objective = problem.objective
    logits = problem.all_logits()
    K = problem.categories
    distribution = problem.distribution.text
    other = changed(catalog.objective_class(objective.name), objective.options)
    id_ = _hash(objective.name, other, distribution, problem.dimensions, K, logits, problem.tie)
    named = format_selector(objective.name, other)
    named = named if len(named) <= LONG_NAME else f"{objective.name}[…]"
    size = " ".join(f"{letter}={n}" for letter, n in zip("DK", problem.event_shape, strict=False))
    text = _logits_text(problem)
    label = f"{named} {distribution} {size} logits={text}{' tied' if problem.tie else ''}"
    return ProblemSpec(
        id=id_,
        label=label,
        objective=objective.name,
        objective_text=format_selector(objective.name, [(o, v) for o, v in objective.options if v is not None]),
        objective_options=objective.options,
        distribution=problem.distribution.name,
        distribution_text=distribution,
        distribution_options=problem.distribution.changed,
        dimensions=problem.dimensions,
        categories=K,
        logits=logits,
        logits_text=text,
        tie=problem.tie,
        rarest=_rarest(problem, logits),
    )


def _rarest(problem: ProblemConfig, logits: Row | tuple[Row, ...]) -> float:
    """min over d and k of P(z_d = k); where the variables share one logit, D times that: each of them shows the class.

    So often is the rarest class of one variable seen in a sample. Of a distribution that is not `Factorised` nothing is
    known: 1, which raises no flag.
    """
    choice = problem.distribution
    kind = catalog.distribution_class(choice.name)
    made: object = kind(torch.tensor(logits, dtype=torch.float64), **dict(choice.changed))
    marginals: torch.Tensor | None = getattr(made, "marginals", None)
    if marginals is None:
        return 1.0
    possible = marginals[marginals > 0]  # what is impossible, as with a saturated link, has no part in any gradient
    return float(possible.min()) * (problem.dimensions if problem.tie else 1)


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
        other = changed(kind, choice.options)
        text = ",".join(f"{option}={format_value(value)}" for option, value in other)
        spec = EstimatorSpec(choice.name, choice.options, other, text, choice.label)
        for temperature in temperatures_of(choice, config.temperatures):
            own = [] if temperature is None else changed(kind, (("temperature", temperature),))
            yield _Variant(spec, temperature, _hash(spec.name, other, *own), _facts(spec, temperature))


def build(spec: EstimatorSpec, temperature: float | None) -> Estimator:
    """The estimator itself; pydantic's ValidationError if it does not take the temperature."""
    own = {} if temperature is None else {"temperature": temperature}
    kind, options = catalog.estimator_class(spec.name), dict(spec.options) | own
    with catalog.isolated(kind, options):
        return kind(**options)


def _facts(spec: EstimatorSpec, temperature: float | None) -> Facts | str:
    try:
        return catalog.facts_of(build(spec, temperature))
    except ValidationError as error:
        if temperature is None:
            return "needs a temperature"
        return "; ".join(text for _, text in explain(error, {"temperature": temperature}, {}))
    except Exception as error:  # a plug-in may raise anything
        return f"cannot be built: {reason(error)}"


def _cells(config: Config, i: int, problem: ProblemSpec, variants: list[_Variant]) -> Iterator[Cell]:
    for variant in variants:
        for samples in config.samples:
            facts = variant.facts
            reason = facts if isinstance(facts, str) else _skip_reason(facts, problem, samples)
            claim = None if isinstance(facts, str) else facts.unbiased
            for method in config.methods:
                key = _hash(problem.id, variant.id, samples, method)
                yield Cell(i, variant.spec, variant.temperature, samples, method, variant.id, key, reason, claim)


def _skip_reason(facts: Facts, problem: ProblemSpec, samples: int) -> str | None:
    """Why a cell makes no sense, or None."""
    D, K = problem.dimensions, problem.classes
    if (reason := facts.unserved(problem.distribution, problem.link)) is not None:
        return reason
    if samples < facts.min_samples:
        return f"needs N ≥ {facts.min_samples}"
    if facts.max_variables is not None and facts.max_variables < D:
        return f"needs D ≤ {facts.max_variables}"
    if facts.max_states is not None and D * math.log2(K) > math.log2(facts.max_states):
        return f"goes through all joint states, and {K}^{D} are more than {facts.max_states}"
    return None


def _hash(*content: Any) -> str:
    """16 hexadecimal digits. Of options, only those that differ from their defaults are hashed, so that an option
    added with a default leaves all ids and keys as they were."""
    return sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()[:16]
