"""Processes of this machine: how many are worth having, and how workers begin.

On Linux workers are forked from a server: a fresh process that has imported what they need and done nothing else. It
imports while this process does, and once for all; elsewhere, where forks are less safe, each worker imports by itself.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

if sys.platform == "linux":
    _CONTEXT = multiprocessing.get_context("forkserver")
else:
    _CONTEXT = multiprocessing.get_context("spawn")


def cores() -> int:
    """The cores that this process may use (`os.process_cpu_count` of Python 3.13), where that is known; else all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def prepare(module: str) -> None:
    """Let the server begin to import a module that workers need; this process goes on with something else."""
    resource_tracker.ensure_running()  # begun later, it would let interrupts through again
    if sys.platform == "linux":
        _CONTEXT.set_forkserver_preload([module])
        _deaf(forkserver.ensure_running)


def start_worker(work: Callable[[Connection], None]) -> tuple[BaseProcess, Connection]:
    """A process that does `work` with its end of a pipe, and this end.

    It hears of no Ctrl-C: what that means is for this process to decide.
    """
    prepare(work.__module__)
    connection, theirs = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=work, args=(theirs,), daemon=True)
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
