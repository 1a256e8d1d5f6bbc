"""`estbench report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from estbench.cli.console import out


def report(
    results: Annotated[Path, typer.Argument(help="A run folder, or a folder of run folders.")] = Path("results"),
) -> None:
    """Write report.html into each run folder: one page with tables and figures, that needs nothing else."""
    from estbench.frames import read_frame
    from estbench.report import write
    from estbench.store import find_runs

    for folder in find_runs(results):
        out().print(str(write(folder, read_frame(folder))), markup=False, soft_wrap=True)
