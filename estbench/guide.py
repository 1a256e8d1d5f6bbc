"""The catalogue in words: what is listed and shown, taken from the code itself."""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from typing import Any

from estbench import catalog
from estbench.columns import COLUMNS
from estbench.config.selector import format_value
from estbench.errors import UsageError
from estbench.estimators.base import LINKS, Count, Estimator, Facts, Fitted, Referenced, RowEstimator
from estbench.names import ALIASES, OBJECTIVE_ALIASES
from estbench.references import REFERENCES, Reference


def estimators(
    *,
    family: str | None = None,
    distribution: str | None = None,
    unbiased: bool | None = None,
    gradient: bool | None = None,
) -> list[dict[str, Any]]:
    """One row per estimator with its default options, those that pass the filters; UsageError for an unknown family."""
    rows = []
    families = list(dict.fromkeys(kind().facts.family for kind in catalog.ESTIMATORS.values()))
    wanted = {f for f in families if family is None or f.casefold().startswith(family.casefold())}
    if not wanted:
        raise UsageError(f"--family: there is no family '{family}'; the families are {', '.join(families)}")
    for name, kind in catalog.ESTIMATORS.items():
        estimator = kind()
        facts = estimator.facts
        needs_gradient = facts.df != 0
        kept = facts.family in wanted and (distribution is None or distribution in facts.distributions)
        kept = kept and unbiased in (None, facts.unbiased) and gradient in (None, needs_gradient)
        if kept:
            rows.append(
                {
                    "name": name,
                    "family": facts.family,
                    "unbiased": "own" if isinstance(estimator, Referenced) else facts.unbiased,
                    "serves": _served(facts.distributions),
                    "cost": cost(facts),
                    "N ≥": facts.min_samples,
                    "needs τ": "temperature" in catalog.option_names(kind),
                    "needs ∇f": needs_gradient,
                    "reference": ", ".join(str(REFERENCES[key]) for key in facts.sources),
                }
            )
    return rows


def objectives() -> list[dict[str, Any]]:
    """One row per objective."""
    return [
        {
            "name": name,
            "serves": _served(kind().distributions),
            "formula": first_line(kind),
            "options": options(kind),
        }
        for name, kind in catalog.OBJECTIVES.items()
    ]


def distributions() -> list[dict[str, Any]]:
    """One row per distribution."""
    return [
        {"name": name, "meaning": summary(kind), "options": options(kind)}
        for name, kind in catalog.DISTRIBUTIONS.items()
    ]


def _served(distributions: frozenset[str]) -> str:
    return "both" if len(distributions) == 2 else " ".join(distributions)


def metrics() -> list[dict[str, Any]]:
    """One row per metric."""
    return [
        {"name": column.name, "formula": column.formula, "meaning": column.meaning, "interval": column.interval}
        for column in COLUMNS
        if column.metric
    ]


def cost(facts: Facts) -> str:
    """The declared cost of an estimate in words, such as `2 f + 1 ∇f`, per sample unless it says so."""
    parts = [(facts.f, "f"), (facts.df, "∇f")]
    words = [f"{count.text if isinstance(count, Count) else count} {of}" for count, of in parts if count != 0]
    return " + ".join(words) or "0"


def summary(kind: type[Any]) -> str:
    """What an estimator is: the first sentence of its module."""
    return first_line(inspect.getmodule(kind)).rstrip(".")


def first_line(thing: Any) -> str:
    """The first paragraph of a docstring on one line."""
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())


def options(kind: type[Any]) -> str:
    """The options with their defaults, or (in a class of one's own) as needed."""
    needed = {name for name, info in catalog.options_of(kind).items() if info.is_required()}
    words = [f"{o} (needed)" if o in needed else f"{o}={default(kind, o)}" for o in catalog.option_names(kind)]
    return ", ".join(words) or "none"


def default(kind: type[Any], name: str) -> str:
    """The default of one option as a config would write it."""
    return format_value(catalog.options_of(kind)[name].get_default())


