"""A config expanded into problems, cells and jobs; pure, so that it gives the same plan on every machine."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace

import torch
from pydantic import ValidationError

from estbench import catalogue
from estbench.config import Config, ProblemConfig, format_selector
from estbench.config.choice import EstimatorChoice, changed
from estbench.config.explain import explain
from estbench.config.logits import Drawn, Row
from estbench.config.network import OWN, NetworkConfig, TrainingConfig
from estbench.config.schema import AnyProblem
from estbench.config.selector import format_value
from estbench.config.trajectory import DescentConfig, TrajectoryConfig
from estbench.distributions.base import size_text
from estbench.estimators.base import Facts, why_no_estimate
from estbench.isolation import reason
from estbench.networks.base import draws_examples
from estbench.networks.data import DIGITS, fingerprint
from estbench.plan.layout import BLOCK, Layout, layout_of, one_job
from estbench.plan.settings import Precision, Settings
from estbench.plan.spec import (
    TEMPERATURE,
    Cell,
    Checkpoint,
    EstimatorSpec,
    Plan,
    ProblemSpec,
    Training,
    content_hash,
)

LONG_NAME = 80
"""Characters of an objective with its options in a label; a longer one, as with a whole matrix, is cut."""

LONG = 8
"""Logits shown in a label before the rest is left out."""


def expand(config: Config, recorded: Mapping[str, Layout] | None = None, block: int = BLOCK) -> Plan:
    """The plan of a config; `recorded` holds the layouts, by problem id, of a run that is to be extended.

    `block` is the number of random numbers that is computed at once.
    """
    specs = (spec for choice in config.estimators for spec in choice.specs(config.temperatures))
    estimators = [(spec, _facts(spec)) for spec in specs]
    problems = _labelled([spec for problem in config.problems for spec in _problems(config, problem)])
    cells = tuple(cell for i, problem in enumerate(problems) for cell in _cells(config, i, problem, estimators))
    N = max(config.samples)
    known, settings = recorded or {}, _settings(config)
    layouts = tuple(
        layout_of(settings, N * problem.numbers, known.get(problem.id), block)
        if problem.at is None
        else known.get(problem.id) or one_job(settings)
        for problem in problems
    )
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


def _problems(config: Config, problem: AnyProblem) -> Iterator[ProblemSpec]:
    """The problem; of a network one for each training and checkpoint, of a trajectory for each checkpoint."""
    if isinstance(problem, NetworkConfig):
        yield from _of_network(config, problem)
    elif isinstance(problem, TrajectoryConfig):
        yield from _of_trajectory(problem)
    else:
        yield _problem(problem)


def _of_network(config: Config, problem: NetworkConfig) -> Iterator[ProblemSpec]:
    network, K = problem.network, problem.categories
    other = changed(catalogue.network_class(network.name), network.options)
    text = format_selector(network.name, other)
    size = size_text(problem.event_shape)
    of_files = "" if draws_examples(catalogue.network_class(network.name)) else fingerprint(problem.data)
    data = [problem.data, of_files] if of_files else problem.data
    what = (network.name, other, data, problem.distribution, problem.dimensions, K)
    subject = ", ".join((f"{text} {problem.distribution} {size}", *_said(problem)))
    for training, own in _trainings(config, problem, what, subject):
        by = "each trained by itself" if own else f"trained by {training.trained_by}"
        for epoch in problem.epochs:
            yield ProblemSpec(
                id=content_hash(training.id, epoch, problem.parameters, config.replicates),
                label=f"{subject}, {by}, epoch {epoch}, {problem.parameters}",
                objective=network.name,
                objective_text=format_selector(network.name, [(o, v) for o, v in network.options if v is not None]),
                objective_options=network.options,
                distribution=problem.distribution,
                distribution_text=problem.distribution,
                distribution_options=(),
                dimensions=problem.dimensions,
                categories=K,
                logits_text="",
                tie=False,
                rarest=1.0,
                at=Checkpoint(training, epoch, problem.parameters, own),
            )


def _said(problem: NetworkConfig) -> Iterator[str]:
    """What a config says of the training of a network, but for the defaults: `sgd 0.1`, `batch 50`, `seeds 3`."""
    given, default = problem.training, TrainingConfig()
    if problem.data != DIGITS:
        yield f"data {problem.data}"
    if (given.optimiser, given.learning_rate) != (default.optimiser, default.learning_rate):
        yield f"{given.optimiser} {format_value(given.learning_rate)}"
    for name in ("batch", "epochs", "seeds"):
        if getattr(given, name) != getattr(default, name):
            yield f"{name} {getattr(given, name)}"


def _trainings(
    config: Config, problem: NetworkConfig, what: tuple[object, ...], subject: str
) -> Iterator[tuple[Training, bool]]:
    """The trainings of a network, and whether it stands for those of each estimator by itself."""
    given = problem.training
    settings = (given.epochs, given.batch, given.optimiser, given.learning_rate, given.seeds)
    for trainer in given.estimator:
        if isinstance(trainer, EstimatorChoice):
            for spec in trainer.specs(config.temperatures):
                id_ = content_hash(*what, spec.id, given.samples, *settings)
                by = spec.in_words(given.samples)
                made = Training(id_, "network", problem.data, by, given.samples, *settings, spec, subject)
                yield replace(made, importance_samples=given.importance_samples), False
        else:
            id_ = content_hash(*what, trainer, *settings)
            made = Training(id_, "network", problem.data, trainer, 1, *settings, subject=subject)
            yield replace(made, importance_samples=given.importance_samples), trainer == OWN


def _of_trajectory(trajectory: TrajectoryConfig) -> Iterator[ProblemSpec]:
    """One problem for each checkpoint; its logits are those where the seeds begin."""
    given, start = trajectory.training, _problem(trajectory.start)
    settings = (given.steps, 1, given.optimiser, given.learning_rate, given.seeds)
    default = DescentConfig()
    more = [f"{n} {getattr(given, n)}" for n in ("steps", "seeds") if getattr(given, n) != getattr(default, n)]
    subject = ", ".join((start.label, f"{given.optimiser} {format_value(given.learning_rate)}", *more))
    id_ = content_hash("trajectory", start.id, start.logits_text, *settings)
    drawn = trajectory.start.logits
    spread = (drawn.normal.scale, drawn.normal.seed) if isinstance(drawn, Drawn) else None
    training = Training(id_, "trajectory", "", "exact", 1, *settings, subject=subject, spread=spread)
    for step in trajectory.steps:
        at = Checkpoint(training, step, "logits", own=True, curl=trajectory.curl)
        label = f"{subject}, each on its own trajectory, step {step}"
        yield replace(start, id=content_hash(id_, step, trajectory.curl), label=label, at=at, rarest=1.0)


def _problem(problem: ProblemConfig) -> ProblemSpec:
    objective = problem.objective
    logits = problem.all_logits()
    K = problem.categories
    distribution = problem.distribution.text
    other = objective.changed
    id_ = content_hash(objective.name, other, distribution, problem.dimensions, K, logits, problem.tie)
    named = format_selector(objective.name, other)
    named = named if len(named) <= LONG_NAME else f"{objective.name}[…]"
    size = size_text(problem.event_shape)
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
        objective_given=objective.given,
        distribution_given=problem.distribution.given,
    )


def _rarest(problem: ProblemConfig, logits: Row | tuple[Row, ...]) -> float:
    """min over d and k of P(z_d = k); where the variables share one logit, D times that: each of them shows the class.

    So often is the rarest class of one variable seen in a sample. Of a distribution that is not `Factorised` nothing is
    known: 1, which raises no flag.
    """
    made = problem.distribution.at(torch.tensor(logits, dtype=torch.float64))
    marginals: torch.Tensor | None = getattr(made, "marginals", None)
    if marginals is None:
        return 1.0
    possible = marginals[marginals > 0]  # what is impossible, as with a saturated link, has no part in any gradient
    return float(possible.min()) * (problem.dimensions if problem.tie else 1)


def _labelled(problems: list[ProblemSpec]) -> tuple[ProblemSpec, ...]:
    """The problems, those with long logits that read the same told apart by their hash; and what is trained, too.

    The checkpoints of one training have one hash.
    """
    ids: dict[str, list[str]] = {}
    for p in problems:
        ids.setdefault(p.label, []).append(_id(p))
    made = [
        replace(p, label=f"{p.label} #{(_id(p) if len({*same}) == len(same) else p.id)[:6]}") if len(same) > 1 else p
        for p in problems
        for same in [ids[p.label]]
    ]
    alike: dict[str, dict[str, None]] = {}
    for p in made:
        if p.at is not None and p.kind == "trajectory":
            alike.setdefault(p.at.training.subject, {})[p.at.training.id] = None
    return tuple(p if len(alike.get(_subject(p), ())) < 2 else _with_hash(p) for p in made)


def _id(p: ProblemSpec) -> str:
    """What is trained, or the problem itself."""
    return p.id if p.at is None else p.at.training.id


def _subject(p: ProblemSpec) -> str:
    return "" if p.at is None else p.at.training.subject


def _with_hash(p: ProblemSpec) -> ProblemSpec:
    """The checkpoint of a trajectory whose logits read like those of another, with the hash of its training."""
    assert p.at is not None
    training = replace(p.at.training, subject=f"{p.at.training.subject} #{p.at.training.id[:6]}")
    return replace(p, at=replace(p.at, training=training))


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


def _facts(spec: EstimatorSpec) -> Facts | str:
    """The facts of an estimator, or why there are none."""
    try:
        return catalogue.facts_of(catalogue.estimator(spec))
    except ValidationError as error:
        if spec.temperature is None:
            return "needs a temperature"
        return "; ".join(text for _, text in explain(error, {TEMPERATURE: spec.temperature}, {}))
    except Exception as error:  # a plug-in may raise anything
        return f"cannot be built: {reason(error)}"


def _cells(
    config: Config, i: int, problem: ProblemSpec, estimators: Sequence[tuple[EstimatorSpec, Facts | str]]
) -> Iterator[Cell]:
    at = problem.at
    for estimator, facts in estimators:
        for samples in config.samples:
            reason = facts if isinstance(facts, str) else skip_reason(facts, problem, samples)
            if reason is None and at is None and estimator.anneal:
                reason = "its options change while a network is trained; give them one value"
            claim = None if isinstance(facts, str) else facts.unbiased and not _coarse(problem)
            for method in config.methods:
                key = content_hash(problem.id, estimator.id, samples, method)
                yield Cell(i, estimator, samples, method, key, reason, claim)


def _coarse(problem: ProblemSpec) -> bool:
    """Whether it is a network whose examples are drawn: no estimator claims to be unbiased for its loss."""
    return (
        problem.at is not None
        and problem.kind == "network"
        and draws_examples(catalogue.network_class(problem.objective))
    )


def skip_reason(facts: Facts, problem: ProblemSpec, samples: int) -> str | None:
    """Why a cell makes no sense, or None."""
    D, K = problem.dimensions, problem.classes
    if (reason := why_no_estimate(facts, problem.distribution, problem.link, D, K, samples)) is not None:
        return reason
    return facts.unbatchable if problem.at is not None else None
