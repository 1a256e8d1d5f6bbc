"""Objectives that are functions, by name: a class for each, with the function's own options as its options."""

from __future__ import annotations

import functools
import inspect
from functools import lru_cache, partial
from typing import Any, ClassVar

from torch import Tensor

from estbench.distributions import Distribution
from estbench.errors import UsageError
from estbench.function_options import Target, class_with, name_of, option
from estbench.objectives.base import BOTH
from estbench.objectives.function import Function, On, function_of


class NamedFunction:
    """f(v) by a function; what it takes, and in which form, is found out where its distribution is known.

    on  what it is a function of (see `Objective`); by default samples [n, D] or one-hot [n, D, K], and the ordinal
        values where it takes no one-hot samples
    """

    target: ClassVar[Any]
    distributions: ClassVar[frozenset[str]] = BOTH
    on: On | None

    def for_distribution(self, distribution: Distribution) -> Function:
        """The objective itself; UsageError where the function cannot be evaluated."""
        given = {name: getattr(self, name) for name in vars(self) if name != "on"}
        f = functools.update_wrapper(partial(self.target, **given), self.target) if given else self.target
        return function_of(f, distribution, self.on)

    def value(self, v: Tensor) -> Tensor:
        """Raise TypeError: a value needs the distribution, which a problem knows."""
        del v
        raise TypeError(f"{name_of(self.target)} is asked through a problem, which knows the distribution")


def class_of(f: Any) -> type[NamedFunction]:
    """The class of the objectives that call a function; UsageError for what cannot be called."""
    if not callable(f) or inspect.isclass(f):
        raise UsageError(f"an objective is a function of samples, or a class with `value`, and this is {f!r:.80}")
    return _class_of(Target(f))


@lru_cache(maxsize=256)
def _class_of(target: Target) -> type[NamedFunction]:
    called = getattr(target.it, "forward", target.it)
    try:
        listed = list(inspect.signature(called).parameters.values())[1:]
    except (TypeError, ValueError):  # a function in C does not tell
        listed = []
    options = {p.name: found for p in listed if p.name != "on" and (found := option(target.it, p)) is not None}
    return class_with({**options, "on": (On | None, None)}, NamedFunction, target.it)
