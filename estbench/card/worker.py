"""A card made in a process of its own: what its target does to that process is found out, and does no other harm."""

from __future__ import annotations

import os
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from estbench.card.card import Card
from estbench.card.check import check
from estbench.card.findings import Finding
from estbench.errors import UsageError
from estbench.isolation import stdout_to_stderr
from estbench.processes import Process, death


def card_apart(target: str, arguments: dict[str, Any], seconds: float) -> Card:
    """The card of a target that is named, as `check` makes it; one that says so where the process ends or takes longer.

    Raises UsageError as `check` does.
    """
    process = Process(_work, imports=__name__)
    try:
        process.connection.send((target, arguments, str(Path.cwd())))
        if not process.connection.poll(seconds):
            return _ended(target, f"it takes longer than {seconds:g} s (--timeout)")
        found = process.connection.recv()
    except (EOFError, ConnectionError):
        return _ended(target, f"it ends the process that calls it: it died {death(process.end())}")
    finally:
        process.kill()
    if isinstance(found, Card):
        return found
    raise UsageError(found)


def _ended(target: str, why: str) -> Card:
    return Card(target, "not known", (Finding("runs", False, why, "", "ends"),))


def _work(connection: Connection) -> None:
    torch.set_num_threads(1)
    target, arguments, folder = connection.recv()
    with suppress(OSError):
        os.chdir(folder)
    with stdout_to_stderr():
        try:
            connection.send(check(target, **arguments))
        except UsageError as error:
            connection.send(str(error))
