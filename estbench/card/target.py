"""What a report card is made of: the target, by name or as an object, and the user's own f and logits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from numbers import Real
from typing import Any, cast

import torch
from pydantic import ValidationError

from estbench import catalogue, plugins
from estbench.adapters import Adapted, adapt, class_of, name_of
from estbench.adapters.signature import demand_written, guessed, parameters
from estbench.api.entries import read_entry
from estbench.api.measuring import seed_of
from estbench.api.problem import problem_of
from estbench.card.problems import Probe
from estbench.card.subject import NAMES, Form, Subject
from estbench.catalogue import facts_of
from estbench.config.choice import read_distribution
from estbench.config.selector import format_selector, parse_selector
from estbench.distributions.links import link_of
from estbench.errors import UsageError
from estbench.estimators.base import Estimator, is_estimator
from estbench.estimators.facts import why_no_estimate
from estbench.function_options import as_options
from estbench.isolation import Isolated, reason
from estbench.names import ALIASES
from estbench.objectives.mlp import Mlp
from estbench.preflight.problems import named
from estbench.problem import Problem


class UnusableError(UsageError):
    """A function that works in none of the forms that it may have."""

    def __init__(self, label: str, form: Form | None, why: str) -> None:
        super().__init__(why)
        self.label, self.form = label, form


class UnservedError(UsageError):
    """A target that does not serve the distribution that it is to be looked at on."""


def settled(smallest: Any, limit: Any, seed: Any, unbiased: Any = None) -> int:
    """The seed as an int; UsageError for an invalid size of biases, time limit, seed or claim."""
    for name, value, least in (("smallest", smallest, "above 0"), ("limit", limit, "of at least 0")):
        number = isinstance(value, Real) and not isinstance(value, bool)
        if not (number and (value > 0 if name == "smallest" else value >= 0)):
            raise UsageError(f"{name}: expected a number {least}, got {value!r:.80}")
    if not (unbiased is None or isinstance(unbiased, bool)):
        raise UsageError(f"unbiased: expected True, False or None, got {unbiased!r:.80}")
    found = seed_of(seed)
    if found < 0:
        raise UsageError(f"seed: expected a number ≥ 0, got {found}")
    return found


@dataclass(frozen=True, eq=False)
class Resolved:
    """A subject, the distributions on which it is looked at, and problems of the user's own."""

    subject: Subject
    distributions: tuple[str, ...]
    own: tuple[Probe, ...]


def resolved(
    target: Any,
    form: Form | None,
    distribution: Any,
    samples: int | None,
    f: Any,
    *,
    unbiased: bool | None,
    options: Mapping[str, Any],
) -> Resolved:
    """See `estbench.card.check.check`. Raises UsageError."""
    demand_written(form, samples)
    name = _name(distribution)
    subject = subject_of(target, form, name, samples, unbiased=unbiased, options=options)
    names = (name,) if name is not None else NAMES
    own = _own(distribution, f)
    facts = subject.estimator.facts
    if name is not None and (why := facts.unserved(name)) is not None:
        raise UnservedError(f"{subject.label} {why}")
    served = next((n for n in names if facts.unserved(n) is None), None)
    if samples is not None and served is not None and (why := why_no_estimate(facts, served, "sigmoid", 1, 2, samples)):
        raise UnservedError(f"{subject.label} {why}, got samples={samples}")
    return Resolved(subject, names, own)


def subject_of(
    target: Any,
    form: Form | None,
    distribution: str | None,
    samples: int | None,
    *,
    unbiased: bool | None,
    options: Mapping[str, Any],
) -> Subject:
    """An estimator as it is, and anything else through `estbench.adapt`."""
    label = target if isinstance(target, str) else ""
    if isinstance(target, str):
        name, given = parse_selector(target)
        name, implied = parse_selector(ALIASES[name]) if name in ALIASES else (name, {})
        if name not in catalogue.ESTIMATORS:
            name = name if plugins.is_plugin(name) else plugins.alias("estimator", name) or name
            implied = plugins.implied_options("estimator", name) if plugins.is_plugin(name) else {}
        target, options = catalogue.estimator_class(name), {**implied, **given, **options}
    if isinstance(target, Adapted):  # what it was made of is looked at
        _demand_none(options, label or _called(target.target))
        target, options = target.target, {each.name: getattr(target, each.name) for each in fields(cast(Any, target))}
    if isinstance(target, type) and issubclass(target, Adapted):
        target = target.target
    if is_estimator(target):
        if form is not None:
            raise UsageError(f"form={form!r}: {label or 'this'} is an estimator, and only a function has a form")
        return _of_estimator(target, label, samples, unbiased=unbiased, options=options)
    options = _known(class_of(target), options, label or _called(target))
    form, samples = _once("form", form, options), _once("samples", samples, options)
    distribution = _once("distribution", distribution, {"distribution": _name(options.pop("distribution", None))})

    of_one_call = None if form == "advantages" or _of_rewards(target, form) else samples

    def build() -> Estimator:
        return adapt(target, form, distribution, of_one_call, **options)

    try:
        made = build()
    except UsageError as error:
        raise UnusableError(label or _called(target), form, str(error)) from None
    written = form or made.found.form  # type: ignore[attr-defined] # an adapted function has it
    meant = written != "sampler" if unbiased is None else unbiased
    subject = Subject(label or _called(target), build, written, target, meant, samples, unbiased is True, options)
    vars(subject)["estimator"] = made  # so that the cached property need not make it again
    return subject


