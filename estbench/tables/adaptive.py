"""A table with as many columns as fit into the width of the terminal, and a note on those left out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from estbench.tables.numbers import aligned, concise, measured

SHORT = "0.0159(4) is short for 0.0159 ± 0.0004: the ± in units of the last digit."
NICE, SPARE = 5, 3  # columns of these ranks go before others are shortened; when even moving together does not help


@dataclass(frozen=True)
class Column:
    """One column: its cells in order, their styles, and its rank: the highest is left out first, 0 never.

    `short`: the cells in a shorter notation, used where the width asks for it. `note`: a line below, if it is shown.
    """

    head: str
    cells: Sequence[str]
    rank: int = 0
    right: bool = True
    styles: Sequence[str] = ()
    short: Sequence[str] | None = None
    note: str = ""

    @property
    def width(self) -> int:
        """Cells on the console that the widest line takes."""
        return max(cell_len(line) for cell in (self.head, *self.cells) for line in cell.split("\n"))


@dataclass(frozen=True)
class Remark:
    """A line of words below a section, wrapped beneath themselves beside the head."""

    head: str
    text: str
    style: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The head in its style, the text to its right."""
        line = Table.grid(padding=(0, 2, 0, 0))
        line.add_row(Text(self.head, self.style), Text(self.text))
        line.columns[0].no_wrap = True
        yield line


@dataclass(frozen=True)
class Section:
    """A run of rows with a title (and details beside it) above and remarks below."""

    title: str
    details: str
    rows: range
    remarks: Sequence[Remark] = ()


@dataclass(frozen=True)
class AdaptiveTable:
    """A renderable: the sections, one below the other, their columns in line; then the notes.

    `short_note` explains the shorter notation and is shown where it is used.
    """

    columns: Sequence[Column]
    sections: Sequence[Section]
    notes: Sequence[str] = ()
    short_note: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Leave out what does not fit, then draw."""
        columns, gap, shortened = fit(self.columns, options.max_width)
        for section in self.sections:
            beside = cell_len(section.title) + cell_len(section.details) + 2 <= options.max_width
            if section.title:
                yield Text.assemble((section.title, "bold"), "  " if beside else "\n", (section.details, "dim"))
            if len(section.rows):
                yield _grid(columns, section.rows, gap)
            yield from section.remarks
            yield Text("")
        heads = {column.head for column in columns}
        dropped = ", ".join(column.head for column in self.columns if column.head not in heads)
        last = [column.note for column in columns] + ([self.short_note] if shortened else [])
        last += [f"Left out at this width: {dropped}."] if dropped else []
        yield from (Text(note, "dim") for note in (*self.notes, *last) if note)


def fit(columns: Sequence[Column], width: int) -> tuple[list[Column], int, bool]:
    """(columns that fit, gap between them, whether they are shortened): those that matter stay as long as they can."""
    short = [c if c.short is None else replace(c, cells=c.short) for c in columns]
    attempts = ((columns, 2, NICE), *((short, gap, keep) for keep in (NICE, SPARE, 1) for gap in (2, 1)))
    for tried, gap, keep in attempts:
        kept = list(tried)
        for column in sorted(tried, key=lambda c: -c.rank):
            if _total(kept, gap) > width and column.rank >= keep:
                kept.remove(column)
        if _total(kept, gap) <= width:
            break
    return kept, gap, tried is short


def interval(head: str, ends: Sequence[tuple[float, float, float]], rank: int = 0) -> Column:
    """A column of value ± reach from (value, low, high), or of value(reach) where that is too wide."""
    pairs = [measured(*e) for e in ends]
    values, reaches = aligned([value for value, _ in pairs]), aligned([reach for _, reach in pairs])
    full = [v + (" ± " if r.strip() else "   ") + r if r else v for v, r in zip(values, reaches, strict=True)]
    return Column(head, full, rank, short=[concise(*e) for e in ends])


def broken(label: str, width: int) -> str:
    """A long label on lines of at most `width`: broken at comma, bracket, space, else after = _ : or a dot in a name.

    What is longer still is broken anywhere.
    """
    lines = [""]
    for piece in label.replace(",", ",\0").replace("[", "\0[").replace(" ", "\0 ").split("\0"):
        whole = cell_len(piece) < width
        for part in [piece] if whole else re.split(r"(?<=[=_:])|(?<=\.)(?=[^\W\d])", piece):
            if cell_len(lines[-1] + part) <= width:
                lines[-1] += part
            else:
                lines += [f" {chunk}" for chunk in chop_cells(part.strip(), width - 1)]
    return "\n".join(line for line in lines if line)


def _total(columns: Sequence[Column], gap: int) -> int:
    return sum(c.width + gap for c in columns) - gap


def _grid(columns: Sequence[Column], rows: range, gap: int) -> Table:
    table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="bold")
    for c in columns:
        justify: Literal["left", "right"] = "right" if c.right else "left"
        table.add_column(Text(c.head), justify=justify, min_width=c.width, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*(Text(c.cells[row], c.styles[row] if c.styles else "") for c in columns))
    return table