def page(name: str) -> str:
    """All there is to say of an estimator or objective, in plain text; UsageError for an unknown name.

    A class of one's own, `package.module:Class`, has a page like those of the catalogue.
    """
    canonical = (ALIASES | OBJECTIVE_ALIASES).get(name, name).partition("[")[0]
    if canonical in catalog.OBJECTIVES:
        return _objective(canonical, catalog.OBJECTIVES[canonical])
    if canonical in catalog.DISTRIBUTIONS:
        return _objective(canonical, catalog.DISTRIBUTIONS[canonical])
    if canonical in catalog.ESTIMATORS:
        return _estimator(canonical, catalog.ESTIMATORS[canonical])
    if ":" not in name:
        known = [
            *catalog.ESTIMATORS,
            *ALIASES,
            *catalog.OBJECTIVES,
            *OBJECTIVE_ALIASES,
            *catalog.DISTRIBUTIONS,
        ]
        close = get_close_matches(name, known, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise UsageError(
            f"there is no estimator, objective or distribution '{name}'.{hint} (estbench list estimators, objectives …)"
        )
    kind: Any = catalog.estimator_class(name)
    if not hasattr(kind, "__pydantic_fields__"):
        raise UsageError(f"'{name}' is not a pydantic dataclass, as every estimator and objective must be")
    if hasattr(kind, "facts"):
        return _estimator(name, kind)
    if hasattr(kind, "value"):
        return _objective(name, kind)
    raise UsageError(f"'{name}' is no estimator, as it has no `facts`, and no objective, as it has no `value`")


def _lines(name: str, kind: type[Any]) -> dict[str, str]:
    """The facts of an estimator at its default options in words."""
    estimator: Estimator = kind()
    facts = estimator.facts
    unbiased = "yes" if facts.unbiased else "no"
    if isinstance(estimator, Referenced):
        unbiased = "for the gradient of an expectation of its own"
    return {
        "Also called": ", ".join(a for a, target in ALIASES.items() if target.partition("[")[0] == name),
        "Family": facts.family,
        "Serves": " and ".join(sorted(facts.distributions)),
        "Links": _links(facts),
        "Unbiased": unbiased,
        "Cost": f"{cost(facts)} per {'estimate' if _per_estimate(facts) else 'sample'}",
        "Samples": f"N ≥ {facts.min_samples}, {'averaged' if isinstance(estimator, RowEstimator) else 'coupled'}",
        "Fitted": "on a stream of its own, then frozen" if isinstance(estimator, Fitted) else "",
        "Off vertices": "f or ∇f is asked for between the classes" if facts.off else "",
        "Options": options(kind),
        "Identities": "; ".join(facts.identities),
    }


def _links(facts: Facts) -> str:
    """The links of Bernoulli variables that an estimator serves, where it serves these variables."""
    if "bernoulli" not in facts.distributions:
        return ""
    return "any p(φ) of Bernoulli variables" if facts.links == LINKS else " and ".join(sorted(facts.links)) + " only"


def _estimator(name: str, kind: type[Any]) -> str:
    try:
        lines, keys = _lines(name, kind), kind().facts.sources
    except Exception as error:  # a plug-in may raise anything, and may need options
        lines, keys = {"Facts": f"none at its defaults ({type(error).__name__})", "Options": options(kind)}, ()
    head = "\n".join(f"{key:<13}{text}" for key, text in lines.items() if text)
    cited = "\n".join(_cited(REFERENCES[key]) if key in REFERENCES else key for key in keys)
    bibtex = "\n".join(REFERENCES[key].bibtex(key) for key in keys if key in REFERENCES)
    return _page(name, inspect.getdoc(kind), head, cited, bibtex)


def _objective(name: str, kind: type[Any]) -> str:
    return _page(name, inspect.getdoc(kind), f"Options   {options(kind)}")


def _page(*paragraphs: str | None) -> str:
    return "\n\n".join(filter(None, paragraphs)) + "\n"


def _per_estimate(facts: Facts) -> bool:
    return any(isinstance(count, Count) and count.per_estimate for count in (facts.f, facts.df))


def markdown() -> str:
    """The whole catalogue of estimators as a Markdown page: docs/estimators.md."""
    families: dict[str, list[str]] = {}
    for name, kind in catalog.ESTIMATORS.items():
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
    kind = catalog.ESTIMATORS[name]
    facts = kind().facts
    doc = (inspect.getdoc(kind) or "").split("\n\n", 1)
    rows = [f"| {key} | {text} |" for key, text in _lines(name, kind).items() if text]
    sources = [f"- {_cited(REFERENCES[key])}" for key in facts.sources]
    options_text = f"```text\n{doc[1]}\n```" if len(doc) > 1 else ""
    table = "\n".join(["| | |", "|---|---|", *rows])
    return "\n\n".join(filter(None, [f"### `{name}`", doc[0], options_text, table, "\n".join(sources)]))


def _cited(source: Reference) -> str:
    arxiv = f" arXiv:{source.arxiv}." if source.arxiv else ""
    return f"{source}: {source.title}. {source.venue}.{arxiv}"
