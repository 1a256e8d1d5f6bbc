"""Processes of this machine: how many are worth having, and how workers begin.

On Linux workers are forked from a server: a fresh process that has imported what they need and done nothing else. It
imports while this process does, and once for all. Elsewhere, where forks are less safe, and where there can be no
server, each worker is spawned and imports by itself.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import forkserver, get_context, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess


def cores() -> int:
    """The cores that this process may use (`os.process_cpu_count` of Python 3.13), where that is known; else all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def prepare(module: str) -> bool:
    """Let the server begin to import a module that workers need, and go on; whether there is a server."""
    resource_tracker.ensure_running()  # begun later, it would let interrupts through again
    if sys.platform == "linux":
        forkserver.set_forkserver_preload([module])
        with suppress(OSError):  # it listens in TMPDIR, whose name may be too long, or which may be full
            _deaf(forkserver.ensure_running)
            return True
    return False


def start_worker(work: Callable[[Connection], None]) -> tuple[BaseProcess, Connection]:
    """A process that does `work` with its end of a pipe, and this end.

    It hears of no Ctrl-C: what that means is for this process to decide.
    """
    if prepare(work.__module__):
        with suppress(OSError):  # somebody has cleaned TMPDIR
            return _start(get_context("forkserver"), work)
    return _start(get_context("spawn"), work)


def _start(
    context: ForkServerContext | SpawnContext, work: Callable[[Connection], None]
) -> tuple[BaseProcess, Connection]:
    connection, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs,), daemon=True)
    _deaf(process.start)
    theirs.close()
    return process, connection


def _deaf(start: Callable[[], None]) -> None:
    """Start a process that Ctrl-C does not reach: it inherits that interrupts are blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
