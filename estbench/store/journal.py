"""The journal: a line for each finished piece of work, appended and on the disk before the next one begins.

Lines are only ever appended, so a crash can tear the last one and nothing else: what follows the last newline is
dropped. Any other line that is not what was written is damage, and is refused.
"""

from __future__ import annotations

import json
import os
from collections import ChainMap
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from estbench.errors import ResultsError
from estbench.store.files import check_regular, explained, open_alone
from estbench.store.records import (
    Item,
    Json,
    canonical,
    contradicts,
    incomplete,
    is_new,
    items_of,
    lacking,
    line,
    named,
    parse,
)


@dataclass(frozen=True)
class Contents:
    """What a journal holds.

    items   (kind, key, cell) → result
    lines   (kind, key, cell) → its line, from 1
    size    bytes of all whole lines
    torn    bytes after them: of a line that a crash has torn, and that is left out
    """

    items: dict[Item, Any]
    lines: dict[Item, int]
    size: int
    torn: int


def read_journal(path: Path) -> Contents:
    """Read a journal, none being an empty one.

    ResultsError, with the line, if it is damaged, lacks a field that results have, or contradicts itself.
    """
    items: dict[Item, Any] = {}
    lines: dict[Item, int] = {}
    size = torn = 0
    with explained(path, "read the journal"):
        if not path.exists():
            return Contents(items, lines, size, torn)
        check_regular(path)
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                if not raw.endswith(b"\n"):  # then it is the last one
                    torn = len(raw)
                    break
                for item, result in parse(raw, f"{path}, line {number}").items():
                    if missing := lacking(item, result):
                        raise incomplete(f"{path}, line {number}: {named(item)}", missing)
                    if contradicts(items, item, result):
                        raise ResultsError(
                            f"{path}: lines {lines[item]} and {number} give different results for {named(item)}. "
                            "Delete the wrong one, or both: `estbench run` computes again what is missing."
                        )
                    if is_new(items, item, result):
                        items[item], lines[item] = result, number
                size += len(raw)
    return Contents(items, lines, size, torn)


class Journal:
    """A journal that this process alone may append to, until it is closed."""

    def __init__(self, path: Path) -> None:
        """Open the journal, or begin one; ResultsError if it cannot be written, or another process holds it."""
        self._path = path
        with explained(path, "open the journal"):
            self._descriptor = open_alone(path)
        self.items: dict[Item, Any] = {}
        self._size = 0

    def load(self) -> int:
        """Fill `items` with what is there, and cut off a torn last line; returns how many bytes it had."""
        contents = read_journal(self._path)
        self.items, self._size = contents.items, contents.size
        self._cut()
        return contents.torn

    def clear(self) -> None:
        """Delete all that is there."""
        self.items, self._size = {}, 0
        self._cut()

    def append(self, *records: Json) -> None:
        """Add what is new in these records, all of it or nothing; when this returns, it is on the disk.

        ResultsError if a result contradicts one that is there, or if the disk does not take it. What was there stays,
        and more may be appended.
        """
        new: dict[Item, Any] = {}
        known = ChainMap(new, self.items)
        lines = []
        for record in records:
            payload = canonical(record)
            results = items_of(json.loads(payload))  # as they will be read
            for item, result in results.items():
                if contradicts(known, item, result):
                    raise ResultsError(
                        f"{self._path}: {named(item)} was computed again, with another result: this machine, or this "
                        "installation, does not repeat its numbers. What was there is kept; `--fresh` starts over."
                    )
            if news := {item: result for item, result in results.items() if is_new(known, item, result)}:
                lines.append(line(payload))
                new |= news
        if lines:
            self._write(b"".join(lines))
            self.items |= new

    def close(self) -> None:
        """Let go of the journal."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _write(self, data: bytes) -> None:
        status = os.fstat(self._descriptor)
        if status.st_nlink == 0:
            raise ResultsError(
                f"{self._path}: was deleted while being written. Run again: it computes what is missing."
            )
        if status.st_size != self._size:  # an interrupt has come between, in here
            self._cut()
        try:
            with explained(self._path, "write to the journal"):
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
                os.fsync(self._descriptor)
        except BaseException:  # an interrupt, too, must not leave half a line that the next one is glued to
            with suppress(ResultsError):
                self._cut()
            raise
        self._size += len(data)

    def _cut(self) -> None:
        with explained(self._path, "write to the journal"):
            os.ftruncate(self._descriptor, self._size)
            os.fsync(self._descriptor)
