"""Tasks in processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection, wait

from estbench.engine.executors import MAX_WORKER_DEATHS, Done, configure_process, redo_in_pieces
from estbench.engine.tasks import Record, Task
from estbench.errors import EstbenchError
from estbench.isolation import end_process
from estbench.processes import start_worker


class Pool:
    """So many processes, each with one torch thread, started when there is something to do.

    Each has one task at a time, so when one dies it is known of what. No task is begun then until those under way are
    done, and the one it died of, cut in pieces, is done again with nothing beside it: the memory is all its own.
    """

    def __init__(self, workers: int) -> None:
        self._count = workers
        self._idle: list[_Worker] = []
        self._busy: dict[Connection, tuple[_Worker, Task]] = {}

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *error: object) -> None:
        while self._idle:
            self._idle.pop().kill()
        while self._busy:  # an interrupt, say: what is under way is not worth waiting for
            self._busy.popitem()[1][0].kill()

    def __call__(self, tasks: Iterable[Task]) -> Iterator[Done]:
        """Do the tasks."""
        queue = iter(tasks)
        suspects: list[tuple[Task, str]] = []
        while True:
            while not suspects and len(self._busy) < self._count and (task := next(queue, None)) is not None:
                self._begin(task)
            if not self._busy and not suspects:
                return
            done: list[Done] = []
            for connection in wait(list(self._busy)):
                assert isinstance(connection, Connection)
                worker, task = self._busy[connection]
                if (answer := worker.answer()) is None:
                    continue
                del self._busy[connection]
                if isinstance(answer, str):
                    suspects.append((task, answer))
                    continue
                done.append((task, answer))
                self._idle.append(worker)
                if not suspects and (following := next(queue, None)) is not None:  # no worker waits while we write
                    self._begin(following)
            yield from done
            if not self._busy:
                for task, death in suspects:
                    yield task, redo_in_pieces(task, partial(self._alone, death))
                suspects = []

    def _begin(self, task: Task) -> None:
        worker = self._idle.pop() if self._idle else _Worker()
        self._busy[worker.connection] = worker, task
        worker.send(task)

    def _alone(self, death: str, task: Task) -> list[Record] | str:
        """The records of a task that has cost one worker, or how the last of MAX_WORKER_DEATHS died."""
        for _ in range(MAX_WORKER_DEATHS - 1):
            self._begin(task)
            ((connection, (worker, _)),) = self._busy.items()
            while (answer := worker.answer()) is None:
                pass
            del self._busy[connection]
            if not isinstance(answer, str):
                self._idle.append(worker)
                return answer
            death = answer
        return f"its worker process died {MAX_WORKER_DEATHS} times, the last time {death}"


class _Worker:
    """A process that does one task after the other, and this end of the pipe to it."""

    def __init__(self) -> None:
        try:
            self._process, self.connection = start_worker(_work)
        except OSError as error:
            why = error.strerror or error
            raise EstbenchError(f"no worker process can be started ({why}); do with fewer: -j 1") from error
        self._begun = False

    def send(self, task: Task) -> None:
        with suppress(BrokenPipeError):  # it died; `answer` says so
            self.connection.send(task)

    def answer(self) -> list[Record] | str | None:
        """Its records, waited for; or how it died; or None, once, when it has begun."""
        try:
            records, error = self.connection.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            self.connection.close()
            if not self._begun and self._process.exitcode == 1:
                raise EstbenchError(
                    "a worker process failed as it began, for the reason above; a script that runs benchmarks does so "
                    "under `if __name__ == '__main__':`, as workers import it"
                ) from None
            return death(self._process.exitcode)
        if error is not None:
            raise RuntimeError(f"in a worker process:\n{error}")
        self._begun = True
        answer: list[Record] | None = records
        return answer

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self.connection.close()


def death(exitcode: int | None) -> str:
    """How a process died, as `of SIGSEGV`."""
    if exitcode is None or exitcode >= 0:
        return f"with exit code {exitcode}"
    by = signal.Signals(-exitcode).name
    return f"of {by}" + (" (out of memory?)" if by == "SIGKILL" else "")


def _work(connection: Connection) -> None:
    threading.Thread(target=end_with_parent, daemon=True).start()
    configure_process()
    with suppress(OSError):
        os.dup2(2, 1)  # what threads of plug-ins print at any time is no output of ours
    with suppress(EOFError, ConnectionError):  # the parent has ended
        connection.send((None, None))
        while True:
            task: Task = connection.recv()
            try:
                answer: tuple[list[Record], str | None] = task.perform(), None
            except BaseException:
                answer = [], traceback.format_exc()
            connection.send(answer)


def end_with_parent() -> None:
    """Not even a kill of the parent leaves its workers behind."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    end_process(1)
