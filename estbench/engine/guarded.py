"""A trial reading of a config in another process: importing or building its plug-ins may end or block a process."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from estbench import catalogue
from estbench.config import CONFIG, Document, load
from estbench.config.complaint import dotted
from estbench.config.document import read, without
from estbench.config.override import override
from estbench.config.selector import parse_selector
from estbench.errors import UsageError
from estbench.expand import expand
from estbench.isolation import BEGINNING, reason
from estbench.offers import FILES
from estbench.processes import Process, death

_PLUGIN = re.compile(r"[^\s:\[\]]+:[^\W\d]\w*(\[.*)?", re.DOTALL)
"""module:Class or path.py:Class, options in brackets or none."""


def demand_survived(source: Path | Document, settings: Sequence[str] = (), seconds: float | None = None) -> None:
    """Raise UsageError if a plug-in of a config ends the process that reads it, or takes longer than so many seconds.

    What is wrong with a config otherwise is not said here.
    """
    if (why := fatal(source, settings, seconds)) is not None:
        where = f"{source}: " if isinstance(source, Path) else ""
        raise UsageError(f"{where}{why}. Nothing ran.")


def fatal(source: Path | Document, settings: Sequence[str] = (), seconds: float | None = None) -> str | None:
    """How a plug-in of a config ends the process that reads it, or that it takes too long; None: it does neither."""
    document = override(read(source) if isinstance(source, Path) else source, settings)
    if not _plugins(document.data):
        return None
    process = Process(_read, imports=__name__)
    last = "it"
    try:
        process.connection.send((source, settings))
        last = process.connection.recv()  # it has begun: the time that its own imports take is not the plug-in's
        while process.connection.poll(seconds):
            if (said := process.connection.recv()) is None:
                return None
            last = said
    except (EOFError, ConnectionError):
        return f"{last} ends the process that does so: it died {death(process.end())}"
    finally:
        process.kill()
    return f"{last} takes longer than {seconds:g} s (--cell-timeout)"


def breaks(selector: str, seconds: float | None = None) -> str | None:
    """How the plug-in of an estimator's selector fails as it is imported or built; None if it does not.

    None too for a mistake in writing: a module, a class or an option that does not exist.
    """
    return _why({"estimators": [selector]}, [("estimator", selector)], seconds)


def unreadable(seconds: float | None = None) -> str | None:
    """How a file of --plugin ends the process that imports it, or that it takes too long; None: none does."""
    documents = (Document({"estimators": [f"{file}:_"]}, CONFIG) for file in FILES)
    return next(filter(None, (fatal(document, (), seconds) for document in documents)), None)


@dataclass(frozen=True)
class Usable:
    """What of a config can be run: the config without the entries whose plug-ins fail, and a line for each of these."""

    config: Path | Document
    settings: Sequence[str]
    failures: tuple[str, ...] = ()


def usable(config: Path, settings: Sequence[str] = (), seconds: float | None = None) -> Usable:
    """What is left of a config without the estimators and problems whose plug-ins fail as they are imported or built.

    So does one that ends the process that reads it, or takes longer than so many seconds. What is only written wrongly
    stays, to be told with all else. UsageError if no estimator or no problem is left.
    """
    document = override(read(config), settings)
    if not _plugins(document.data):
        return Usable(config, settings)
    lethal = fatal(document, (), seconds)
    if lethal is None and _loads(document):
        return Usable(config, settings)
    broken = {
        (part, i): why
        for part, named in (("estimators", _of_estimator), ("problems", _of_problem))
        for i, entry in enumerate(_listed(document.data, part))
        if _plugins(entry) and (why := _why({part: [entry]}, named(entry), seconds)) is not None
    }
    left = without(document, broken)
    if lethal is not None and not broken:
        raise UsageError(f"{config}: {lethal}. Nothing ran.")
    if not broken:
        return Usable(config, settings)
    lines = tuple(f"{document.place(path)}: {dotted(path)} failed: {why}" for path, why in broken.items())
    if not all(_listed(left.data, part) for part in ("estimators", "problems")):
        raise UsageError("\n".join((*lines, "Nothing ran.")))
    return Usable(replace(left, data={"name": config.stem, **left.data}), (), lines)


def _loads(document: Document) -> bool:
    try:
        load(document)
    except UsageError:
        return False
    return True


def _listed(data: Any, part: str) -> list[Any]:
    entries = data.get(part) if isinstance(data, dict) else None
    return entries if isinstance(entries, list) else []


def _of_estimator(entry: Any) -> list[tuple[str, Any]]:
    return [("estimator", entry)]


def _of_problem(entry: Any) -> list[tuple[str, Any]]:
    found = [(what, entry[what]) for what in ("objective", "distribution", "network") if what in entry]
    trainers = entry.get("training", {})
    trainers = trainers.get("estimator", []) if isinstance(trainers, dict) else []
    return found + [("estimator", each) for each in (trainers if isinstance(trainers, list) else [trainers])]


def _why(config: dict[str, Any], entries: Sequence[tuple[str, Any]], seconds: float | None) -> str | None:
    """How a plug-in of these entries, which are all that a config has, fails; None if none does."""
    if not _plugins(config):
        return None
    if (why := fatal(Document(config, CONFIG), (), seconds)) is not None:
        return why
    return next(filter(None, (_failure(what, entry) for what, entry in entries)), None)


_BESIDE = ("name", "options", "label", "temperatures", "anneal")
"""Keys of an entry that are not options."""


def _failure(what: str, entry: Any) -> str | None:
    """How importing or building the plug-in of one entry fails; None if it does not, or there is no such class."""
    given = entry if isinstance(entry, dict) else {"name": entry}
    if not isinstance(given.get("name"), str) or not catalogue.is_plugin(given["name"]):
        return None
    name, options = parse_selector(given["name"])
    nested = given.get("options")
    options |= nested if isinstance(nested, dict) else {}
    options |= {key: value for key, value in given.items() if key not in _BESIDE}
    try:
        kind = CLASSES[what](name)
        if what != "distribution":
            built = catalogue.build(kind, options)
            if what == "estimator":
                catalogue.facts_of(built)
    except UsageError as error:
        return None if _missing(error.__cause__, name) else str(error)
    except (ValidationError, AttributeError):  # wrong options, or no estimator
        return None
    except Exception as error:
        return f"it cannot be built: {reason(error)}"
    return None


CLASSES: dict[str, Callable[[str], Any]] = {
    "estimator": catalogue.estimator_class,
    "objective": catalogue.objective_class,
    "distribution": catalogue.distribution_class,
    "network": catalogue.network_class,
}


def _missing(error: BaseException | None, plugin: str) -> bool:
    """Whether a plug-in was not found: there is no such module, or no such class in it."""
    module, _, attribute = plugin.partition(":")
    if isinstance(error, ModuleNotFoundError):
        return error.name is None or f"{module}.".startswith(f"{error.name}.")
    return isinstance(error, AttributeError) and error.name == attribute


def _plugins(value: Any) -> bool:
    """Whether anything in a config is named as a plug-in is."""
    return any(map(_PLUGIN.fullmatch, _texts(value)))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _read(connection: Connection) -> None:
    """Read the config that is sent, and send what is begun, last None."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (1, 2):  # what plug-ins print is printed where they are imported for good
        os.dup2(nowhere, number)
    source, settings = connection.recv()
    connection.send("it")
    BEGINNING.append(lambda entropy: connection.send(_text(*entropy)))
    with suppress(Exception):  # the process that asks says so
        expand(load(source, settings))
    BEGINNING.clear()
    connection.send(None)


def _text(what: object, *of: object) -> str:
    """The beginning of a sentence about a call."""
    if what == "import":
        return f"importing the plug-in module {of[0]}"
    return f"building {of[0]}:{of[1]}" if what == "build" else "reading it"
