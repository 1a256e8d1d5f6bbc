"""`estbench report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from estbench.cli.console import err, out
from estbench.cli.display import figures_drawn
from estbench.imports import quick_imports


def report(
    results: Annotated[Path, typer.Argument(help="A run folder, or a folder of run folders.")] = Path("results"),
) -> None:
    """Write report.html into each run folder: one page with tables and figures, that needs nothing else.

    Of a run of many problems it holds the figures of the first ones, and says how to draw the others.
    """
    with quick_imports():
        from estbench.frames import read_frames
        from estbench.report import write
        from estbench.store import find_runs

    for folder in find_runs(results):
        with figures_drawn() as show:
            frame, trainings = read_frames(folder)
            path = write(folder, frame, show, trainings=trainings)
        out().print(str(path), markup=False, soft_wrap=True)
        err().print(f"{path.stat().st_size / 1e6:.1f} MB.", markup=False)
