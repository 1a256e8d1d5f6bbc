"""Processes of this machine: how many are worth having, and how workers begin.

On Linux workers are forked from a server: a fresh process that has imported what they need and done nothing else. It
imports while this process does, and once for all; there is one in a process, which whoever else forks from it shares.
Elsewhere, where forks are less safe, and where there can be no server, each worker is spawned and imports by itself.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, get_context, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path

from estbench.threads import ONE_THREAD, environment, one_thread


def cores() -> int:
    """The cores that this process may use (`os.process_cpu_count` of Python 3.13), where that is known; else all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def prepare(module: str) -> bool:
    """Let the server begin to import a module that workers need, and go on; whether there is a server."""
    resource_tracker.ensure_running()  # begun later, it would let interrupts through again
    if sys.platform == "linux":
        forkserver.set_forkserver_preload([module])
        # TMPDIR, where the server listens, may be full, or its path too long
        with suppress(OSError), _interrupts_blocked(), _like_this_process():
            forkserver.ensure_running()
            return True
    return False


def start_worker(work: Callable[[Connection], None]) -> tuple[BaseProcess, Connection]:
    """A process that does `work` with its end of a pipe, and this end.

    It hears of no Ctrl-C: what that means is for this process to decide. OSError if the system allows no more.
    """
    if prepare(work.__module__):
        with suppress(OSError, EOFError):  # somebody has cleaned TMPDIR, or killed the server
            return _begun(get_context("forkserver"), work)  # deaf as the server is
    with _interrupts_blocked(), one_thread():
        return _begun(get_context("spawn"), work)


def _begun(
    context: ForkServerContext | SpawnContext, work: Callable[[Connection], None]
) -> tuple[BaseProcess, Connection]:
    connection, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    return process, connection


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Ctrl-C does not reach processes started in here: they inherit that interrupts are blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _like_this_process() -> Iterator[None]:
    """Interpreters started in here find the modules that this one does, and none beside it.

    Nor do they start threads for linear algebra, which forks would lack.
    """
    path = os.pathsep.join(folder or str(Path.cwd()) for folder in sys.path)
    with environment({"PYTHONSAFEPATH": "1", "PYTHONPATH": path, **ONE_THREAD}):
        yield
