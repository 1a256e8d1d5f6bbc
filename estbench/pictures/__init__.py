"""Pictures of what an estimator does to one variable, drawn from the estimator's own code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from estbench import catalogue
from estbench.catalogue import options_of
from estbench.config import parse_selector
from estbench.errors import UsageError
from estbench.estimators.base import Estimator
from estbench.guide import built
from estbench.names import ALIASES
from estbench.pictures.neuron import Neuron, neurons
from estbench.pictures.relaxation import TEMPERATURES, relaxation
from estbench.plots import NO_DATES, styled, write

__all__ = ["picture"]


def picture(selector: str, path: Path) -> Path:
    """Draw an estimator, given by its name and options, into a file of type png, svg or pdf.

    An estimator that evaluates f or ∇f at relaxed samples, and has a temperature, is drawn as a relaxation: samples and
    mean at five temperatures (or at the one that is given) beside the distribution they tend to. Any other is drawn as
    a neuron: sample, mean and estimated derivative against the logit. UsageError for another name or type of file.
    """
    kind = path.suffix.removeprefix(".")
    if kind not in NO_DATES:
        raise UsageError(f"--figure {path}: name a file that ends in {', '.join(f'.{known}' for known in NO_DATES)}")
    given, own = parse_selector(selector)
    name, implied = parse_selector(ALIASES.get(given, given))
    if name not in catalogue.ESTIMATORS and not catalogue.is_plugin(name):
        raise UsageError(f"--figure draws estimators, and '{given}' is none of them (estbench list estimators)")
    options, made_by = implied | own, catalogue.estimator_class(name)
    heated = "temperature" in options_of(made_by)
    temperatures = TEMPERATURES if heated and "temperature" not in options else (options.get("temperature"),)
    variants = {tau: _at(name, made_by, options, tau) for tau in temperatures}
    first = next(iter(variants.values()))
    with styled():
        if heated and first.facts.evaluates_relaxed:
            return write(relaxation(selector, variants), path)
        panels = [
            Neuron(f"τ = {tau:g}" if tau is not None and len(variants) > 1 else "", estimator)
            for tau, estimator in variants.items()
        ]
        if len(panels) == 1:
            panels = _panels(name, made_by, options, first)
        return write(neurons(selector, panels), path)


def _at(name: str, kind: type[Any], options: Mapping[str, Any], tau: Any) -> Estimator:
    made: Estimator = built(name, kind, options if tau is None else {**options, "temperature": tau})
    return made


def _panels(name: str, kind: type[Any], options: Mapping[str, Any], estimator: Estimator) -> list[Neuron]:
    """A neuron for each link that it serves and, of straight-through estimators, a threshold with each proxy."""
    links = [link for link in ("sigmoid", "hard_sigmoid", "probit") if link in estimator.facts.links]
    panels = [Neuron(f"link {link}" if len(links) > 1 else "", estimator, link) for link in links]
    choices = options_of(kind)
    if options or not {"sample", "proxy"} <= choices.keys():
        return panels
    for proxy in choices["proxy"].annotation.__args__:  # type: ignore[union-attr] # it is a Literal
        threshold = built(name, kind, {"sample": "threshold", "proxy": proxy})
        panels.append(Neuron(f"threshold, proxy\n{proxy}", threshold))
    return panels
