"""Processes of this machine: how many to use, how they are started, and how they end.

On Linux workers are forked from a server: a fresh process that has imported what they need and done nothing else. It
imports while this process does, and once for all; there is one in a process, which whoever else forks from it shares.
Elsewhere, where forks are less safe, and where there can be no server, each worker is spawned and imports by itself.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from multiprocessing import forkserver, get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType

from estbench.interrupts import end_process
from estbench.threads import ONE_THREAD, environment, one_thread


def cores() -> int:
    """The cores that this process may use (`os.process_cpu_count` of Python 3.13), where that is known; else all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def prepare(module: str) -> bool:
    """Let the server begin to import a module that workers need, and go on; whether there is a server."""
    if sys.platform == "linux":
        forkserver.set_forkserver_preload([module])
        # TMPDIR, where the server listens, may be full, or its path too long
        with suppress(OSError), interrupts_blocked(), _like_this_process():
            forkserver.ensure_running()
            return True
    return False


class Process:
    """A process that does `work` with its end of a pipe, and this end of the pipe.

    It is forked from a server that `imports` a module; or, if that is None, spawned: it then imports what it needs by
    itself, and this process does not wait for that. It uses one thread for linear algebra. Ctrl-C does not reach it:
    what that means is for this process to decide. It ends with this process, even if this one is killed. It imports the
    `script` that this process runs, where names of it may have to be found. OSError if the system allows no more
    processes.
    """

    def __init__(self, work: Callable[[Connection], None], *, imports: str | None, script: bool = True) -> None:
        with nullcontext() if script else _without_script():
            self._process, self.connection = _started(work, imports)

    def end(self) -> int | None:
        """Wait for its end, with the pipe closed; its exit code, or minus the signal that it died of."""
        self.connection.close()
        self._process.join()
        return self._process.exitcode

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self.end()


def death(exitcode: int | None) -> str:
    """How a process died, as `of SIGSEGV`."""
    if exitcode is None or exitcode >= 0:
        return f"with exit code {exitcode}"
    by = next((each.name for each in signal.Signals if each == -exitcode), f"signal {-exitcode}")
    return f"of {by}" + (" (out of memory?)" if by == "SIGKILL" else "")


def _started(work: Callable[[Connection], None], imports: str | None) -> tuple[BaseProcess, Connection]:
    if imports is not None and prepare(imports):
        with suppress(OSError, EOFError):  # somebody has cleaned TMPDIR, or killed the server
            return _of(get_context("forkserver"), work)  # Ctrl-C is blocked as in the server
    with interrupts_blocked(), one_thread():
        return _of(get_context("spawn"), work)


def _of(
    context: ForkServerContext | SpawnContext, work: Callable[[Connection], None]
) -> tuple[BaseProcess, Connection]:
    connection, theirs = context.Pipe()
    process = context.Process(target=_run, args=(work, theirs), daemon=True)
    process.start()
    theirs.close()
    return process, connection


def _run(work: Callable[[Connection], None], connection: Connection) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    work(connection)


def _end_with_parent() -> None:
    """Not even a kill of the parent leaves its workers behind."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    end_process(1)


@contextmanager
def _without_script() -> Iterator[None]:
    """Processes started in here do not import what this process runs: it may have no guard against that."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Ctrl-C does not reach processes started in here: they inherit that interrupts are blocked."""
    resource_tracker.ensure_running()  # started in here, it would let interrupts through again
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
