"""Texts of the catalogue, made from docstrings and facts: `estbench list`, `estbench show`, docs/estimators.md."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from estbench import catalogue, plugins
from estbench.config import format_selector, parse_selector
from estbench.config.choice import read_estimator
from estbench.config.selector import format_value
from estbench.distributions.links import has_link
from estbench.engine.limit import limited
from estbench.errors import UsageError
from estbench.estimators.base import LINKS, Count, Estimator, Facts, Fitted, Referenced, RowEstimator
from estbench.index import Contents, Entry, unknown
from estbench.names import ALIASES, OBJECTIVE_ALIASES
from estbench.references import REFERENCES, Reference

SECONDS = 5.0
"""What an estimator of a user has to give its facts."""

COLUMN = 14  # characters up to the second column of a page


def contents() -> Contents:
    """All that the catalogue lists and shows; see `index`, which keeps a copy of it."""
    return Contents(
        [_entry(name, kind) for name, kind in catalogue.ESTIMATORS.items()],
        [
            {
                "name": name,
                "serves": _served(kind().distributions),
                "formula": first_line(kind),
                "options": options(kind),
            }
            for name, kind in catalogue.OBJECTIVES.items()
        ],
        [
            {"name": name, "meaning": what(kind), "options": options(kind)}
            for name, kind in catalogue.DISTRIBUTIONS.items()
        ],
        [{"name": name, "meaning": what(kind), "options": options(kind)} for name, kind in catalogue.NETWORKS.items()],
        {name: page(name) for name in known()},
    )


def known() -> list[str]:
    """All names that the catalogue has a page for."""
    return [
        *catalogue.ESTIMATORS,
        *ALIASES,
        *catalogue.OBJECTIVES,
        *OBJECTIVE_ALIASES,
        *catalogue.DISTRIBUTIONS,
        *catalogue.NETWORKS,
    ]


def offered() -> list[Entry]:
    """The estimators that files and installed packages offer; without those that cannot be had at their defaults.

    What does not answer within SECONDS is left out too.
    """
    found = []
    for name, source in plugins.offered("estimator"):
        with suppress(UsageError, ValidationError, TimeoutError), limited(SECONDS):
            estimator = catalogue.estimator(read_estimator(name).specs((1.0,))[0])
            entry = _entry_of(name, estimator)
            claim = catalogue.facts_of(estimator).unbiased  # None: it is not known, and is neither
            found.append(replace(entry, row=entry.row | {"reference": source}, unbiased=claim))
    return found


def _entry(name: str, kind: type[Any]) -> Entry:
    return _entry_of(name, kind())


def _entry_of(name: str, estimator: Estimator) -> Entry:
    kind, facts = type(estimator), catalogue.facts_of(estimator)
    row = {
        "name": name,
        "family": facts.family,
        "unbiased": "own" if isinstance(estimator, Referenced) else facts.unbiased,
        "serves": _served(facts.distributions),
        "cost": cost(facts),
        "N ≥": facts.min_samples,
        "needs τ": "temperature" in catalogue.option_names(kind),
        "needs ∇f": facts.df != 0,
        "reference": ", ".join(str(REFERENCES[key]) for key in facts.sources),
    }
    return Entry(row, facts.family, sorted(facts.distributions), facts.unbiased is True, facts.df != 0)


def _served(distributions: frozenset[str]) -> str:
    return "both" if len(distributions) == 2 else " ".join(distributions)


def cost(facts: Facts) -> str:
    """The declared cost of an estimate in words, such as `2 f + 1 ∇f`, per sample unless it says so."""
    parts = [(facts.f, "f"), (facts.df, "∇f")]
    words = [f"{count.text if isinstance(count, Count) else count} {of}" for count, of in parts if count != 0]
    return " + ".join(words) or "0"


def what(kind: type[Any]) -> str:
    """What a class is: the first sentence of its module, whose name for it begins it."""
    return first_line(inspect.getmodule(kind)).rstrip(".")


def first_line(thing: Any) -> str:
    """The first paragraph of a docstring on one line."""
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())


def options(kind: type[Any], given: Mapping[str, Any] | None = None) -> str:
    """The options with their values: those given, else their defaults, or (in a class of one's own) as needed."""
    given = given or {}
    words = []
    for name, info in catalogue.options_of(kind).items():
        value = given[name] if name in given else info.get_default(call_default_factory=True)
        needed = info.is_required() and name not in given
        words.append(f"{name} (needed)" if needed else f"{name}={format_value(value)}")
    return ", ".join(words) or "none"


def page(selector: str) -> str:
    """All there is to say of an estimator, an objective or a distribution, in plain text.

    The name may have options in brackets, and the facts are then those at these options. A class of one's own,
    `package.module:Class`, has a page like those of the catalogue. UsageError for an unknown name or a wrong option.
    """
    given, options = parse_selector(selector)
    name, implied = parse_selector((ALIASES | OBJECTIVE_ALIASES).get(given, given))
    options = implied | options
    for kinds in (catalogue.OBJECTIVES, catalogue.DISTRIBUTIONS, catalogue.NETWORKS):
        if name in kinds:
            return _objective(name, kinds[name], options)
    if name in catalogue.ESTIMATORS:
        return _estimator(name, catalogue.ESTIMATORS[name], options)
    if not catalogue.is_plugin(name):
        offered = plugins.alias("estimator", name) or plugins.alias("objective", name)
        if offered is None:
            raise unknown(given, known())
        name = offered
    return _plugin(plugins.canonical(name), options)


def _plugin(name: str, options: Mapping[str, Any]) -> str:
    """The page of a class outside the catalogue: of an estimator, or of an objective if it cannot be an estimator."""
    if plugins.is_function(name) and not (plugins.takes_logits(name) or "form" in options):
        return _objective(name, catalogue.objective_class(name), options)
    try:
        kind: Any = catalogue.estimator_class(name)
    except UsageError as error:
        try:
            kind = catalogue.objective_class(name)
        except UsageError:
            raise error from None
        return _objective(name, kind, {**plugins.implied_options("objective", name), **options})
    return _estimator(name, kind, {**plugins.implied_options("estimator", name), **options})


def built(name: str, kind: type[Any], options: Mapping[str, Any]) -> Any:
    """It, with these options; UsageError if they do not fit it."""
    has = catalogue.option_names(kind)
    for option in options:
        if option not in has:
            raise UsageError(f"{name} has no option {option!r}; its options: {', '.join(has) or 'none'}")
    try:
        return catalogue.build(kind, options)
    except ValidationError as error:
        told = "; ".join(": ".join([*map(str, e["loc"][:1]), e["msg"]]) for e in error.errors())
        raise UsageError(f"{format_selector(name, options.items())}: {told}") from error


def _estimator(name: str, kind: type[Any], given: Mapping[str, Any]) -> str:
    shown = format_selector(name, given.items())
    try:
        estimator = built(name, kind, given) if given else kind()
        facts: Facts = estimator.facts
    except UsageError:
        raise
    except Exception as error:  # a plug-in may raise anything, and may need options
        needed = [f"{each}=…" for each, info in catalogue.options_of(kind).items() if info.is_required()]
        why = f"give {name}[{','.join(needed)}]" if needed else f"none at its defaults ({type(error).__name__})"
        lines = {"Facts": why, "Options": options(kind, given)}
        return _page(shown, *_said(kind)[:3], _lines(lines), _said(kind)[3])
    cited = "\n".join(_cited(REFERENCES[key]) if key in REFERENCES else key for key in facts.sources)
    bibtex = "\n".join(REFERENCES[key].bibtex(key) for key in facts.sources if key in REFERENCES)
    is_a, formula, bias, about = _said(kind)
    return _page(shown, is_a, formula, bias, _lines(_facts(name, estimator, given)), about, cited, bibtex)


def _objective(name: str, kind: type[Any], given: Mapping[str, Any]) -> str:
    if given and name not in catalogue.DISTRIBUTIONS:  # a distribution is made of its logits too
        built(name, kind, given)
    ours = (*catalogue.OBJECTIVES.values(), *catalogue.DISTRIBUTIONS.values(), *catalogue.NETWORKS.values())
    said = what(kind) if kind in ours else ""
    shown = format_selector(name, given.items())
    return _page(shown, said and f"{said}.", inspect.getdoc(kind), _lines({"Options": options(kind, given)}))


def _said(kind: type[Any]) -> tuple[str, str, str, str]:
    """(what it is, its formula in words too, how biased it is and why, what its options are), from its docstrings."""
    paragraphs = (inspect.getdoc(kind) or "").split("\n\n")
    names = set(catalogue.option_names(kind))
    about = [p for p in paragraphs if p.partition(" ")[0].rstrip(",") in names]
    formula = [p for p in paragraphs if p not in about]
    own = kind in catalogue.ESTIMATORS.values()  # the docstring of a module of one's own may be of anything
    return f"{what(kind)}." if own else "", "\n\n".join(formula), first_line(kind.facts), "\n\n".join(about)


def _facts(name: str, estimator: Estimator, given: Mapping[str, Any]) -> dict[str, str]:
    """The facts of an estimator in words, head → text; what does not apply is empty."""
    facts = estimator.facts
    unbiased = "nothing is claimed" if facts.unbiased is None else "yes" if facts.unbiased else "no"
    if isinstance(estimator, Referenced):
        unbiased = "for the gradient of an expectation of its own"
    return {
        "Unbiased": unbiased,
        "Cost": f"{cost(facts)} per {'estimate' if _per_estimate(facts) else 'sample'}",
        "Samples": f"N ≥ {facts.min_samples}, {'averaged' if isinstance(estimator, RowEstimator) else 'coupled'}",
        "Fitted": "on a stream of its own, then frozen" if isinstance(estimator, Fitted) else "",
        "Off vertices": "f or ∇f is evaluated between the classes" if facts.evaluates_relaxed else "",
        "Serves": " and ".join(sorted(facts.distributions)),
        "Links": _links(facts),
        "Options": options(type(estimator), given),
        "Identities": "; ".join(facts.identities),
        "Notes": "; ".join(facts.notes),
        "Family": facts.family,
        "Also called": ", ".join(a for a, target in ALIASES.items() if target.partition("[")[0] == name),
    }


def _links(facts: Facts) -> str:
    """The links of Bernoulli variables that an estimator serves."""
    if not any(has_link(catalogue.DISTRIBUTIONS.get(name)) for name in facts.distributions):
        return ""
    return "any p(φ) of Bernoulli variables" if facts.links == LINKS else " and ".join(sorted(facts.links)) + " only"


def _lines(rows: Mapping[str, str]) -> str:
    return "\n".join(f"{key:<{COLUMN}}{text}" for key, text in rows.items() if text)


def _page(*paragraphs: str | None) -> str:
    return "\n\n".join(filter(None, paragraphs)) + "\n"


def _per_estimate(facts: Facts) -> bool:
    return any(isinstance(count, Count) and count.per_estimate for count in (facts.f, facts.df))


def markdown() -> str:
    """The whole catalogue of estimators as a Markdown page: docs/estimators.md."""
    families: dict[str, list[str]] = {}
    for name, kind in catalogue.ESTIMATORS.items():
        families.setdefault(kind().facts.family, []).append(name)
    parts = [
        "# Estimators",
        "Written by `make docs` from the code; do not edit. Notation: D variables, K classes, logits φ (Bernoulli) or "
        "θ, p = σ(φ), π = softmax(θ), z the sample, s(z) its score, g = ∇f, J(m)g = m(1 − m)g or m ⊙ (g − m·g). "
        "Gradients are with respect to the logits. Costs are per sample unless they say otherwise, without fitting.",
        "Bernoulli variables may have another link p(φ) than the sigmoid: `distribution: {name: bernoulli, link: "
        "hard_sigmoid}`, or `probit`, or `identity`. The score is then (z − p) p′/(p q), and J(p) g is p′ g; what is "
        "written here for the sigmoid is multiplied by p′/(p q) in estimators that serve any p(φ). With these, "
        "`ste[proxy=identity]` at the link `hard_sigmoid` is the neuron Bernoulli(hard_sigmoid(φ)) with the identity "
        "as its backward pass, the links `hard_sigmoid` and `identity` are stochastic rounding, and `probit` is the "
        "escape noise of a spiking neuron.",
    ]
    for family, names in families.items():
        parts.append(f"## {family[0].upper()}{family[1:]}")
        parts += [_section(name) for name in names]
    return "\n\n".join(parts) + "\n"


def _section(name: str) -> str:
    kind = catalogue.ESTIMATORS[name]
    is_a, formula, bias, options_text = _said(kind)
    rows = [f"| {key} | {text} |" for key, text in _facts(name, kind(), {}).items() if text]
    sources = [f"- {_cited(REFERENCES[key])}" for key in kind().facts.sources]
    table = "\n".join(["| | |", "|---|---|", *rows])
    listed = f"```text\n{options_text}\n```" if options_text else ""
    parts = [f"### `{name}`", is_a, formula, bias, table, listed, "\n".join(sources)]
    return "\n\n".join(filter(None, parts))


def _cited(source: Reference) -> str:
    arxiv = f" arXiv:{source.arxiv}." if source.arxiv else ""
    return f"{source}: {source.title}. {source.venue}.{arxiv}"
