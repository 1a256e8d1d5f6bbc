"""Flags of results in short words, and what they mean."""

from __future__ import annotations

from collections.abc import Iterable

from estbench.intervals.flags import FLAGS, PAIRED, Flag
from estbench.printable import plain

KNOWN = {**FLAGS, **PAIRED}


def split(flags: object) -> list[str]:
    """The flags of one row, given as words with spaces or commas between."""
    return plain(flags).replace(",", " ").split()


def short(flags: object) -> str:
    """The flags of one row in short words."""
    return " ".join(KNOWN.get(flag, Flag(flag, "")).word for flag in split(flags))


def meanings(rows: Iterable[object]) -> list[str]:
    """One line for every flag that some row has and that has a meaning."""
    present = {flag for flags in rows for flag in split(flags)}
    return [f"{flag.word}: {flag.meaning}." for name, flag in KNOWN.items() if name in present]
