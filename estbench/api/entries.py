"""Names with options, as configs and the command line take them, where Python takes them too."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from pydantic import ValidationError

from estbench.config.complaint import dotted
from estbench.config.explain import explain
from estbench.errors import UsageError

T = TypeVar("T")


def read_entry(read: Callable[[Any], T], value: Any, where: str, keys: Iterable[str] = ()) -> T:
    """The entry that one of the readers of `estbench.config.choice` makes of a value; UsageError lists all faults.

    `keys`: those that the value may have, where it is a mapping.
    """
    try:
        return read(value)
    except ValidationError as error:
        told = explain(error, value, {(): [*keys]})
        faults = [(path[1:] if path[:1] == ("name",) else path, text) for path, text in told]
        said = [f"{where}{'.' * bool(where and path)}{dotted(path)}: {text}" for path, text in faults]
        raise UsageError("\n".join(said)) from None
