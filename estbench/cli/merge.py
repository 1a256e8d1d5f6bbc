"""`estbench merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from estbench.cli.arguments import place
from estbench.cli.console import err, out


def merge(
    runs: Annotated[list[Path], typer.Argument(help="Run folders of one config: parts of it, or with other cells.")],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", parser=place, metavar="FOLDER", help="A new run folder, or one that is added to."
        ),
    ],
) -> None:
    """Join runs made on several machines into one: what each has, each result once.

    Runs that differ in more than cells and replicates, or that contradict each other, are refused.
    """
    from estbench.cli.status import show_status
    from estbench.summary.table import merged

    show_status(out(), merged(runs, output))
    err().print(f"Results: {output / 'results.csv'}", markup=False)
