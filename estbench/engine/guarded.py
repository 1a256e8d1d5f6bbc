"""A trial reading of a config in another process: importing or building its plug-ins may end or block a process."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from estbench import catalog
from estbench.config import CONFIG, Document, load
from estbench.config.document import read
from estbench.config.override import override
from estbench.config.selector import parse_selector
from estbench.errors import UsageError
from estbench.expand import expand
from estbench.isolation import BEGINNING, reason
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
    if not any(map(_PLUGIN.fullmatch, _texts(document.data))):
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

    None too for what is only written wrongly: a module, a class or an option that there is not.
    """
    name, options = parse_selector(selector)
    if not catalog.is_plugin(name):
        return None
    if (why := fatal(Document({"estimators": [selector]}, CONFIG), (), seconds)) is not None:
        return why
    try:
        kind = catalog.estimator_class(name)
        catalog.facts_of(catalog.build(kind, options))
    except UsageError as error:
        wrong = isinstance(error.__cause__, ModuleNotFoundError | AttributeError)
        return None if wrong else str(error)
    except (ValidationError, AttributeError):  # wrong options, or no estimator
        return None
    except Exception as error:
        return f"it cannot be built: {reason(error)}"
    return None


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
