"""`estbench status`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from estbench.cli.console import out
from estbench.imports import quick_imports

if TYPE_CHECKING:
    from estbench.summary import Results


def status(
    results: Annotated[Path, typer.Argument(help="A run folder, or a folder of run folders.")] = Path("results"),
) -> None:
    """Say how far each run has come: cells done, skipped, failed and missing, the cost of fits, the precision."""
    with quick_imports():
        from estbench.store import find_runs
        from estbench.summary import read_results

    for folder in find_runs(results):
        show_status(out(), read_results(folder))


def show_status(console: Console, run: Results) -> None:
    """Print how far a run has come."""
    from estbench.summary import endings, fits, precision_reached
    from estbench.tables.progress import fitting
    from estbench.tables.progress import status as table

    planned = Counter(run.plan.problems[cell.problem].label for cell in run.plan.cells)
    console.print(f"{run.folder}  seed {run.plan.config.seed}", markup=False, style="bold")
    console.print(table(endings(run.plan, run.items), planned))
    if cost := fits(run.plan, run.items):
        console.print(fitting(cost))
    found = run.findings if run.plan.config.precision is not None else []  # metrics take time
    if (line := precision_reached(run.plan, found)) is not None:
        console.print(line, markup=False)
