"""`estbench plot`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from estbench.cli.arguments import place
from estbench.cli.console import err, out
from estbench.cli.display import figures_drawn
from estbench.errors import ResultsError
from estbench.imports import quick_imports
from estbench.outputs import FIGURES, OF_TRAININGS, FigureFormat

KINDS = "; ".join(f"{kind}: {shows}" for kind, shows in (FIGURES | OF_TRAININGS).items())


def plot(
    results: Annotated[Path, typer.Argument(help="A run folder, or a folder of run folders.")] = Path("results"),
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            parser=place,
            metavar="FOLDER",
            help="Where to draw; by default figures/ in each run folder.",
        ),
    ] = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="KIND,…", help=f"Draw these kinds only. {KINDS}."),
    ] = None,
    file_format: Annotated[FigureFormat, typer.Option("--format", help="The file format of the figures.")] = "png",
) -> None:
    """Draw the figures of a run: metrics against temperature and N, cosines, and an overview of each problem."""
    with quick_imports():
        from estbench.frames import read_frames
        from estbench.plots import draw
        from estbench.store import figures_folder, find_runs, read_manifest

    wanted = [kind.strip() for text in kinds or [] for kind in text.split(",")]
    runs = find_runs(results)
    drawn: list[Path] = []
    for run in runs:
        folder = figures_folder(run) if output is None else output / run.name if len(runs) > 1 else output
        level = read_manifest(run)["config"]["level"]
        with figures_drawn() as show:
            frame, trainings = read_frames(run)
            drawn += draw(frame, folder, wanted or None, file_format, level=level, trainings=trainings, show=show)
    if not drawn:
        raise ResultsError(f"{results}: there is nothing to draw: no cell is finished (estbench status says more)")
    for path in drawn:
        out().print(str(path), markup=False, soft_wrap=True)
    err().print(f"{len(drawn)} figures drawn.", markup=False)
