"""Selectors of what is not in the catalogue, as the command line takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from estbench import adapters, catalogue, plugins
from estbench.adapters import Form
from estbench.config.selector import format_selector, parse_selector
from estbench.errors import UsageError
from estbench.names import ALIASES, OBJECTIVE_ALIASES


def named(selector: str, what: Literal["estimator", "objective"] = "estimator") -> str:
    """The selector with the name `where:thing` in place of the short one that a file or a package offers."""
    head, options = parse_selector(selector)
    known = (catalogue.ESTIMATORS, ALIASES) if what == "estimator" else (catalogue.OBJECTIVES, OBJECTIVE_ALIASES)
    if any(head in names for names in known) or plugins.is_plugin(head):
        return selector
    found = plugins.alias(what, head)
    return selector if found is None else format_selector(found, options.items())


def in_form(selectors: Sequence[str], form: Form | None) -> list[str]:
    """The selectors with the option `form` for functions that may have it: of (logits, f), or of one argument.

    UsageError where there is none.
    """
    fitting = [selector for selector in selectors if form is not None and _may_have(selector, form)]
    if form is not None and not fitting:
        raise UsageError(f"--as {form}: among {', '.join(selectors)} there is no function {adapters.FORMS[form]}")
    return [_with(selector, form) if selector in fitting else selector for selector in selectors]


def _may_have(selector: str, form: Form) -> bool:
    head, options = parse_selector(named(selector))
    if "form" in options or not plugins.is_plugin(head) or not plugins.is_function(head):
        return False
    try:
        return adapters.may_have(plugins.thing("estimator", head), form)
    except TypeError:  # it takes nothing
        return False


def _with(selector: str, form: Form | None) -> str:
    head, options = parse_selector(selector)
    return format_selector(head, [*options.items(), ("form", form)])
