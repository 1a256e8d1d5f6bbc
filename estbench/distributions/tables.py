"""Tables that are made of a distribution once, and live as long as it does."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

Args = ParamSpec("Args")
Owner = TypeVar("Owner")
Made = TypeVar("Made")


def table(make: Callable[Concatenate[Owner, Args], Made]) -> Callable[Concatenate[Owner, Args], Made]:
    """`make(owner, …)` that remembers what it made for each owner, in the owner itself.

    A cache beside the owners would keep them alive: in training there is a new distribution at every step, with tables
    of a whole minibatch.
    """

    @wraps(make)
    def remembered(owner: Owner, /, *args: Args.args, **kwargs: Args.kwargs) -> Made:
        made: dict[Any, Made] = vars(owner).setdefault("_tables", {})
        key = (make, args, tuple(kwargs.items()))
        if key not in made:
            made[key] = make(owner, *args, **kwargs)
        return made[key]

    return remembered
