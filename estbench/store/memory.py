"""The results of a run in memory, where nothing is to be written."""

from __future__ import annotations

from typing import Any

from estbench.store.records import Item, Json, is_new, items_of


class Memory:
    """What a run has done so far: records are added to it as to a `Store`, and are gone with it."""

    def __init__(self) -> None:
        self.items: dict[Item, Any] = {}

    def append(self, *records: Json) -> None:
        """Add records (see `kinds`)."""
        for record in records:
            self.items |= {item: found for item, found in items_of(record).items() if is_new(self.items, item, found)}
