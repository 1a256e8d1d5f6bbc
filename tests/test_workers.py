"""Worker processes: what they answer, how they die, and what does not reach them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from estbench.errors import ResultsError
from estbench.interrupts import end_process
from estbench.workers import Answer, Death, Worker


def work(task: str) -> object:
    """What the word says."""
    if task == "refuse":
        raise ResultsError("no space left")
    if task == "fail":
        raise ValueError("a bug")
    if task == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if task == "end":
        end_process(1)
    if task == "print":
        print("said")  # noqa: T201 - where it goes is what is tested
        sys.stdout.flush()
    return task, os.getpid()


@pytest.fixture(params=[__name__, None], ids=["forked", "spawned"])
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    """A worker that has begun."""
    started = Worker(work, imports=request.param)
    assert started.answer() is None
    yield started
    started.kill()


def asked(worker: Worker, task: str) -> Answer | Death | None:
    """What becomes of a task."""
    worker.send(task)
    return worker.answer()


def pid_of(worker: Worker) -> int:
    """The number of its process."""
    answer = asked(worker, "number")
    assert isinstance(answer, Answer)
    return int(answer.value[1])


def test_a_worker_answers_one_task_after_the_other(worker: Worker) -> None:
    """An error of the user is raised here as it is, a bug with its traceback; the worker goes on after both."""
    pid = pid_of(worker)
    assert pid != os.getpid()
    with pytest.raises(ResultsError, match=r"^no space left$"):
        asked(worker, "refuse")
    with pytest.raises(RuntimeError, match=r"in a worker process:\nTraceback(.|\n)*ValueError: a bug"):
        asked(worker, "fail")
    assert asked(worker, "again") == Answer(("again", pid))


def test_an_interrupt_does_not_reach_a_worker(worker: Worker) -> None:
    """SIGINT is blocked in it: Ctrl-C in a terminal goes to all processes there."""
    pid = pid_of(worker)
    os.kill(pid, signal.SIGINT)
    assert asked(worker, "on") == Answer(("on", pid))


@pytest.mark.parametrize(("task", "text"), [("die", "of SIGKILL (out of memory?)"), ("end", "with exit code 1")])
def test_a_death_is_told(worker: Worker, task: str, text: str) -> None:
    """By signal or exit code, as often as it is asked; a worker that had begun did not die at its start."""
    assert [asked(worker, task), asked(worker, "on")] == [Death(text)] * 2


def test_a_worker_prints_to_standard_error(worker: Worker, capfd: pytest.CaptureFixture[str]) -> None:
    """Standard output is for results, which this process alone writes."""
    assert isinstance(asked(worker, "print"), Answer)
    assert "said" not in capfd.readouterr().out


def test_a_worker_ends_when_it_is_let_go(worker: Worker) -> None:
    """Without a signal, after its task."""
    pid = pid_of(worker)
    worker.end()
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        pytest.fail("it is still there")
