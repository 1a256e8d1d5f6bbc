"""A card made in a process of its own: a target that ends or blocks that process is reported, and harms no other."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from estbench.card.card import Card
from estbench.card.check import check
from estbench.card.findings import Finding
from estbench.errors import UsageError
from estbench.isolation import BEGINNING, stdout_to_stderr
from estbench.processes import Process, death


def card_apart(target: str, arguments: dict[str, Any], seconds: float) -> Card:
    """The card of a target that is named, as `check` makes it; one that says so where the process ends or takes longer.

    Raises UsageError as `check` does.
    """
    process, running, deadline = Process(_work, imports=__name__), "it", time.monotonic() + seconds
    try:
        process.connection.send((target, arguments, str(Path.cwd())))
        while process.connection.poll(max(0.0, deadline - time.monotonic())):
            found = process.connection.recv()
            if isinstance(found, Card):
                return found
            if isinstance(found, UsageError):
                raise found
            running = found
    except (EOFError, ConnectionError):
        return _ended(target, f"{running} ends the process that does so: it died {death(process.end())}")
    finally:
        process.kill()
    return _ended(target, f"{running} takes longer than {seconds:g} s (--timeout)")


def _ended(target: str, why: str) -> Card:
    return Card(target, "not known", (Finding("runs", False, why, "", "ends"),))


def _work(connection: Connection) -> None:
    torch.set_num_threads(1)
    target, arguments, folder = connection.recv()
    said = ""

    def tell(entropy: tuple[object, ...]) -> None:
        nonlocal said
        if (text := _text(target, *entropy)) != said:
            said = text
            connection.send(text)

    with suppress(OSError):
        os.chdir(folder)
    BEGINNING.append(tell)
    with stdout_to_stderr():
        try:
            found: Card | UsageError = check(target, **arguments)
        except UsageError as error:
            found = UsageError(str(error))
    BEGINNING.remove(tell)
    connection.send(found)


def _text(target: str, what: object, *of: object) -> str:
    """The beginning of a sentence about a call of user code, by what its random numbers are seeded from."""
    if what == "import":
        return f"importing {of[0]}"
    if what == "build":
        return f"building {of[0]}:{of[1]}"
    return "calling f, the objective," if what == "objective" else f"calling {target}"
