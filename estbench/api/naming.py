"""What the objects that Python code gives are called in results, and how those of one name are told apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from estbench import catalogue
from estbench.function_options import Target
from estbench.names import ALIASES, OBJECTIVE_ALIASES
from estbench.objectives.function import name_of
from estbench.plan import TEMPERATURE, Options

PLAIN = (bool, int, float, str)
CATALOGUED = frozenset(
    {*catalogue.ESTIMATORS, *catalogue.OBJECTIVES, *catalogue.DISTRIBUTIONS, *ALIASES, *OBJECTIVE_ALIASES}
)


class Naming:
    """The names of the objects of one call: the second of one name is called `name #2`."""

    def __init__(self) -> None:
        self._known: dict[str, list[tuple[Target, dict[Options, Target]]]] = {}

    def number(self, of: Any, given: Any, options: Options) -> str:
        """What is put after the name of a class or function `of`: nothing, or a number.

        `given` is the object itself. The options tell objects of one class apart, as far as they are shown.
        """
        known = self._known.setdefault(name_of(of), [])
        own, it = Target(of), Target(given)
        i = next((i for i, (each, objects) in enumerate(known) if each == own and objects.get(options, it) == it), None)
        if i is None:
            i = len(known)
            known.append((own, {}))
        known[i][1][options] = it
        return f" #{i + 1}" if i else ""


def qualified(called: Any) -> str:
    """`module:name`, as configs name what can be imported; of what was defined in a script or notebook the name.

    There too it is `__main__:name` where the catalogue has something of that name.
    """
    inner = getattr(called, "func", called)  # of a functools.partial
    module = getattr(inner, "__module__", None) or type(inner).__module__
    name = name_of(called)
    return name if module == "__main__" and name not in CATALOGUED else f"{module}:{name}"


def short(called: Any) -> str:
    """The name alone, unless the catalogue has something of that name."""
    name = name_of(called)
    return qualified(called) if name in CATALOGUED else name


def options_of_instance(instance: Any, always: Collection[str] = (TEMPERATURE,)) -> Options:
    """The options that differ from their defaults, or are `always` shown, and are plain values."""
    if not dataclasses.is_dataclass(instance):
        return ()
    found: list[tuple[str, Any]] = []
    with suppress(TypeError, NameError):  # annotations that cannot be resolved
        for name, info in catalogue.options_of(type(instance)).items():
            value = getattr(instance, name)
            plain = isinstance(value, PLAIN) or (isinstance(value, tuple) and all(isinstance(v, PLAIN) for v in value))
            if plain and (name in always or is_changed(instance, name, info)):
                found.append((name, value))
    return tuple(found)


def is_changed(instance: Any, name: str, info: Any) -> bool:
    """Whether an option is not at its default."""
    return bool(info.is_required() or getattr(instance, name) != info.get_default(call_default_factory=True))


def is_described(instance: Any) -> bool:
    """Whether its options, all of plain values, are all that it is made of beside logits."""
    if not dataclasses.is_dataclass(instance):
        return False
    fields = [field.name for field in dataclasses.fields(instance) if field.name != "logits"]
    return all(isinstance(getattr(instance, name), PLAIN) for name in fields)
