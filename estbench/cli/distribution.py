"""`--distribution` and `--logits`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from estbench.errors import UsageError
from estbench.imports import quick_imports

if TYPE_CHECKING:
    from estbench.distributions import Distribution


def distribution_at(name: str | None, logits: str) -> Distribution:
    """The distribution of that name, with options in brackets if need be, at logits in JSON.

    By default a list of numbers is of Bernoulli variables, a list of rows of categorical ones. UsageError for what is
    wrong with either.
    """
    with quick_imports():
        from estbench.api.entries import read_entry
        from estbench.config.choice import read_distribution
        from estbench.distributions.logits import as_logits

    try:
        values = json.loads(logits)
    except ValueError:
        raise UsageError(f"--logits: expected numbers as '[0.5, -1]' or '[[0, 1, 2]]', got {logits!r:.80}") from None
    values = values if isinstance(values, list) else [values]
    # nested lists say which of the two is meant; other distributions have to be named
    name = name or ("categorical" if any(isinstance(row, list) for row in values) else "bernoulli")
    choice = read_entry(read_distribution, name, "--distribution")
    return choice.at(as_logits(values, f"--logits of {name} variables", choice.event_dim))