def _known(kind: type[Any], options: Mapping[str, Any], label: str) -> dict[str, Any]:
    """The options as the class takes them; UsageError for one that it does not have, or of another type."""
    names = catalogue.option_names(kind)
    given = as_options(options, names)
    for name in given:
        if name not in names:
            raise UsageError(f"{label} has no option {name!r}; it has {', '.join(names) or 'none'}")
    try:
        catalogue.build(kind, given)
    except ValidationError as error:
        told = "; ".join(": ".join(filter(None, (".".join(map(str, e["loc"])), e["msg"]))) for e in error.errors())
        raise UsageError(f"{label}: {told}") from None
    return given


def _once(name: str, given: Any, options: dict[str, Any]) -> Any:
    """The value of an argument that may also be given as an option, which is removed; UsageError where both differ."""
    option = options.pop(name, None)
    if given is not None and option is not None and given != option:
        raise UsageError(f"{name}: {given!r} and {option!r} are given; give one of them")
    return option if given is None else given


def _demand_none(options: Mapping[str, Any], label: str) -> None:
    if options:
        raise UsageError(f"{label} is an instance: it has its options already")


def _of_rewards(target: Any, form: Form | None) -> bool:
    """Whether it is a function of rewards, whose calls are of all N: `samples` is then an N to look at."""
    return form is None and guessed(parameters(target, None)) == ("advantages",)


def _called(target: Any) -> str:
    """The name of a function; that of a script or of a notebook stands alone."""
    return name_of(target).removeprefix("__main__:")


def _of_estimator(
    target: Any, label: str, samples: int | None, *, unbiased: bool | None, options: Mapping[str, Any]
) -> Subject:
    def build() -> Estimator:
        made: Estimator = catalogue.build(target, options) if isinstance(target, type) else target
        return made

    kind: Any = target if isinstance(target, type) else type(target)
    right = is_dataclass(kind)
    if not right:
        raise UsageError(f"{label or kind.__name__} is not a dataclass: write @dataclass(frozen=True) above the class")
    if isinstance(target, type):
        options = _known(kind, options, label or kind.__name__)
    else:
        _demand_none(options, label or kind.__name__)
    try:
        meant = bool(facts_of(build()).unbiased) if unbiased is None else unbiased
    except UsageError:
        raise
    except Exception as error:
        raise UnusableError(
            label or kind.__name__, None, f"building it, or asking for its facts, raised {reason(error)}"
        ) from None
    names = {k: n for n, k in catalogue.ESTIMATORS.items()}
    own = format_selector(names.get(kind, kind.__name__), sorted(options.items()))
    return Subject(label or own, build, None, None, meant, samples, unbiased is True)


def _name(distribution: Any) -> str | None:
    """The name of a distribution that is given by its name or as an object."""
    if distribution is None:
        return None
    name, link = getattr(distribution, "name", None), link_of(distribution)
    if isinstance(distribution, str):
        name = distribution.partition("[")[0].strip()
        if name in NAMES:
            link = dict(read_entry(read_distribution, distribution, "distribution").options).get("link", "sigmoid")
    if name not in NAMES:
        raise UsageError(f"distribution: expected {', '.join(NAMES)}, or one with logits, got {distribution!r:.80}")
    if link != "sigmoid":
        raise UsageError("distribution: the card looks at Bernoulli variables with the link sigmoid")
    return str(name)


def _own(distribution: Any, f: Any) -> tuple[Probe, ...]:
    """The problem of the user's f at the user's logits; of `mlp` where there is no f."""
    if distribution is None or isinstance(distribution, str):
        if f is not None:
            raise UsageError(
                "f needs logits: give distribution=estbench.Bernoulli(logits=[…]) or Categorical(logits=[[…], …])"
            )
        return ()
    if f is None:
        logits = torch.as_tensor(distribution.logits, dtype=torch.float64)
        problem = Problem(distribution.with_logits(logits), Mlp(seed=1))
        return (Probe("own", f"{named(problem, 'mlp')}, your logits", problem),)
    problem = problem_of(f, distribution)
    with Isolated("objective"):
        g = problem.exact_gradient
    if g is None:
        raise UsageError(f"f: the exact gradient is not known: {problem.distribution.classes}^{problem.D} joint states")
    if not bool(g.isfinite().all()):
        raise UsageError("f returns NaN or infinity at some samples: there is no gradient to look for")
    return (Probe("own", named(problem, "your f,"), problem),)
