"""Tasks in processes of this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from multiprocessing.connection import Connection, wait

from estbench.engine.executors import MAX_WORKER_DEATHS, Done, configure_process, redo_in_pieces
from estbench.engine.tasks import Record, Task
from estbench.errors import EstbenchError
from estbench.workers import Answer, Death, Worker


class Pool:
    """Processes, each with one torch thread, started when there is something to do.

    Each has one task at a time, so when one dies it is known which task it was doing. No task is begun then until those
    under way are done. That task is then cut in pieces and done again with no other beside it, so that it has all the
    memory.
    `script`: whether they import the script that is run here, see `Process`.
    """

    def __init__(self, workers: int, *, script: bool = True) -> None:
        self._count, self._script = workers, script
        self._idle: list[Worker] = []
        self._busy: dict[Connection, tuple[Worker, Task]] = {}

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
        deaths: list[tuple[Task, Death]] = []
        while True:
            while not deaths and len(self._busy) < self._count and (task := next(queue, None)) is not None:
                self._begin(task)
            if not self._busy and not deaths:
                return
            done: list[Done] = []
            for connection in wait(list(self._busy)):
                assert isinstance(connection, Connection)
                worker, task = self._busy[connection]
                if (answer := _answer(worker)) is None:
                    continue
                del self._busy[connection]
                if isinstance(answer, Death):
                    deaths.append((task, answer))
                    continue
                done.append((task, answer.value))
                self._idle.append(worker)
                if not deaths and (following := next(queue, None)) is not None:  # no worker waits while we write
                    self._begin(following)
            yield from done
            if not self._busy:
                for task, death in deaths:
                    yield task, redo_in_pieces(task, partial(self._alone, death))
                deaths = []

    def _begin(self, task: Task) -> None:
        worker = self._idle.pop() if self._idle else _started(self._script)
        self._busy[worker.connection] = worker, task
        worker.send(task)

    def _alone(self, death: Death, task: Task) -> list[Record] | str:
        """The records of a task that has cost one worker, or how the last of MAX_WORKER_DEATHS died."""
        for _ in range(MAX_WORKER_DEATHS - 1):
            self._begin(task)
            ((connection, (worker, _)),) = self._busy.items()
            while (answer := _answer(worker)) is None:
                pass
            del self._busy[connection]
            if isinstance(answer, Answer):
                self._idle.append(worker)
                records: list[Record] = answer.value
                return records
            death = answer
        return f"its worker process died {MAX_WORKER_DEATHS} times, the last time {death.text}"


def _started(script: bool) -> Worker:
    try:
        return Worker(_perform, begin=configure_process, imports=__name__, script=script)
    except OSError as error:
        why = error.strerror or error
        raise EstbenchError(f"no worker process can be started ({why}); do with fewer: -j 1") from error


def _perform(task: Task) -> list[Record]:
    return task.perform()


def _answer(worker: Worker) -> Answer | Death | None:
    answer = worker.answer()
    if isinstance(answer, Death) and answer.at_start:
        raise EstbenchError(
            "a worker process failed as it began, for the reason above; a script that runs benchmarks does so "
            "under `if __name__ == '__main__':`, as workers import it"
        )
    return answer
