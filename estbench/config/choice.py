"""The entries of a config that name something of the catalogue, with its options."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model
from pydantic.fields import FieldInfo
from torch import Tensor

from estbench import catalogue, plugins
from estbench.config.complaint import Path, closest
from estbench.config.explain import explain, faults, shown
from estbench.config.selector import format_selector, format_value, parse_selector
from estbench.distributions import Distribution
from estbench.errors import UsageError
from estbench.estimators.facts import Facts
from estbench.isolation import reason
from estbench.names import ALIASES, OBJECTIVE_ALIASES
from estbench.objectives.base import Objective
from estbench.options import plain
from estbench.plan import TEMPERATURE, EstimatorSpec, Given, Options, content_hash
from estbench.plugins import What

Listed = BeforeValidator(lambda value: tuple(value) if isinstance(value, list | tuple) else (value,))
Sorted = AfterValidator(lambda values: tuple(sorted(set(values))))


def _line(label: str) -> str:
    if not (label.strip() == label != "" and label.isprintable() and len(label) <= MAX_LABEL):
        raise faults(
            ((), f"expected one line of 1 to {MAX_LABEL} characters, no space at its ends, got {shown(label)}")
        )
    return label


MAX_LABEL = 200
CATALOGUE: dict[What, tuple[Mapping[str, Any], Mapping[str, str], Callable[[str], Any]]] = {
    "estimator": (catalogue.ESTIMATORS, ALIASES, catalogue.estimator_class),
    "objective": (catalogue.OBJECTIVES, OBJECTIVE_ALIASES, catalogue.objective_class),
    "distribution": (catalogue.DISTRIBUTIONS, {}, catalogue.distribution_class),
    "network": (catalogue.NETWORKS, {}, catalogue.network_class),
}
_STRICT = ConfigDict(extra="forbid", strict=True, protected_namespaces=())
_End = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class ObjectiveChoice:
    """An objective, or a network, by its canonical name, with all its options.

    Or an objective that is `given` itself, with the options that are to be shown of it.
    """

    name: str
    options: Options
    given: Given | None = None

    def build(self) -> Objective:
        """The objective itself."""
        return catalogue.objective(self.name, self.options, self.given)

    @property
    def changed(self) -> Options:
        """The options that are not at their defaults."""
        return self.options if self.given else changed(catalogue.objective_class(self.name), self.options)


@dataclass(frozen=True)
class DistributionChoice:
    """A distribution by its canonical name, with all its options; or one that is given, with those to be shown."""

    name: str
    options: Options = ()
    given: Given | None = None

    def at(self, logits: Tensor) -> Distribution:
        """The distribution itself, at some logits."""
        return catalogue.distribution(self.name, self.options, logits, self.given)

    @property
    def changed(self) -> Options:
        """The options that are not at their defaults."""
        return self.options if self.given else changed(catalogue.distribution_class(self.name), self.options)

    @property
    def event_dim(self) -> int:
        """The number of axes of a sample: 1, or 2 where it is one-hot."""
        found: int = (self.given.value if self.given else catalogue.distribution_class(self.name)).event_dim
        return found

    @property
    def text(self) -> str:
        """Its name, with those in brackets."""
        return format_selector(self.name, self.changed)


@dataclass(frozen=True)
class EstimatorChoice:
    """An estimator of a config, and the temperatures that are given for it.

    `spec` has the default temperature, or none where there is no default. `temperatures` are those of this entry alone;
    None: it has those of the config, if it `has_temperature`.
    """

    spec: EstimatorSpec
    temperatures: tuple[float, ...] | None = None
    has_temperature: bool = False

    def specs(self, shared: tuple[float, ...]) -> tuple[EstimatorSpec, ...]:
        """A spec for each of its temperatures, else for each of the config's, else the one at the default."""
        if not self.has_temperature:
            return (self.spec,)
        return tuple(_at_temperature(self.spec, t) for t in self.temperatures or shared) or (self.spec,)


def read_objective(value: Any) -> ObjectiveChoice:
    """An objective from a name, a selector or {name, option: value, …}; raises pydantic's ValidationError."""
    if isinstance(value, ObjectiveChoice):
        return value
    name, kind, options = _read(value, "objective")
    _demand_built(lambda: catalogue.build(kind, options), options)
    return ObjectiveChoice(name, tuple(options.items()))


def read_network(value: Any) -> ObjectiveChoice:
    """A network from a name, a selector or {name, option: value, …}; raises pydantic's ValidationError."""
    name, kind, options = _read(value, "network")
    _demand_built(lambda: catalogue.build(kind, options), options)
    return ObjectiveChoice(name, tuple(options.items()))


def read_distribution(value: Any) -> DistributionChoice:
    """A distribution from a name, a selector or {name, option: value, …}; raises pydantic's ValidationError."""
    if isinstance(value, DistributionChoice):
        return value
    name, _, options = _read(value, "distribution")
    return DistributionChoice(name, tuple(options.items()))


