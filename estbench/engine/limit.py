"""A time limit for the estimators and objectives of users."""

from __future__ import annotations

import ctypes
import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

from estbench.interrupts import end_process
from estbench.isolation import at_boundary

GRACE = 2.0
"""Seconds that code has, once its time is over and it was told so, before its worker process is ended."""


@contextmanager
def limited(seconds: float | None) -> Iterator[None]:
    """Raise TimeoutError in what runs longer than that; None: no limit.

    The main thread of a process is interrupted wherever it waits, another thread at its next Python instruction. Code
    that takes no notice, as a loop in C does not, is ended with its process if that is a worker: its task is then
    another worker's, and in the end a failure. In the process of `estbench run` itself it is waited for.
    """
    if seconds is None:
        yield
        return
    main = threading.current_thread() is threading.main_thread()
    with ExitStack() as stack:
        if multiprocessing.parent_process() is not None:
            stack.enter_context((_end_of_process if main else _end_of_worker)(seconds + GRACE))
        stack.enter_context((_alarm if main else _thread_alarm)(seconds))
        yield


def _text(seconds: float) -> str:
    return f"it took longer than {seconds:g} s {_WHICH}"


_WHICH = "(--cell-timeout)"

_MOMENT = 0.01
"""Seconds after which a limit that ran out as an `Isolated` was entered or left is tried again."""


def is_limit(reason: str) -> bool:
    """Whether the reason of a failure is that a limit was passed."""
    return reason.endswith(_WHICH)


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def expired(signum: int, frame: FrameType | None) -> None:
        del signum
        if at_boundary(frame):
            signal.setitimer(signal.ITIMER_REAL, _MOMENT, 1.0)
            return
        raise TimeoutError(_text(seconds))

    before = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)  # again, if it was caught and ignored
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _thread_alarm(seconds: float) -> Iterator[None]:
    """The alarm of a thread that is not the main one: Python raises a class there, so its text is in the class."""
    error = type("TimeoutError", (TimeoutError,), {"__str__": lambda _: _text(seconds)})
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    ident = threading.get_ident()
    thread = ctypes.c_ulong(ident)
    lock, over = threading.Lock(), False

    def expired() -> None:
        while not over and at_boundary(sys._current_frames().get(ident)):
            time.sleep(_MOMENT)
        with lock:
            if not over:
                raise_in(thread, ctypes.py_object(error))

    timer = threading.Timer(seconds, expired)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            over = True
            raise_in(thread, None)  # what was raised too late to be met
        timer.cancel()


@contextmanager
def _end_of_process(seconds: float) -> Iterator[None]:
    """End this process by a timer that also works while Python code is blocked."""
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - its traceback is not shown
        faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


@contextmanager
def _end_of_worker(seconds: float) -> Iterator[None]:
    """The end of this process, from a thread: others may be at work in it, each with a clock of its own."""
    timer = threading.Timer(seconds, end_process, (1,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
