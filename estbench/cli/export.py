"""`estbench export`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from estbench.cli.console import write
from estbench.errors import UsageError


def export(
    results: Annotated[Path, typer.Argument(help="A run folder, or a folder of run folders.")],
    file_format: Annotated[Literal["csv", "json", "parquet"], typer.Option("--format", help="The format.")] = "csv",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The file; by default stdout.")] = None,
) -> None:
    """Write results for other programs; json and parquet hold gradient vectors and fits too."""
    import pandas as pd

    from estbench.store import find_runs, write_atomically
    from estbench.store.files import explained
    from estbench.summary import details, read_results
    from estbench.summary import results as frame_of
    from estbench.tables import render

    frames = []
    for folder in find_runs(results):
        run = read_results(folder)
        frame = frame_of(run.plan, run.items)
        if file_format != "csv":
            frame = frame.join(details(run.plan, run.items))
        frames.append(frame.assign(run=folder.name) if folder != results else frame)
    frame = pd.concat(frames, ignore_index=True)
    if file_format == "parquet":
        if output is None:
            raise UsageError("--format parquet writes bytes; name a file with -o")
        try:
            with explained(output, "write this file"):  # a fit is a JSON text there: each has fields of its own
                frame.assign(fit=frame["fit"].map(json.dumps, na_action="ignore")).to_parquet(output, index=False)
        except ImportError as error:
            raise UsageError("--format parquet needs pyarrow: pip install 'estbench[parquet]'") from error
        return
    text = frame.to_csv(index=False, lineterminator="\n") if file_format == "csv" else render(frame, "json")
    if output is None:
        write(text)
    else:
        write_atomically(output, text)