def read_estimator(value: Any) -> EstimatorChoice:
    """An estimator from a name, a selector or {name, label, temperatures, option: value, …}; raises ValidationError."""
    if isinstance(value, EstimatorChoice):
        return value
    name, kind, options = _read(value, "estimator")
    label, temperatures = options.pop("label"), options.pop("temperatures", None)
    ends = options.pop("anneal") or {}
    temperature = options.pop(TEMPERATURE, None)
    if temperature is not None and temperatures is not None:
        raise faults((("temperatures",), "give temperature or temperatures, not both"))
    info = catalogue.options_of(kind).get(TEMPERATURE)
    own = temperatures if temperature is None else (temperature,)
    spec = spec_of(name, tuple(options.items()), catalogue.options_of(kind), label)
    if ends:
        if TEMPERATURE in ends and own is not None:
            raise faults((("anneal", TEMPERATURE), "the temperature is given and annealed; keep one"))
        return EstimatorChoice(_annealed(spec, kind, ends, own, label))
    choice = EstimatorChoice(spec, own, info is not None)
    if own is None and info is not None and info.is_required():
        return choice  # that it lacks a temperature is a reason to skip it, not a fault
    for each in choice.specs(()):
        _demand_built(partial(_facts, each), dict(each.arguments))
    return choice


def _annealed(
    spec: EstimatorSpec,
    kind: type[Any],
    ends: Mapping[str, tuple[float, float]],
    own: tuple[float, ...] | None,
    label: str | None,
) -> EstimatorSpec:
    """The spec of an estimator whose options change while a network is trained; it can be built at both ends."""
    known = catalogue.options_of(kind)
    numbers = [option for option, info in known.items() if float in (info.annotation, *get_args(info.annotation))]
    wrong = [option for option in ends if option not in numbers]
    if wrong:
        allowed = f"its options that are numbers: {', '.join(numbers) or 'none'}"
        raise faults(*((("anneal", option), f"{spec.name} has no number {option!r}; {allowed}") for option in wrong))
    if own is not None and len(own) != 1:
        raise faults((("temperatures",), "an estimator with annealed options has one temperature"))
    spec = spec if own is None else _at_temperature(spec, own[0])
    anneal = tuple(sorted((option, float(a), float(b)) for option, (a, b) in ends.items()))
    text = ",".join(f"{option}={a:g}→{b:g}" for option, a, b in anneal)
    annealed = replace(
        spec,
        id=content_hash(spec.id, anneal),
        label=label or f"{spec.label}[{text}]",
        anneal=anneal,
        options_text=",".join(filter(None, (spec.options_text, text))),
    )
    for done in (0.0, 1.0):
        _demand_built(partial(_facts, annealed.at(done)), dict(annealed.at(done).arguments))
    return annealed


def spec_of(name: str, options: Options, fields: Mapping[str, FieldInfo], label: str | None = None) -> EstimatorSpec:
    """The spec of an estimator at its default temperature, with other options, from the fields of its class."""
    other = _not_default(fields, options)
    text = ",".join(f"{option}={format_value(value)}" for option, value in other)
    label = label or format_selector(name, other)[:MAX_LABEL]
    info = fields.get(TEMPERATURE)
    temperature = None if info is None or info.is_required() else info.default
    return EstimatorSpec(content_hash(name, other), name, label, options, other, text, temperature)


def _at_temperature(spec: EstimatorSpec, temperature: float) -> EstimatorSpec:
    """The spec at another temperature, from that at the default one, which alone does not change the id."""
    if spec.temperature == temperature:
        return spec
    id_ = content_hash(spec.name, spec.changed, (TEMPERATURE, temperature))
    return replace(spec, id=id_, temperature=temperature)


def changed(kind: type[Any], options: Options) -> Options:
    """The options of an objective or a distribution that are not at their defaults."""
    return _not_default(catalogue.options_of(kind), options)


def _not_default(fields: Mapping[str, FieldInfo], options: Options) -> Options:
    return tuple((o, v) for o, v in options if v != _hashable(fields[o].get_default(call_default_factory=True)))


def _hashable(value: Any) -> Any:
    """Lists as tuples: options are parts of keys."""
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value


@cache
def entry(what: str, kind: Any) -> type[BaseModel]:
    """The model of a config's entry: options, and for an estimator a label, and temperatures where it has one."""
    infos = catalogue.options_of(kind)
    members: dict[str, Any] = {name: (info.annotation, info) for name, info in infos.items()}
    if what == "estimator":
        members["label"] = (Annotated[str, AfterValidator(_line)] | None, None)
        members["anneal"] = (dict[str, tuple[_End, _End]] | None, None)
        if info := infos.get(TEMPERATURE):
            one: Any = Annotated[info.annotation, *info.metadata, Field(allow_inf_nan=False)]
            many: Any = Annotated[tuple[one, ...], Listed, Field(min_length=1), Sorted]
            members |= {"temperature": (one | None, None), "temperatures": (many | None, None)}
    return create_model(kind.__name__, __config__=_STRICT, **members)


