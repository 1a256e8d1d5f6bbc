"""The columns of results as a reader sees them: those with a rank in `estbench.columns`, written in their notation."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from estbench import columns
from estbench.printable import plain
from estbench.tables import flags
from estbench.tables.adaptive import Column, interval
from estbench.tables.numbers import UNKNOWN, aligned, as_given, number, percent, seconds
from estbench.views import ends

COLOURS = {"unbiased": "green", "biased": "red", "inconclusive": "yellow", "failed": "bold red", "skipped": "dim"}
METHODS = {"exact": "exact", "monte_carlo": "MC"}
NUMBERS: Mapping[str, Callable[[float], str]] = {"given": as_given, "number": number, "seconds": seconds}

MORE = "more R: about so many more replicates would tell biased from unbiased."


def cells(rows: pd.DataFrame, every_interval: bool = False) -> list[Column]:
    """The columns of these rows (of `views.readable`) in the order of `COLUMNS`, flags last.

    Optional ones that no row has are left out. `label` shows the name of a row. `every_interval`: where a value has
    one it is shown, also where a table is too narrow for it.
    """
    order = sorted(columns.COLUMNS, key=lambda column: column.name == "flags")
    built: list[Column] = []
    for column in order:
        if column.rank is None or column.name not in rows:
            continue
        made = _shown(rows, column, every_interval)
        if not column.optional or _says_something(made):
            built.append(made)
        if column.name == "bias_verdict":
            needed = Column("more R", [_needed(verdict) for verdict in rows[column.name]], rank=9, note=MORE)
            built += [needed] if _says_something(needed) else []
    return built


def _shown(rows: pd.DataFrame, column: columns.Column, every_interval: bool) -> Column:
    name, head, rank = column.name, column.head, column.rank or 0
    if column.notation == "text":
        words = [plain(value) for value in rows["name" if name == "label" else name]]
        if name == "method":
            words = [METHODS.get(word, word) for word in words]
        if name == "bias_verdict":
            words = [word.partition(":")[0] or UNKNOWN for word in words]
            return Column(head, words, rank, right=False, styles=[COLOURS.get(word, "") for word in words])
        if name == "flags":
            return Column(head, [flags.short(word) for word in words], rank, right=False, styles=["yellow"] * len(rows))
        return Column(head, words, rank, right=False)
    if column.dtype == "boolean":
        is_true = rows[name].eq(True).fillna(False)
        return Column(head, [column.when_true if true else "" for true in is_true], rank, right=False)
    if column.notation == "interval" or (every_interval and column.interval and column.notation == "number"):
        return interval(head, ends(rows, name), rank)
    if column.notation == "percent":
        return Column(head, aligned([percent(*end) for end in ends(rows, name)]), rank)
    written = aligned([NUMBERS[column.notation](value) for value in rows[name].astype(float)])
    return Column(head, written, rank, note=column.note)


def _says_something(column: Column) -> bool:
    return not {cell.strip() for cell in column.cells} <= {"", UNKNOWN}


def _needed(verdict: object) -> str:
    """The number in `inconclusive: about n more replicates`."""
    count = plain(verdict).partition("about ")[2].partition(" ")[0].replace(",", "")
    return number(float(count), 2) if count.replace(".", "").isdigit() else ""
