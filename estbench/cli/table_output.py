"""A table written to stdout or to a file, in the format that was asked for, by `compare` and `export`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from estbench.cli.console import out, write
from estbench.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from estbench.columns import Column
    from estbench.outputs import TableFormat


def check_output(file_format: TableFormat, output: Path | None) -> None:
    """UsageError where bytes would go to stdout; ask before anything is computed."""
    if file_format == "parquet" and output is None:
        raise UsageError("--format parquet writes bytes; name a file with -o")


def write_table(
    frame: pd.DataFrame,
    columns: Sequence[Column],
    file_format: TableFormat,
    output: Path | None,
    show: Callable[[Console], None],
) -> None:
    """Write the frame, which has these columns, to stdout or to the file `output`; `show` prints its table."""
    from estbench.store import write_atomically
    from estbench.tables.formats import encode

    if file_format == "table":
        console = out()
        with console.capture() if output is not None else nullcontext() as captured:
            show(console)
        if output is not None and captured is not None:
            write_atomically(output, captured.get())
        return
    content = encode(frame, file_format, columns)
    if output is None:
        write(content.decode())
    else:
        write_atomically(output, content)
