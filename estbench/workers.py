"""Worker processes: each does one kind of work on one task after the other."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from estbench.errors import EstbenchError
from estbench.processes import Process, death


@dataclass(frozen=True)
class Answer:
    """What the work on one task returned."""

    value: Any


@dataclass(frozen=True)
class Death:
    """How a worker died; `at_start`: before it could do anything, for a reason that it has printed."""

    text: str
    at_start: bool = False


class Worker:
    """A `Process` that does `work` on one task after the other, having called `begin` first.

    It prints to standard error. For `imports`, `script` and errors see `Process`.
    """

    def __init__(
        self,
        work: Callable[[Any], Any],
        *,
        imports: str | None,
        begin: Callable[[], None] | None = None,
        script: bool = True,
    ) -> None:
        self._process = Process(partial(_serve, work, begin), imports=imports, script=script)
        self.connection = self._process.connection
        self._begun = False

    def send(self, task: object) -> None:
        """Give it a task; one at a time."""
        with suppress(OSError):  # it died; `answer` says so
            self.connection.send(task)

    def answer(self) -> Answer | Death | None:
        """Its answer, waited for; or how it died; or None, once, when it has begun.

        An EstbenchError that the work raised is raised here; any other exception is a bug, and a RuntimeError here.
        """
        try:
            answer, error = self.connection.recv()
        except (EOFError, OSError):
            code = self._process.end()
            return Death(death(code), at_start=not self._begun and code == 1)
        if isinstance(error, EstbenchError):
            raise error
        if error is not None:
            raise RuntimeError(f"in a worker process:\n{error}")
        self._begun = True
        found: Answer | None = answer
        return found

    def end(self) -> None:
        """Let it end once it has done its task, and wait for that."""
        self._process.end()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()


def _serve(work: Callable[[Any], Any], begin: Callable[[], None] | None, connection: Connection) -> None:
    """What a worker does: tasks, as they come, until the other end of the pipe is closed."""
    if begin is not None:
        begin()
    with suppress(OSError):
        os.dup2(2, 1)  # what threads of plug-ins print is not output of the command
    with suppress(EOFError, ConnectionError):
        connection.send((None, None))
        while True:
            task = connection.recv()
            answer: tuple[Answer | None, EstbenchError | str | None]
            try:
                answer = Answer(work(task)), None
            except EstbenchError as error:
                answer = None, error
            except BaseException:
                answer = None, traceback.format_exc()
            connection.send(answer)
