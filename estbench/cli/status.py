"""`estbench status`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from estbench.cli.console import out


def status(
    results: Annotated[Path, typer.Argument(help="A run folder, or a folder of run folders.")] = Path("results"),
) -> None:
    """Say how far each run has come: cells done, skipped, failed and missing, and whether a precision was reached."""
    from estbench.store import find_runs
    from estbench.summary import precision_reached, read_results
    from estbench.summary import results as frame_of
    from estbench.tables import status as table

    for folder in find_runs(results):
        run = read_results(folder)
        frame = frame_of(run.plan, run.items)
        planned = Counter(run.plan.problems[cell.problem].label for cell in run.plan.cells)
        out().print(f"{folder}  seed {run.plan.config.seed}", markup=False, style="bold")
        out().print(table(frame, planned))
        if (line := precision_reached(run.plan, run.items)) is not None:
            out().print(line, markup=False)
