"""A card made in a process of its own: what its target does to that process is found out, and does no other harm."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from estbench.card.card import Card
from estbench.card.check import check
from estbench.card.findings import Finding
from estbench.engine.pool import death, end_with_parent
from estbench.errors import UsageError
from estbench.isolation import stdout_to_stderr
from estbench.processes import start_worker


def card_apart(target: str, arguments: dict[str, Any], seconds: float) -> Card:
    """The card of a target that is named, as `check` makes it; one that says so where the process ends or takes longer.

    Raises UsageError as `check` does.
    """
    process, connection = start_worker(_work)
    try:
        connection.send((target, arguments, str(Path.cwd())))
        if not connection.poll(seconds):
            return _ended(target, f"it takes longer than {seconds:g} s (--timeout)")
        found = connection.recv()
    except (EOFError, ConnectionError):
        process.join()
        return _ended(target, f"it ends the process that calls it: it died {death(process.exitcode)}")
    finally:
        process.kill()
        process.join()
        connection.close()
    if isinstance(found, Card):
        return found
    raise UsageError(found)


def _ended(target: str, why: str) -> Card:
    return Card(target, "not known", (Finding("runs", False, why, "", "ends"),))


def _work(connection: Connection) -> None:
    threading.Thread(target=end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    target, arguments, folder = connection.recv()
    with suppress(OSError):
        os.chdir(folder)
    with stdout_to_stderr():
        try:
            connection.send(check(target, **arguments))
        except UsageError as error:
            connection.send(str(error))
