"""From a file (or plain data) to a checked config, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path as File
from typing import Any

from pydantic import TypeAdapter, ValidationError

from estbench import catalogue
from estbench.config.choice import DistributionChoice, EstimatorChoice, ObjectiveChoice, changed
from estbench.config.complaint import Complaint, Path, Place, dotted, refusal
from estbench.config.document import EXAMPLE, MAX_DEPTH, Document, read, too_large
from estbench.config.explain import UNKNOWN, explain, shown
from estbench.config.logits import Drawn
from estbench.config.network import NetworkConfig, TrainingConfig
from estbench.config.override import override
from estbench.config.problem import ProblemConfig
from estbench.config.schema import KEYS, AnyProblem, Config, Precision
from estbench.config.sweep import unfold
from estbench.config.trajectory import DescentConfig, TrajectoryConfig
from estbench.errors import UsageError
from estbench.plan import Options

CONFIG = Place("config", 0, 0, "")
"""Where plain data is written."""

_CONFIG = TypeAdapter(Config)


def load(source: File | str | Mapping[str, Any] | Document, settings: Sequence[str] = ()) -> Config:
    """The config in a YAML file or in plain data (with its places, or without), with `key=value` settings on top.

    Raises one UsageError that holds all that is wrong, each with its place, path, line and remedy.
    """
    name: dict[str, Any] = {}
    if isinstance(source, Document):
        document = source
    elif isinstance(source, Mapping):
        document = Document(dict(source), CONFIG)
    else:
        document, name = read(File(source)), {"name": File(source).stem}
    document = override(document, settings)
    if not isinstance(document.data, dict):
        text = "the config is empty" if document.data is None else f"expected key: value, got {shown(document.data)}"
        raise refusal([Complaint(document.start, (), f"{text} ({EXAMPLE})")])

    config, wrong = _checked({**name, **_plain(document.data)})
    complaints = [Complaint(document.place(path, key=text.startswith(UNKNOWN)), path, text) for path, text in wrong]
    if config is None or complaints or document.complaints:
        raise refusal([*document.complaints, *complaints])
    return config


def _checked(data: dict[str, Any]) -> tuple[Config | None, list[tuple[Path, str]]]:
    """The config in plain data, if there is one, and all that is wrong, at the paths that the user wrote."""
    not_numbers = dict(_unusable(data))
    problems = data.get("problems")
    unfolded = unfold(problems if isinstance(problems, list) else [])
    origin, wrong = unfolded.origin, [*not_numbers.items(), *unfolded.wrong]
    spread = data | ({"problems": unfolded.problems} if unfolded.problems else {})
    try:
        config = _CONFIG.validate_json(json.dumps(spread))
    except ValidationError as error:
        found = [(origin(path), text) for path, text in explain(error, spread, KEYS)]
        return None, wrong + [(path, text) for path, text in found if path not in not_numbers]
    wrong += [(origin(b), f"is the same as {dotted(origin(a))}") for a, b in _twice(config)]
    return config, wrong + [
        (origin(b), _other_bound(K, dotted(origin(a)), other)) for a, other, b, K in _bounded_twice(config)
    ]


def resolve(config: Config) -> dict[str, Any]:
    """The config as plain data; `load(resolve(config)) == config`.

    Of the options of distributions, objectives and estimators it has those that differ from their defaults: an option
    that is added with a default later does not make it another config.
    """
    problems = [_problem(problem) for problem in config.problems]
    data = _given(config) | {"problems": problems, "estimators": [_estimator(choice) for choice in config.estimators]}
    plain: dict[str, Any] = json.loads(json.dumps(data))
    return plain


def _problem(problem: AnyProblem) -> dict[str, Any]:
    if isinstance(problem, NetworkConfig):
        return _network(problem)
    if isinstance(problem, TrajectoryConfig):
        start = {key: item for key, item in _problem(problem.start).items() if key != "tie"}
        own = {key: item for key, item in _given(problem).items() if key != "start"}
        return start | own | {"training": _given(problem.training)}
    distribution = problem.distribution
    named = (
        _given(distribution) | {"options": dict(distribution.changed)} if distribution.changed else distribution.name
    )
    return _given(problem) | {"objective": _objective(problem.objective), "distribution": named}


def _network(problem: NetworkConfig) -> dict[str, Any]:
    choice, training = problem.network, problem.training
    options = _options(changed(catalogue.network_class(choice.name), choice.options))
    trainers = [each if isinstance(each, str) else _estimator(each) for each in training.estimator]
    found: dict[str, Any] = {
        "network": {"name": choice.name, "options": options},
        "training": _given(training) | {"estimator": trainers},
    }
    return _given(problem) | found


def _objective(choice: ObjectiveChoice) -> dict[str, Any]:
    return {"name": choice.name, "options": _options(changed(catalogue.objective_class(choice.name), choice.options))}


def _estimator(choice: EstimatorChoice) -> dict[str, Any]:
    spec, own = choice.spec, choice.temperatures
    entry: dict[str, Any] = {"name": spec.name, "options": _options(spec.changed), "label": spec.label}
    entry |= {} if own is None else {"temperatures": own}
    return entry | ({"anneal": {option: [a, b] for option, a, b in spec.anneal}} if spec.anneal else {})


def _options(options: Options) -> dict[str, Any]:
    """Options as JSON has them; it has no infinity."""
    return {name: "inf" if value == math.inf else value for name, value in options}


def _given(record: Config | AnyProblem | TrainingConfig | DescentConfig | DistributionChoice) -> dict[str, Any]:
    """The record without the keys that are left open."""
    given = {f.name: getattr(record, f.name) for f in fields(record)}
    return {key: asdict(v) if isinstance(v, Precision | Drawn) else v for key, v in given.items() if v is not None}


def _plain(value: Any, depth: int = 0) -> Any:
    """Lists, mappings, text and numbers as JSON has them, with one number for 1, 1.0 and 1e0."""
    if depth > MAX_DEPTH:
        raise UsageError(f"config: nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, Mapping):
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, int) and too_large(value):
        raise UsageError("config: an integer beyond 1.8e308, the largest number of double precision")
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if value is None or isinstance(value, str | int | float):
        return value
    raise UsageError(f"config: expected plain data (numbers, text, lists, mappings), got a {type(value).__name__}")


def _unusable(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """NaN anywhere, and infinity in anything but an option of an estimator."""
    if isinstance(value, dict | list | tuple):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _unusable(item, (*path, key))
    elif isinstance(value, float) and (math.isnan(value) or (math.isinf(value) and path[:1] != ("estimators",))):
        yield path, f"expected a finite number, got {shown(value)}"


def _twice(config: Config) -> Iterator[tuple[Path, Path]]:
    """The paths of pairs of problems that are the same."""
    seen: dict[Any, int] = {}
    for j, problem in enumerate(config.problems):
        what: Any = problem
        if isinstance(problem, ProblemConfig):
            what = (problem.distribution, problem.objective, problem.all_logits(), problem.tie)
        i = seen.setdefault(what, j)
        if i != j:
            yield ("problems", i), ("problems", j)


def _bounded_twice(config: Config) -> Iterator[tuple[Path, int | None, Path, int | None]]:
    """The paths of pairs of problems that train the same networks with other numbers of samples of their bound."""
    seen: dict[Any, tuple[int, int | None]] = {}
    for j, problem in enumerate(config.problems):
        if isinstance(problem, NetworkConfig):
            given, K = problem.training, problem.training.importance_samples
            of = (problem.network, problem.data, problem.distribution, problem.dimensions, problem.categories)
            what: Any = (of, given.epochs, given.batch, given.optimiser, given.learning_rate, given.seeds)
            trainers = [(by, given.samples if isinstance(by, EstimatorChoice) else None) for by in given.estimator]
            for i, other in dict(seen.setdefault((what, by), (j, K)) for by in trainers).items():
                if other != K:
                    yield ("problems", i), other, ("problems", j, "training", "importance_samples"), K


def _other_bound(K: int | None, of: str, other: int | None) -> str:
    got, has = ("none" if each is None else each for each in (K, other))
    return (
        f"got {got}, and {of}, which trains the same networks, has {has}; a network is trained once, with one bound: "
        "give both the same, or none"
    )
