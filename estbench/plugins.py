"""Names that are not in the catalogue: of code of users, and of packages that are installed.

    package.module:thing, path/my_file.py:thing   a name of its own (`is_plugin`)
    thing                                         what a file exports that was given to --plugin
    name                                          an entry point of an installed package (see `offers`)

The last two stand for names of the first kind. A thing is a class, an instance or, of an estimator, a function in one
of the forms of `adapters`; of an objective a function of samples. Code is imported only where its name is asked for.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
import sys
from collections.abc import Iterator
from typing import Any, Literal

import torch

from estbench import adapters
from estbench.adapters.signature import REWARDS
from estbench.errors import UsageError
from estbench.estimators.base import is_estimator
from estbench.isolation import Isolated, reason
from estbench.objectives import named_function
from estbench.offers import FILES, points
from estbench.sources import current, importable, imported_names, module_of, source_hash

What = Literal["estimator", "objective", "distribution", "network"]

MEMBERS: dict[str, tuple[str, ...]] = {
    "estimator": ("facts",),
    "objective": ("on", "distributions", "value"),
    "distribution": ("event_dim", "independent", "sample", "score", "log_prob", "states"),
    "network": ("images", "build"),
}
"""The members by which a class of each kind is known."""


def is_plugin(name: str) -> bool:
    """Whether it says where a thing is to be found: `package.module:thing`, `my_file.py:thing`."""
    return ":" in name


def canonical(name: str) -> str:
    """The one way in which such a name is written: `./my_file.py:thing` as `my_file.py:thing`."""
    where, thing = _parts(name)
    return f"{os.path.normpath(where)}:{thing}" if where.endswith(".py") else name


def alias(what: What, name: str) -> str | None:
    """What a name stands for that a file or an installed package offers, as a name of its own; None: nothing.

    Raises UsageError where several offer it.
    """
    of_files = [f"{file}:{name}" for file in FILES if name in exported(what, file)]
    found = of_files or [point.value for point in points(what) if point.name == name]
    if len(set(found)) > 1:
        raise UsageError(f"{what} {name!r} is offered by {' and by '.join(found)}; write which, with the colon")
    return found[0] if found else None


def offered(what: What) -> Iterator[tuple[str, str]]:
    """(name, what it stands for) of all that files and installed packages offer; packages are not imported."""
    yield from offered_by_files(what)
    yield from ((point.name, point.value) for point in points(what))


def offered_by_files(what: What) -> Iterator[tuple[str, str]]:
    """The same of the files alone."""
    for file in FILES:
        yield from ((name, f"{file}:{name}") for name in exported(what, file))


def exported(what: What, file: str) -> list[str]:
    """The public names that a file defines (or `__all__`) and that can be such a thing."""
    module = _module(file, file)
    own = getattr(module, "__all__", None)
    others = imported_names(module.__name__) if own is None else set()
    names = [
        name
        for name, value in vars(module).items()
        if (
            name in own
            if own is not None
            else not name.startswith("_") and name not in others and _of(value, module.__name__)
        )
    ]
    return [name for name in names if _may_be(what, getattr(module, name))]


def class_of(what: What, name: str) -> Any:
    """The class of what a name `where:thing` stands for: that of an instance, and one made for a function.

    UsageError, with the reason, where it cannot be imported, and where it is something else.
    """
    found = thing(what, name)
    if inspect.isclass(found) and not issubclass(found, torch.autograd.Function):
        missing = [member for member in MEMBERS[what] if not hasattr(found, member)]
        if missing:
            raise UsageError(f"{_is_not(name, what)}: it has no `{missing[0]}`{_instead(what, name, found)}")
        if what == "estimator" and not is_estimator(found):
            raise UsageError(f"{_is_not(name, what)}: it has neither `rows` nor `joint`")
        if not dataclasses.is_dataclass(found):
            raise UsageError(f"{name!r} is not a dataclass, as every {what} must be: write @dataclass(frozen=True)")
        return found
    if _is_instance(what, found):
        return type(found)
    if what not in ("estimator", "objective"):
        raise UsageError(f"{_is_not(name, what)}: it is not a class")
    try:
        return adapters.class_of(found) if what == "estimator" else named_function.class_of(found)
    except UsageError as error:
        raise UsageError(f"{_is_not(name, what)}: {error}") from None


def _is_not(name: str, what: What) -> str:
    return f"{name!r} is not {'an' if what in ('estimator', 'objective') else 'a'} {what}"


def _instead(what: What, name: str, kind: type[Any]) -> str:
    """What to name in the place of a class whose instances are functions, such as a module of torch."""
    if what not in ("estimator", "objective") or "__call__" not in {m for base in kind.__mro__ for m in vars(base)}:
        return ""
    called = name.rpartition(":")[2]
    return f"; its instances can be called: write mine = {called}(…) in a file and give my_file.py:mine"


def implied_options(what: What, name: str) -> dict[str, Any]:
    """The options that a thing has already, as it is an instance."""
    found = thing(what, name)
    if not _is_instance(what, found):
        return {}
    return {f.name: getattr(found, f.name) for f in dataclasses.fields(found) if f.init}


def is_function(name: str) -> bool:
    """Whether a name `where:thing` stands for a function, which has a form, and for no estimator or objective."""
    found = thing("estimator", name)
    plain_class = inspect.isclass(found) and not issubclass(found, torch.autograd.Function)
    return not plain_class and not any(_is_instance(what, found) for what in ("estimator", "objective"))


def takes_logits(name: str) -> bool:
    """Whether a function looks like an estimator: its first parameter is called logits, or rewards."""
    return _takes_logits(thing("estimator", name))


def hash_of(name: str, kind: type[Any]) -> str:
    """SHA-256 of what a thing is made of, and its class: of the statements that it uses, not of their comments."""
    where, thing = _parts(name)
    return source_hash(kind, module_of(where), thing)


def in_other_processes(name: str) -> bool:
    """Whether another process finds the same: its module has a file, and a class has not been put there later."""
    found = thing("estimator", name)
    if inspect.isclass(found) and getattr(sys.modules.get(found.__module__), found.__qualname__, None) is not found:
        return False
    return importable(module_of(_parts(name)[0]))


def _parts(name: str) -> tuple[str, str]:
    where, _, thing = name.rpartition(":")
    return where, thing


def _module(where: str, name: str) -> Any:
    try:
        module = module_of(where)
        with Isolated("import", module):
            return current(module)
    except Exception as error:  # whatever it does when it is imported
        raise UsageError(f"plug-in '{name}' cannot be imported: {_why(error)}") from error


def thing(what: What, name: str) -> Any:
    """What a name `where:thing` stands for; UsageError where it cannot be imported."""
    where, attribute = _parts(name)
    try:
        module = module_of(where)
        with Isolated("import", module):
            return functools.reduce(getattr, attribute.split("."), current(module))
    except Exception as error:  # whatever it does when it is imported
        raise UsageError(f"{what} plug-in '{name}' cannot be imported: {_why(error)}") from error


def _why(error: Exception) -> str:
    return reason(error).removeprefix("ModuleNotFoundError: ").removeprefix("FileNotFoundError: ")  # they say as much


def _is_instance(what: str, thing: Any) -> bool:
    """Whether it is an estimator or an objective, and no class or function."""
    return (
        not inspect.isclass(thing)
        and dataclasses.is_dataclass(thing)
        and all(hasattr(type(thing), m) or hasattr(thing, m) for m in MEMBERS[what])
    )


def _of(value: Any, module: str) -> bool:
    """Whether a module defines it: imported names and plain data are not exported."""
    made_here = getattr(value, "__module__", None) == module
    return made_here if inspect.isclass(value) or inspect.isroutine(value) else callable(value) or _has_members(value)


def _has_members(value: Any) -> bool:
    return any(_is_instance(what, value) for what in MEMBERS)


def _may_be(what: What, value: Any) -> bool:
    if inspect.isclass(value):
        of_torch = issubclass(value, torch.autograd.Function)
        if of_torch or what == "estimator":
            return what == "estimator" and (of_torch or is_estimator(value))
        return all(hasattr(value, member) for member in MEMBERS[what])
    if _has_members(value):
        return what != "distribution" and _is_instance(what, value)  # those are at logits of their own
    return callable(value) and what == ("estimator" if _takes_logits(value) else "objective")


def _takes_logits(value: Any) -> bool:
    if inspect.isclass(value) and issubclass(value, torch.autograd.Function):
        return True
    try:
        first = next(iter(inspect.signature(getattr(value, "forward", value)).parameters), "")
    except (TypeError, ValueError):
        return False
    return first in ("logits", "logit", *REWARDS)
