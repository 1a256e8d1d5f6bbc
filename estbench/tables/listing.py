"""Tables of plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from estbench.printable import plain
from estbench.tables.numbers import UNKNOWN

PROSE = 36  # a column of prose is not squeezed below this, as long as others can be left out


@dataclass(frozen=True)
class Listing:
    """A renderable catalogue: one line per row, the keys of the first row as heads; the column `prose` wraps.

    Where the console is too narrow the last columns are left out; the first one never is.
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


def aligned_text(rows: Sequence[Mapping[str, object]]) -> str:
    """The same as plain lines of any width with aligned columns: a hundred times faster, for thousands of rows."""
    heads = list(rows[0]) if rows else []
    columns = [[head, *(_words(row[head]) for row in rows)] for head in heads]
    sizes = [[cell_len(cell) for cell in column] for column in columns]
    widths = [max(column) for column in sizes]
    padded = (
        [cell + " " * (width - size) for cell, size in zip(column, of, strict=True)]
        for column, of, width in zip(columns, sizes, widths, strict=True)
    )
    return "\n".join("  ".join(line).rstrip() for line in zip(*padded, strict=True))


def _words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, set | frozenset):
        value = sorted(map(str, value))
    return (", ".join(map(plain, value)) if isinstance(value, list | tuple) else plain(value)) or UNKNOWN
