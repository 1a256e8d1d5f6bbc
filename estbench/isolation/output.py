"""Standard output of user code goes to standard error: results alone are on standard output."""

from __future__ import annotations

import ctypes
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, cast


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Let all that is printed in here go to standard error: a look at an attribute may run user code, too."""
    restore = output()
    try:
        yield
    finally:
        restore()


def output() -> Callable[[], None]:
    """Standard output becomes standard error, for Python and for all else in this process; either may be closed."""
    before = sys.stdout, sys.stderr
    for stream in before:
        _flush(stream)
    kept = [(number, _copy(number)) for number in (1, 2)]
    _point_at_error()
    error = _ERROR
    sys.stdout = sys.stderr = cast(Any, error)

    def restore() -> None:
        for stream in (sys.stdout, sys.stderr, error, *before):  # a plug-in may have kept any of them
            _flush(stream)
        _flush_c()
        sys.stdout, sys.stderr = before
        for number, copy in kept:
            if copy is not None:
                os.dup2(copy, number)
                os.close(copy)

    return restore


class _Bytes(io.RawIOBase):
    """Standard error without a buffer; closing it closes nothing else."""

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, data: Any) -> int:
        """Write all of it; what nobody reads is lost."""
        with suppress(OSError):
            os.write(2, data)
        return len(data)


class _Error(io.TextIOBase):
    """The same for text. Threads may write at once, which `io.TextIOWrapper` does not survive."""

    encoding, errors = "utf-8", "backslashreplace"

    def __init__(self) -> None:
        self.buffer = _Bytes()

    def writable(self) -> bool:
        """True."""
        return True

    def fileno(self) -> int:
        """The file descriptor of standard error."""
        return 2

    def write(self, text: str) -> int:
        """Write a text; its length."""
        self.buffer.write(text.encode(self.encoding, self.errors))
        return len(text)


_ERROR = _Error()
"""One for all calls: `print` in another thread borrows the stream, and crashes where that is freed meanwhile."""


def _copy(number: int) -> int | None:
    try:
        return os.dup(number)
    except OSError:  # it is closed
        return None


def _point_at_error() -> None:
    try:
        os.dup2(2, 1)
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)


def _flush(stream: Any) -> None:
    with suppress(Exception):  # closed, or a pipe that nobody reads
        stream.flush()


def _flush_c() -> None:
    with suppress(OSError, AttributeError, TypeError):
        _library_of_c().fflush(None)


@cache
def _library_of_c() -> ctypes.CDLL:
    return ctypes.CDLL(None)
