"""A context for one call of user code, and the reason that a failure of it is given."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

from estbench.interrupts import end_process
from estbench.isolation.generators import generators, seed
from estbench.isolation.output import output
from estbench.isolation.replaced import names
from estbench.isolation.settings import nothing, of_python, of_signals, of_torch_and_numpy, put_back

LONGEST = 500
"""Characters of a reason."""

_ALONE = threading.RLock()
"""Held during a call: generators, settings and standard output belong to the process, not to a thread."""


class UserCodeError(Exception):
    """An error of user code whose text says all: what it raised beside an `Exception`, or what it must not do."""


def reason(error: BaseException) -> str:
    """An error as the reason why a cell failed: one line without control characters."""
    if isinstance(error, UserCodeError):
        return str(error)
    try:
        text = str(error)
    except BaseException as second:  # its text is user code too
        text = f"(its text is not available: {type(second).__name__})"
    if isinstance(error, BaseExceptionGroup):
        text += f" [{'; '.join(reason(each) for each in error.exceptions[:3])}]"
    text = " ".join(f"{type(error).__name__}: {text}".split())
    return "".join(c for c in text if c.isprintable())[:LONGEST].rstrip(": ")


class Isolated:
    """A context for one call of user code.

    The global generators of torch, numpy and Python are seeded from `entropy` (numbers and texts) and are as before
    afterwards, so that what the call draws is the same in any process. What it prints goes to standard error. What it
    raises leaves the context as an `Exception`, except an interrupt that came as a signal. `os._exit`, and what else
    would end this process, is an exception. What it replaces in torch, numpy or estbench is put back, and is an
    exception too. A child that it forks ends where the call ends.
    """

    def __init__(self, *entropy: object) -> None:
        self._entropy = entropy

    def __enter__(self) -> Self:
        _ALONE.acquire()
        self._inner = bool(_DEPTH)
        _DEPTH.append(None)
        if self._inner:  # it draws the same as outside of another call, and the other one does not notice
            self._restore = [generators()]
        else:
            for told in BEGINNING:
                told(self._entropy)
            self._interrupted = False
            self._replaced: list[str] = []
            self._restore = [generators(), of_torch_and_numpy(), output(), of_signals(), self._interrupts()]
            self._restore += [names(self._replaced), of_python(), _ends()]
        seed(*self._entropy)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._inner:
            exit_if_forked()
        while self._restore:  # what refers to itself is freed late, and these are large
            self._restore.pop()()
        _DEPTH.pop()
        _ALONE.release()
        if self._inner:
            return
        if self._interrupted:
            raise KeyboardInterrupt
        if error is not None and not isinstance(error, Exception):
            raise UserCodeError(reason(error)) from None
        if self._replaced and error is None:
            raise UserCodeError(f"it replaces {', '.join(self._replaced)}, which all others use too")

    def _interrupts(self) -> Callable[[], None]:
        """Note whether Ctrl-C was pressed: user code can raise KeyboardInterrupt by itself, or swallow ours."""
        if threading.current_thread() is not threading.main_thread():
            return nothing
        before = signal.getsignal(signal.SIGINT)
        if not callable(before):
            return lambda: put_back(signal.SIGINT, before)

        def heard(number: int, frame: Any) -> None:
            self._interrupted = True
            before(number, frame)

        signal.signal(signal.SIGINT, heard)
        return lambda: put_back(signal.SIGINT, before)


def at_boundary(frame: FrameType | None) -> bool:
    """Whether a call is just being entered or left in this frame: what is raised there would leave it half undone."""
    boundary = (Isolated.__enter__.__code__, Isolated.__exit__.__code__)
    while frame is not None and frame.f_code not in boundary:
        frame = frame.f_back
    return frame is not None


BEGINNING: list[Callable[[tuple[object, ...]], None]] = []
"""Are told of each call as it begins, by what its numbers are seeded from: of what a process dies is known then."""

_DEPTH: list[None] = []
"""One entry for each call that is under way: a call within another one is part of it."""


_FORKED: list[None] = []


def _in_child() -> None:
    if _DEPTH:
        _FORKED.append(None)


os.register_at_fork(after_in_child=_in_child)


def exit_if_forked() -> None:
    """End this process if user code has forked it and come back: it is no second worker."""
    if _FORKED:
        end_process(0)


_ENDS = ("_exit", "abort", "execv", "execve")


def _ends() -> Callable[[], None]:
    """The functions that end a process: in this one they are exceptions, in children that the call forks they work."""
    here, before = os.getpid(), {name: getattr(os, name) for name in _ENDS}

    def refusing(name: str) -> Callable[..., None]:
        def end(*arguments: Any, **options: Any) -> None:
            if os.getpid() != here:
                before[name](*arguments, **options)
            raise SystemExit(f"os.{name}({', '.join(map(repr, arguments[:1]))})")

        return end

    def restore() -> None:
        vars(os).update(before)

    vars(os).update({name: refusing(name) for name in _ENDS})
    return restore
