"""Tables of plain words: catalogues, and how far a run has come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from estbench.tables.fitted import Column, Fitted, Section, broken
from estbench.tables.numbers import UNKNOWN, aligned, seconds
from estbench.tables.summary import left_out
from estbench.views import plain, readable

PROSE = 36  # a column of prose is not squeezed below this, as long as others can be left out


@dataclass(frozen=True)
class Listing:
    """A renderable catalogue: one line per row, the keys of the first row as heads; the column `prose` wraps.

    Where the width asks for it columns are left out, the last first, the first one never.
    """

    rows: Sequence[Mapping[str, object]]
    prose: str | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Leave out what does not fit, then draw."""
        heads = list(self.rows[0]) if self.rows else []
        cells = {head: [_words(row[head]) for row in self.rows] for head in heads}
        widths = {head: max(map(cell_len, [head, *cells[head]])) for head in heads}
        least = {head: min(PROSE, width) if head == self.prose else width for head, width in widths.items()}
        kept = list(heads)
        while sum(least[head] + 2 for head in kept) - 2 > options.max_width:
            if len(kept) == 1:
                break
            kept.pop()
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
        for head in kept:
            table.add_column(
                Text(head), style="bold" if head == heads[0] else "", no_wrap=head != self.prose and len(kept) > 1
            )
        for i in range(len(self.rows)):
            table.add_row(*(Text(cells[head][i]) for head in kept))
        yield table
        if len(kept) < len(heads):
            dropped = ", ".join(head for head in heads if head not in kept)
            yield Text(f"\nLeft out at this width: {dropped}.", "dim")


def status(frame: pd.DataFrame, planned: Mapping[str, int]) -> Fitted:
    """How far a run has come: of the cells `planned` per problem, those done, skipped or failed in `frame`."""
    shown = readable(frame)
    rows = []
    for problem, cells in planned.items():
        of = shown.loc[shown["problem"] == plain(problem), "status"]
        ended = [int((of == word).sum()) for word in ("ok", "skipped", "failed")]
        rows.append([*ended, cells - sum(ended), cells])
    names = [plain(problem) for problem in planned]
    if len(rows) > 1:
        rows.append([sum(column) for column in zip(*rows, strict=True)])
        names.append("all")
    columns = [Column("problem", names, right=False, short=[broken(name, 40) for name in names])]
    for i, head in enumerate(("done", "skipped", "failed", "to come", "cells")):
        columns.append(Column(head, [str(row[i]) for row in rows]))
    return Fitted(columns, [Section("", "", range(len(names)), left_out(shown))])


def fitting(frame: pd.DataFrame) -> Fitted:
    """What fitting cost: per estimator the number of fits, evaluations of f and ∇f, and seconds, of all together."""
    columns = [
        Column("fitted", [plain(label) for label in frame["label"]], right=False),
        Column("fits", [f"{n:,}" for n in frame["fits"]]),
        Column("f", [f"{n:,}" for n in frame["f_evaluations"]]),
        Column("∇f", [f"{n:,}" for n in frame["grad_evaluations"]]),
        Column("time", aligned([seconds(value) for value in frame["seconds"]])),
    ]
    return Fitted(columns, [Section("", "", range(len(frame)), [])])


def _words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, set | frozenset):
        value = sorted(map(str, value))
    return (", ".join(map(plain, value)) if isinstance(value, list | tuple) else plain(value)) or UNKNOWN
