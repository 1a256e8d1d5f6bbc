"""The journal: a line for each finished piece of work, appended and never changed.

A crash can tear the last line and nothing else: what follows the last newline is dropped. Any other line that is not
what was written is damage, and is refused.

What `append` was given is with the system when it returns: a kill of this process loses none of it. It is forced onto
the disk once a second at most: when the machine itself fails, what was appended in the second before that may be lost.
`sync` and `close` leave nothing open.
"""

from __future__ import annotations

import os
import time
from collections import ChainMap
from contextlib import suppress
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from estbench.errors import FullError, ResultsError
from estbench.store.files import Place, check_regular, explained, open_alone
from estbench.store.kinds import HEAD, check_item
from estbench.store.records import (
    OPENING,
    Item,
    Json,
    canonical,
    contradicts,
    is_new,
    items_of,
    line,
    loads,
    named,
    parse,
)

JOURNAL = "journal.jsonl"

SYNC_SECONDS = 1.0
"""Between two times that the journal is forced onto the disk."""


@dataclass(frozen=True)
class Contents:
    """What a journal holds.

    head    (kind, key, "") → to which run it belongs, see `estbench.store.head`
    items   (kind, key, cell) → result
    lines   (kind, key, cell) → its line, from 1
    size    bytes of all whole lines
    torn    bytes after them: of a line that a crash has torn, and that is left out
    digest  SHA-256 of all whole lines
    """

    head: dict[Item, Any]
    items: dict[Item, Any]
    lines: dict[Item, int]
    size: int
    torn: int
    digest: str


def nothing() -> Contents:
    """What a new journal holds."""
    return Contents({}, {}, {}, 0, 0, sha256().hexdigest())


def is_journal(path: Path) -> bool:
    """Whether a journal of this program is there, be it damaged further on."""
    with explained(path, "read the journal"):
        if path.is_symlink() or not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(OPENING)) == OPENING


def read_journal(path: Path) -> Contents:
    """Read a journal, none being an empty one.

    ResultsError, with the line, if it is damaged, has results that are not what their kind has, or contradicts itself.
    """
    found, digest = nothing(), sha256()
    size = torn = 0
    with explained(path, "read the journal"):
        check_regular(path, missing=True)
        if not path.exists():
            return found
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                if not raw.endswith(b"\n"):  # then it is the last one
                    torn = len(raw)
                    break
                where = f"{path}, line {number}"
                for item, result in parse(raw, where, first=number == 1):
                    check_item(item, result, where)
                    _take(found, item, result, number, path)
                size += len(raw)
                digest.update(raw)
    return Contents(found.head, found.items, found.lines, size, torn, digest.hexdigest())


def _take(found: Contents, item: Item, result: Any, number: int, path: Path) -> None:
    items = found.head if item[0] in HEAD else found.items
    if contradicts(items, item, result):
        raise ResultsError(
            f"{path}: lines {found.lines[item]} and {number} give different results for {named(item)}. "
            "Delete the wrong one, or both: `estbench run` computes again what is missing."
        )
    if is_new(items, item, result):
        items[item], found.lines[item] = result, number


class Journal:
    """A journal that this process alone may append to, until it is closed."""

    def __init__(self, place: Place) -> None:
        """Open the journal of a folder, or begin one; ResultsError if it cannot be, or another process holds it."""
        self._place, self._path = place, place.path / JOURNAL
        with explained(self._path, "open the journal"):
            self._descriptor = open_alone(place, JOURNAL)
        self.head: dict[Item, Any] = {}
        self.items: dict[Item, Any] = {}
        self._size = 0
        self._open = False  # whether something may not be on the disk yet
        self._synced = -SYNC_SECONDS

    def load(self) -> Contents:
        """Fill `head` and `items` with what is there; a torn last line is left out."""
        contents = read_journal(self._path)
        self.head, self.items, self._size = contents.head, contents.items, contents.size
        return contents

    def clear(self) -> None:
        """Delete all that is there."""
        self.head, self.items, self._size = {}, {}, 0
        self.cut()

    def begin(self, *head: Json) -> None:
        """Add what the head lacks of these records."""
        self._add(self.head, head)
        self.sync()

    def append(self, *records: Json) -> None:
        """Add what is new in these records, all of it or nothing.

        ResultsError if a result is none, contradicts one that is there, or if the disk does not take it. What was there
        stays, and more may be appended.
        """
        self._add(self.items, records)

    def sync(self) -> None:
        """Force what was appended onto the disk."""
        if self._open:
            with explained(self._path, "write to the journal"):
                os.fsync(self._descriptor)
            self._open, self._synced = False, time.monotonic()

    def cut(self) -> None:
        """Cut off what follows the last whole line."""
        with explained(self._path, "write to the journal"):
            os.ftruncate(self._descriptor, self._size)
            os.fsync(self._descriptor)

    def digest(self) -> str:
        """SHA-256 of all that is there, as `Contents` has it."""
        with explained(self._path, "read the journal"), open(self._descriptor, "rb", closefd=False) as file:
            file.seek(0)
            return file_digest(file, "sha256").hexdigest()

    def close(self) -> None:
        """Let go of the journal."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _add(self, items: dict[Item, Any], records: tuple[Json, ...]) -> None:
        new: dict[Item, Any] = {}
        known = ChainMap(new, items)
        kept = []
        for record in records:
            (read,) = loads(canonical([record]))  # as it will be read
            results = items_of(read)
            for item, result in results.items():
                check_item(item, result, "what was computed")
                if contradicts(known, item, result):
                    raise ResultsError(
                        f"{self._path}: {named(item)} was computed again, with another result: this machine, or this "
                        "installation, does not repeat its numbers. What was there is kept; `--fresh` starts over."
                    )
            if news := {item: result for item, result in results.items() if is_new(known, item, result)}:
                kept.append(read)
                new |= news
        if kept:
            self._write(line(canonical(kept)))
            items |= new

    def _write(self, data: bytes) -> None:
        self._place.check()
        status = os.fstat(self._descriptor)
        if not self._place.has(JOURNAL, status):
            raise ResultsError(
                f"{self._path}: was deleted or replaced while being written. Run again: it computes what is missing."
            )
        if status.st_size != self._size:  # an interrupt has come between, in here
            self.cut()
        try:
            with explained(self._path, "write to the journal"):
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
                self._open = True
                if time.monotonic() - self._synced >= SYNC_SECONDS:
                    self.sync()
        except BaseException as error:  # an interrupt, too, must not leave half a line that the next one is glued to
            with suppress(ResultsError):
                self.cut()
            if isinstance(error, FullError):
                raise FullError(f"{error} {len(self.items):,} results are saved.") from error
            raise
        self._size += len(data)
