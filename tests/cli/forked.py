"""The command line in processes of its own that start at once: forked from one that has imported everything.

They can be killed, interrupted and starved of disk like any other, without seconds of imports before each. So can the
server that their workers are forked from: it is a fork of the command, closed to all files but those that it is given.
That a fresh interpreter becomes that server is seen where the suite, scripts and `python -m estbench` start workers.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 240.0
"""Seconds after which a process that should have ended is a failure; many times what it needs."""

SERVER = """
import atexit, functools, gc, json, os, resource, signal, sys
from multiprocessing import util
import tests.preloaded
import estbench.comparison, estbench.engine.benchmark, estbench.preflight.check, estbench.frames, estbench.guide
import estbench.report, estbench.tables.ranking, estbench.tables.progress, estbench.summary.table
import typer.main
from estbench.__main__ import main
from estbench.cli.app import app

typer.main.get_command = functools.cache(typer.main.get_command)
typer.main.get_command(app)
interpreter = util.spawnv_passfds

def forked(path, arguments, numbers):
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
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        exec(arguments[-1], {})
    finally:
        os._exit(0)

util.spawnv_passfds = forked

def begin(job):
    pid = os.fork()
    if pid:
        return pid
    os.setpgid(0, 0)
    os.chdir(job["folder"])
    for number, path in enumerate([os.devnull, job["out"], job["err"]]):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), number)
    for number in job["unread"]:
        reader, writer = os.pipe()
        os.close(reader)
        os.dup2(writer, number)
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__ = [  # whether a stream can be sought, it learns but once
        open(number, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False) for number in (1, 2)
    ]
    os.environ.clear()
    os.environ.update(job["variables"])
    if job["largest"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["largest"], resource.RLIM_INFINITY))
    sys.argv = ["estbench", *job["arguments"]]
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)  # what was imported need not be taken down piece by piece

gc.freeze()
print("ready", flush=True)
while line := sys.stdin.readline():
    order, what = json.loads(line)
    if order == "begin":
        print(begin(what), flush=True)
    else:
        print(os.waitstatus_to_exitcode(os.waitpid(what, 0)[1]), flush=True)
"""


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


class Forks:
    """A process that has imported the program, and forks commands."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
        )
        assert self._line() == "ready"

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
        return Command(self, int(pid), Path(said), Path(told))

    def run(self, folder: Path, *arguments: object, **options: Any) -> Said:
        """Run a command to its end, the options being those of `begin`."""
        return self.begin(folder, *arguments, **options).wait()

    def ended(self, pid: int) -> int:
        """The exit code of a command, waited for."""
        return int(self._ask("wait", pid))

    def close(self) -> None:
        """End the process."""
        self._server.kill()
        self._server.communicate()

    def _ask(self, order: str, what: Any) -> str:
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps([order, what]) + "\n")
        self._server.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self._server.stdout is not None
        ready, _, _ = select.select([self._server.stdout], [], [], PATIENCE)
        assert ready, "it does not end"
        return self._server.stdout.readline().strip()


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
