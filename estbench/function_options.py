"""The options of a function of a user: its parameters that have a plain type, as fields of a class made for it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Container, Iterator, Mapping
from inspect import Parameter
from typing import Any, Literal, TypeVar, cast, get_type_hints

from pydantic import ConfigDict

from estbench.options import dataclass

T = TypeVar("T")

PLAIN = (bool, int, float, str, type(None))
"""Types of options, as a config can write them."""

VARIABLE = (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL)

Option = tuple[Any, Any]
"""The type of an option, and its default (`Parameter.empty`: it is needed)."""


class Target:
    """A function, equal to itself alone; a method is equal to the same method of the same object."""

    def __init__(self, it: Any) -> None:
        self.it = it

    @property
    def _identity(self) -> tuple[int, ...]:
        if inspect.ismethod(self.it):
            return id(self.it.__self__), id(self.it.__func__)
        return (id(self.it),)

    def __hash__(self) -> int:
        return hash(self._identity)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Target) and self._identity == other._identity


def name_of(target: Any) -> str:
    """`module:name` of a function, or of the class of what is called."""
    inner = target.func if isinstance(target, functools.partial) else target
    named = inner if hasattr(inner, "__qualname__") else type(inner)
    return f"{named.__module__}:{named.__qualname__}"


def option(target: Any, p: Parameter) -> Option | None:
    """A parameter as an option: of the type that is annotated if that is plain, else of that of its default.

    None if it is not an option: its default is not plain, or it stands for any number of arguments.
    """
    if p.kind in VARIABLE or not (p.default is Parameter.empty or isinstance(p.default, (*PLAIN, tuple))):
        return None
    with_hints: Any = getattr(target, "forward", target)
    try:
        hint = get_type_hints(with_hints).get(p.name, Parameter.empty)
    except Exception:  # names of modules that are imported for type checkers alone
        hint = Parameter.empty
    if hint is not Parameter.empty and all(part in PLAIN for part in _parts(hint)):
        return hint, p.default
    return (type(p.default) if type(p.default) in PLAIN[:-1] else Any), p.default


def _parts(hint: Any) -> Iterator[Any]:
    """The types that a union is made of; of a literal those of its values."""
    inner = getattr(hint, "__args__", None)
    if inner is None or isinstance(hint, type):
        yield hint
    elif getattr(hint, "__origin__", None) is Literal:
        yield from map(type, inner)
    else:
        for part in inner:
            yield from _parts(part)


def as_options(given: Mapping[str, Any], names: Container[str]) -> dict[str, Any]:
    """Given options under the names of existing ones: what a function calls tau is `temperature`."""
    return {("temperature" if name == "tau" and "tau" not in names else name): value for name, value in given.items()}


def class_with(options: Mapping[str, Option], base: type[T], target: Any) -> type[T]:
    """A frozen pydantic dataclass with these options, named as the function, which is its `target`."""
    module, _, name = name_of(target).partition(":")
    body = {
        "__annotations__": {each: annotation for each, (annotation, _) in options.items()},
        "__module__": module,
        "__qualname__": name,
        "__doc__": _own_doc(target) or f"The function {name} of {module}.",
        "target": staticmethod(target),
        **{each: default for each, (_, default) in options.items() if default is not Parameter.empty},
    }
    make: Any = dataclass(frozen=True, kw_only=True, repr=False, config=ConfigDict(extra="forbid"))
    return cast(type[T], make(type(name.rpartition(".")[2], (base,), body)))


def _own_doc(target: Any) -> str:
    """The docstring that was written for it: not that of a base class, nor of the class of an instance of a library."""
    if inspect.isclass(target):
        return inspect.cleandoc(vars(target).get("__doc__") or "")
    if inspect.isroutine(target):
        return inspect.getdoc(target) or ""
    return _own_doc(type(target))
