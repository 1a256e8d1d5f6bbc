"""Estimators as Python code gives them: names with options, instances, classes, and functions of any form."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from estbench import catalogue
from estbench.adapters import adapt
from estbench.api.entries import read_entry
from estbench.api.naming import Naming, is_changed, options_of_instance, qualified, short
from estbench.config.choice import MAX_LABEL, EstimatorChoice, read_estimator, spec_of
from estbench.config.selector import format_selector, format_value
from estbench.errors import UsageError
from estbench.estimators.base import is_estimator
from estbench.plan import TEMPERATURE, EstimatorSpec, Given, Options, content_hash

CATALOGUED = {kind: name for name, kind in catalogue.ESTIMATORS.items()}


def choices(given: Any) -> tuple[EstimatorChoice, ...]:
    """The estimators of a list, or of one that stands alone; UsageError for anything else.

    Objects of the same name are told apart by a number: `MyEstimator`, `MyEstimator #2`.
    """
    several = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    if not several:
        raise UsageError("estimators: expected at least one, got an empty list")
    called = Naming()
    return tuple(_choice(each, f"estimators[{i}]", called) for i, each in enumerate(several))


def _choice(given: Any, where: str, called: Naming) -> EstimatorChoice:
    if isinstance(given, str | dict):
        return read_entry(read_estimator, given, where)
    kind = given if isinstance(given, type) else type(given)
    if not is_estimator(given):
        return _choice(_adapted(given, where), where, called)
    if isinstance(given, type):
        if kind in CATALOGUED:
            return read_entry(read_estimator, CATALOGUED[kind], where)
        if not dataclasses.is_dataclass(kind):
            return _choice(_instance(kind, where), where, called)
        return _of_class(kind, called)
    if kind in CATALOGUED and (options := _catalogue_options(given)) is not None:
        return read_entry(read_estimator, {"name": CATALOGUED[kind], "options": options}, where)
    return _of_instance(given, called)


def _adapted(function: Any, where: str) -> Any:
    if not callable(function):
        raise UsageError(f"{where}: expected a name, an estimator or a function, got {function!r:.80}")
    try:
        return adapt(function)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def _instance(kind: type[Any], where: str) -> Any:
    try:
        return kind()
    except TypeError as error:
        raise UsageError(f"{where}: {kind.__name__}() cannot be made ({error}); give an instance") from error


def _catalogue_options(estimator: Any) -> dict[str, Any] | None:
    """The options of an instance of the catalogue that are not at their defaults; None if it has been fitted."""
    fields = estimator.__pydantic_fields__
    changed = {name: getattr(estimator, name) for name, info in fields.items() if is_changed(estimator, name, info)}
    return None if any(fields[name].exclude for name in changed) else changed


def _of_class(kind: type[Any], called: Naming) -> EstimatorChoice:
    """A class of a user, with its options at their defaults and the temperatures of the measurement."""
    fields = catalogue.options_of(kind)
    missing = [name for name, info in fields.items() if info.is_required() and name != TEMPERATURE]
    if missing:
        raise UsageError(f"{kind.__name__}: the options {', '.join(missing)} have no default; give an instance")
    options = tuple((o, info.get_default(call_default_factory=True)) for o, info in fields.items() if o != TEMPERATURE)
    name, label = _names(kind, kind, (), called)
    spec = spec_of(name, options, fields, label)
    return EstimatorChoice(dataclasses.replace(spec, given=Given(kind)), None, TEMPERATURE in fields)


def _of_instance(estimator: Any, called: Naming) -> EstimatorChoice:
    """An instance, with those of its options that can be written."""
    options = options_of_instance(estimator)
    other = tuple((o, value) for o, value in options if o != TEMPERATURE)
    own = tuple((o, value) for o, value in options if o == TEMPERATURE)
    function = getattr(estimator, "target", None)  # of what `adapt` made
    name, label = _names(function or type(estimator), function or estimator, options, called)
    text = ",".join(f"{option}={format_value(value)}" for option, value in other)
    id_, temperature = content_hash(name, other, *own), dict(own).get(TEMPERATURE)
    return EstimatorChoice(EstimatorSpec(id_, name, label, other, other, text, temperature, given=Given(estimator)))


def _names(of: Any, given: Any, options: Options, called: Naming) -> tuple[str, str]:
    """`module:name`, and the name alone with options; with a number where something else is called so."""
    other = tuple(pair for pair in options if pair[0] != TEMPERATURE)
    suffix = called.number(of, given, options)
    return qualified(of) + suffix, format_selector(short(of), other)[:MAX_LABEL] + suffix