def _read(value: Any, what: What) -> tuple[str, type[Any], dict[str, Any]]:
    """The canonical name, the class, and all options (and label, temperatures) with their defaults filled in."""
    given = {"name": value} if isinstance(value, str) else value
    if not isinstance(given, dict):
        raise faults(((), f"expected a name, or a mapping with a name, got {shown(value)}"))
    if not isinstance(given.get("name"), str):
        article = "an" if what[0] in "eo" else "a"
        raise faults(
            (
                ("name",),
                f"expected the name of {article} {what}, got {shown(given.get('name'))} (estbench list {what}s)",
            )
        )
    try:
        name, kind, implied, bracketed = _find(given["name"], what)
    except UsageError as error:
        raise faults((("name",), str(error))) from None
    options, paths = _gather(given, implied, bracketed)
    model = entry(what, kind)
    numbers = {o for o, info in model.model_fields.items() if float in (info.annotation, *get_args(info.annotation))}
    options = {o: _written(paths, o, value) for o, value in options.items()}
    options = {o: math.inf if value == "inf" and o in numbers else value for o, value in options.items()}  # as in JSON
    try:
        checked = model.model_validate_json(json.dumps(options))
    except ValidationError as error:
        wrong = explain(error, options, {(): list(model.model_fields)})
        raise faults(*(_at(paths, path, text) for path, text in wrong)) from None
    return name, kind, {option: _hashable(getattr(checked, option)) for option in model.model_fields}


def _find(selector: str, what: What) -> tuple[str, Any, dict[str, Any], dict[str, Any]]:
    """The canonical name and class of a selector, the options its alias implies, and those in its brackets."""
    known, aliases, class_of = CATALOGUE[what]
    head, bracketed = parse_selector(selector)
    name, implied = parse_selector(aliases[head]) if head in aliases else (head, {})
    if name not in known and not catalogue.is_plugin(name):
        found = plugins.alias(what, name)
        if found is None:
            raise UsageError(f"unknown {what} {name!r}.{closest(name, [*known, *aliases])} (estbench list {what}s)")
        if what == "estimator":
            implied = {"label": selector.strip()}
        name = found
    elif (other := dict(plugins.offered_by_files(what)).get(head)) is not None:
        raise UsageError(f"{head!r} is in the catalogue, and in a file of --plugin: for that write {other}")
    if not catalogue.is_plugin(name):
        return name, class_of(name), implied, bracketed
    name = plugins.canonical(name)
    return name, class_of(name), plugins.implied_options(what, name) | implied, bracketed


def _gather(
    given: dict[str, Any], implied: dict[str, Any], bracketed: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Path]]:
    """All options given, and the path at which each is written: in the brackets, below `options`, or as a key."""
    nested = given.get("options", {})
    if not isinstance(nested, dict):
        raise faults((("options",), f"expected a mapping of options, got {shown(nested)}"))
    flat = {key: item for key, item in given.items() if key not in ("name", "options")}
    options = implied | bracketed | nested | flat
    paths: dict[str, Path] = dict.fromkeys(implied | bracketed, ("name",))
    paths |= {option: ("options", option) for option in nested} | {option: (option,) for option in flat}
    twice = (bracketed.keys() & nested.keys()) | (bracketed.keys() & flat.keys()) | (nested.keys() & flat.keys())
    if twice:
        raise faults(*((paths[option], f"{option} is given twice") for option in sorted(twice)))
    return options, paths


def _written(paths: dict[str, Path], option: str, value: Any) -> Any:
    """The value of an option as JSON has it, where it was given in Python."""
    try:
        return json.loads(json.dumps(value, default=partial(plain, name=option)))
    except UsageError as error:
        raise faults((paths[option], str(error))) from None


def _at(paths: dict[str, Path], path: Path, text: str) -> tuple[Path, str]:
    """A fault of the options at the place where the option is written; in brackets the text has to name it."""
    if not path or path[0] not in paths:
        return path, text
    written = paths[str(path[0])]
    return (written, f"{path[0]}: {text}") if written == ("name",) else (written + path[1:], text)


def _facts(spec: EstimatorSpec) -> Facts:
    return catalogue.facts_of(catalogue.estimator(spec))


def _demand_built(build: Callable[[], object], options: Mapping[str, Any]) -> None:
    """Build an object, for the checks of its own that look at several options; what it raises is a fault of these."""
    try:
        build()
    except ValidationError as error:
        raise faults(*explain(error, dict(options), {})) from None
    except UsageError as error:
        raise faults(((), str(error))) from None
    except Exception as error:  # a plug-in may raise anything
        raise faults(((), f"cannot be built: {reason(error)}")) from None
