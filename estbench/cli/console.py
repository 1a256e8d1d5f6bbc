"""Where things are printed: results to stdout, messages and progress to stderr.

A reader that closes the pipe early, such as `head`, stops no work and is no error.
"""

from __future__ import annotations

import codecs
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import IO, Any

from rich.console import Console
from rich.segment import Segment
from rich.text import Text

from estbench.errors import UsageError
from estbench.printable import as_escapes, escaped


class _Console(Console):
    """A console that prints control characters of names and paths as escapes; its own remain what they are."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Text of a string."""
        return super().render_str(escaped(text), **options)

    def render(self, *arguments: Any, **options: Any) -> Iterable[Segment]:
        """What is printed, piece by piece."""
        for segment in super().render(*arguments, **options):
            yield segment if segment.control else Segment(escaped(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """Go on in silence."""
        self.quiet = True
        silence(self.file)


def out() -> Console:
    """The console for results."""
    return _Console(highlight=False, emoji=False, soft_wrap=False)


def err() -> Console:
    """The console for messages."""
    return _Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)


def tell(text: str) -> None:
    """A message to stderr as it is; the exit code is the same where nobody reads it."""
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except BrokenPipeError:
        silence(sys.stderr)


def write(text: str) -> None:
    """Text for other programs, to stdout as it is; UsageError if there is no stdout."""
    if sys.__stdout__ is None:
        raise UsageError("standard output is closed, so there is nowhere to write to")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout)


def _encodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return as_escapes(error.object[error.start : error.end]), error.end


def open_streams() -> None:
    """Let stdout and stderr take any text: what their encoding lacks is written as escapes, which JSON has too.

    A stream that is closed is opened to nowhere, so that no file of a run takes its number and gets what is printed.
    """
    codecs.register_error("estbench.escapes", _encodable)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            if (nowhere := os.open(os.devnull, os.O_RDWR)) != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8"))
        elif number and isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="estbench.escapes")


class _Results(TextIOWrapper):
    """Standard output of the main thread; threads, which are of plug-ins, print to stderr.

    A reader that goes away is no error, whoever prints: the parser, which prints the help, would make one of it.
    """

    def write(self, text: str) -> int:
        """Write a text; its length."""
        if threading.current_thread() is threading.main_thread():
            try:
                return super().write(text)
            except BrokenPipeError:
                silence(self)
                return len(text)
        with suppress(OSError, ValueError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is kept back."""
        try:
            super().flush()
        except BrokenPipeError:
            silence(self)
            super().flush()


@contextmanager
def only_ours() -> Iterator[None]:
    """Keep what threads and exit handlers of plug-ins print, in here and afterwards, out of standard output."""
    if not isinstance(before := sys.stdout, TextIOWrapper):  # it is closed
        yield
        return
    ours = _Results(before.buffer, before.encoding, before.errors, line_buffering=before.line_buffering)
    sys.stdout = ours
    try:
        yield
    finally:
        with suppress(OSError, ValueError):  # what cannot be written is for the interpreter to complain of, at its end
            ours.flush()
            os.dup2(2, ours.fileno())
            sys.stdout = sys.stderr
            ours.detach()


def silence(stream: IO[str]) -> None:
    """Let what is still to be printed go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError):  # it is no file, in a test say
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
