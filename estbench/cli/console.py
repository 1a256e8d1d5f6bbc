"""Where things are printed: results to stdout, messages and progress to stderr."""

from __future__ import annotations

import unicodedata

from rich.console import Console


def out() -> Console:
    """The console for results."""
    return Console(highlight=False, soft_wrap=False)


def err() -> Console:
    """The console for messages."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def plain(text: str) -> str:
    """Text without control characters, which a name or a path could smuggle to a terminal."""
    return "".join(c for c in text if c == "\n" or unicodedata.category(c)[0] != "C")
