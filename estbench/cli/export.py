"""`estbench export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from estbench.cli.arguments import place
from estbench.cli.table_output import check_output, write_table
from estbench.columns import COLUMNS
from estbench.imports import quick_imports
from estbench.outputs import TableFormat
from estbench.printable import escaped

if TYPE_CHECKING:
    from rich.console import Console


def export(
    results: Annotated[Path, typer.Argument(help="A run folder, or a folder of run folders.")],
    file_format: Annotated[TableFormat, typer.Option("--format", help="The format.")] = "csv",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", parser=place, metavar="FILE", help="The file; by default stdout.")
    ] = None,
) -> None:
    """Write results: csv, json and parquet for programs, markdown and latex for readers, or the table of a run.

    json and parquet hold gradient vectors and fits too. In csv what is unknown is empty and all else stands as it is:
    read it with pandas.read_csv(..., keep_default_na=False, na_values=[""]), or a label NA is lost. Before pandas 3.1
    add float_precision="round_trip", or read_csv may lose the last digit of a number.
    """
    check_output(file_format, output)
    with quick_imports():
        import pandas as pd

        from estbench.store import find_runs
        from estbench.summary import read_results
        from estbench.summary.table import details, frame_of
        from estbench.tables.formats import FOR_READERS, for_readers
        from estbench.tables.summary import summary

    runs = [read_results(folder) for folder in find_runs(results)]
    frames = [frame_of(run.rows) for run in runs]

    def show(console: Console) -> None:
        for run, frame in zip(runs, frames, strict=True):
            if len(runs) > 1:
                console.print(str(run.folder), markup=False, style="bold")
            console.print(summary(frame, run.manifest["config"]["level"]))

    joined = []
    for run, frame in zip(runs, frames, strict=True):
        whole = frame.join(details(run.plan, run.items)) if file_format in ("json", "parquet") else frame
        joined.append(whole.assign(run=escaped(run.folder.name)) if run.folder != results else whole)
    table = pd.concat(joined, ignore_index=True)
    shown = for_readers(table) if file_format in FOR_READERS else table
    write_table(shown, COLUMNS, file_format, output, show)
