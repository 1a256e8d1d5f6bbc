"""The command line in processes of its own that start at once: forked from one that has imported everything.

That one is itself forked from the server of this process, which has imported most of it for the tests' own workers.
Commands can be killed, interrupted and starved of disk like any other, without seconds of imports before each. So can
the server that their workers are forked from: a fork of the command, closed to all files but those that it is given.
That a fresh interpreter becomes that server is seen where the suite, scripts and `python -m estbench` start workers.
"""

from __future__ import annotations

import atexit
import functools
import gc
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import forkserver, process, resource_tracker, util
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from estbench.processes import Process

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 240.0
"""Seconds after which a process that should have ended is a failure; many times what it needs."""


def serve(connection: Connection) -> None:
    """Be the process that commands are forked from: the answers to what its owner asks, until that one closes."""
    _pristine()
    import typer.main

    import estbench.comparison
    import estbench.frames
    import estbench.guide
    import estbench.report
    import estbench.summary.table
    import estbench.tables.progress
    import estbench.tables.ranking  # noqa: F401 # what commands would import, each by itself
    from estbench.__main__ import main
    from estbench.cli.app import app

    vars(typer.main)["get_command"] = functools.cache(typer.main.get_command)
    typer.main.get_command(app)
    vars(util)["spawnv_passfds"] = functools.partial(_forked, util.spawnv_passfds)
    gc.freeze()
    while True:
        try:
            order, what = connection.recv()
        except EOFError:
            return
        if order == "begin":
            connection.send(_begun(main, what))
        else:
            connection.send(os.waitstatus_to_exitcode(os.waitpid(what, 0)[1]))


def _pristine() -> None:
    """Forget what a process of multiprocessing has of the one that started it: commands know of no other process."""
    os.environ.clear()
    os.environ.update(environment())
    sys.path[:] = ["", *(folder for folder in sys.path if folder)]
    vars(process).update(_parent_process=None, _children=set())
    main = {"_identity": (), "_name": "MainProcess", "_parent_pid": None, "_popen": None}
    here = process.current_process()
    vars(here).update(main, _config={"authkey": here.authkey, "semprefix": "/mp"})
    forkserver._forkserver.__init__()  # type: ignore[misc]
    resource_tracker._resource_tracker.__init__()  # type: ignore[misc]
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _forked(interpreter: Callable[..., int], path: Any, arguments: Sequence[Any], numbers: Sequence[int]) -> int:
    """In place of a fresh interpreter that becomes a server, a fork; any other interpreter is a fresh one."""
    if not arguments[-1].startswith("from multiprocessing.forkserver import main"):
        return interpreter(path, arguments, numbers)
    pid = os.fork()
    if pid:
        return pid
    try:
        last = 2
        for number in sorted(numbers):
            os.closerange(last + 1, number)
            last = number
        os.closerange(last + 1, 1 << 16)
        for caught in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            if callable(signal.getsignal(caught)):
                signal.signal(caught, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        exec(arguments[-1], {})  # noqa: S102 # it is what the interpreter would be told
    finally:
        os._exit(0)


def _begun(main: Callable[[], None], job: Mapping[str, Any]) -> int:
    """A command that has begun: the number of its process."""
    pid = os.fork()
    if pid:
        return pid
    os.setpgid(0, 0)
    os.chdir(job["folder"])
    for number, path in enumerate([os.devnull, job["out"], job["err"]]):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), number)
    os.closerange(3, 1 << 16)
    for number in job["unread"]:
        reader, writer = os.pipe()
        os.close(reader)
        os.dup2(writer, number)
    for name, number in (("stdout", 1), ("stderr", 2)):  # whether a stream can be sought, it learns but once
        stream = os.fdopen(number, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)
        vars(sys).update({name: stream, f"__{name}__": stream})
    os.environ.clear()
    os.environ.update(job["variables"])
    if job["largest"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["largest"], resource.RLIM_INFINITY))
    sys.argv = ["estbench", *job["arguments"]]
    code: Any = 1
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)  # what was imported need not be taken down piece by piece


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


class Forks:
    """A process that has imported the program, and forks commands."""

    def __init__(self) -> None:
        self._server = Process(serve, imports="tests.preloaded", script=False)

    def begin(
        self,
        folder: Path,
        *arguments: object,
        out: str = "",
        err: str = "",
        unread: Sequence[int] = (),
        largest: int = 0,
        variables: Mapping[str, str] | None = None,
    ) -> Command:
        """Begin a command in a folder.

        `out`, `err`: where it prints to, in place of what `Said` has. `unread`: 1 or 2, or both, are pipes that nobody
        reads. `largest`: bytes beyond which no file may grow, if that is not 0. `variables`: its environment.
        """
        said, told = (str(folder / f".{name}-{time.monotonic_ns()}") for name in ("out", "err"))
        pid = self._ask(
            "begin",
            {
                "folder": str(folder),
                "arguments": [*map(str, arguments)],
                "out": out or said,
                "err": err or told,
                "unread": [*unread],
                "largest": largest,
                "variables": dict(variables or environment()),
            },
        )
        return Command(self, pid, Path(said), Path(told))

    def run(self, folder: Path, *arguments: object, **options: Any) -> Said:
        """Run a command to its end, the options being those of `begin`."""
        return self.begin(folder, *arguments, **options).wait()

    def ended(self, pid: int) -> int:
        """The exit code of a command, waited for."""
        return self._ask("wait", pid)

    def close(self) -> None:
        """End the process."""
        self._server.kill()

    def _ask(self, order: str, what: Any) -> int:
        self._server.connection.send((order, what))
        assert self._server.connection.poll(PATIENCE), "it does not end"
        return int(self._server.connection.recv())


@dataclass(frozen=True)
class Command:
    """A command that is running, in a process group of its own."""

    forks: Forks
    pid: int
    out: Path
    err: Path

    def wait(self) -> Said:
        """Its end, and what it said."""
        try:
            code = self.forks.ended(self.pid)
        except AssertionError:
            self.send(signal.SIGKILL)
            raise
        texts = [path.read_text() if path.exists() else "" for path in (self.out, self.err)]
        self.out.unlink(missing_ok=True)
        self.err.unlink(missing_ok=True)
        return Said(code, *texts)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it and to its workers, as a terminal does."""
        os.killpg(self.pid, number)

    def workers(self) -> list[int]:
        """The processes it has started."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in children.read_text().split()]


def alive(pid: int) -> bool:
    """Whether there is such a process, and it is not only waiting to be buried."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def until(condition: Any, seconds: float = PATIENCE) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not come to be"
        time.sleep(0.01)


def environment() -> dict[str, str]:
    """The environment of a command: no colours, 80 columns, one thread, and the tests' plug-ins can be imported."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.environ.get("HOME", "/"),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "80",
        "TERM": "dumb",
        "NO_COLOR": "1",
    }


@contextmanager
def forking() -> Iterator[Forks]:
    """Forks, closed at the end."""
    forks = Forks()
    try:
        yield forks
    finally:
        forks.close()
