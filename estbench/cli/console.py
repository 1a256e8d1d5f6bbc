"""Where things are printed: results to stdout, messages and progress to stderr.

A reader who goes away early, such as `head`, ends no work and is no error.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from contextlib import suppress
from typing import TextIO

from rich.console import Console


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Go on in silence."""
        self.quiet = True
        silence(self.file if isinstance(self.file, TextIO) else sys.stdout)


def out() -> Console:
    """The console for results."""
    return _Console(highlight=False, soft_wrap=False)


def err() -> Console:
    """The console for messages."""
    return _Console(stderr=True, highlight=False, soft_wrap=True)


def write(text: str) -> None:
    """Text for other programs, to stdout as it is."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout)


def plain(text: str) -> str:
    """Text without control characters, which a name or a path could smuggle to a terminal."""
    return "".join(c for c in text if c == "\n" or unicodedata.category(c)[0] != "C")


def silence(stream: TextIO) -> None:
    """Let what is still to be printed go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError):  # it is no file, in a test say
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
