"""Figures of a run, drawn from its results frame, which has all numbers that they show."""

from __future__ import annotations

import gc
import hashlib
import io
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from estbench.errors import UsageError
from estbench.outputs import FIGURES, OF_TRAININGS
from estbench.plots.angle import angle, of_angles
from estbench.plots.checkpoints import checkpoints, of_training
from estbench.plots.cosine import cosine
from estbench.plots.losses import losses
from estbench.plots.overview import overview
from estbench.plots.png import png
from estbench.plots.samples import samples
from estbench.plots.style import RC
from estbench.plots.temperature import temperature
from estbench.plots.workers import share
from estbench.processes import cores
from estbench.store.files import explained, write_atomically
from estbench.views import finished, readable

__all__ = ["DRAWN_BY", "NO_DATES", "cosine", "draw", "overview", "samples", "styled", "temperature", "write"]

DRAWN_BY = {
    "overview": overview,
    "temperature": temperature,
    "samples": samples,
    "cosine": cosine,
    "checkpoints": checkpoints,
    "losses": losses,
    "angle": angle,
}
LONGEST = 80  # characters of a problem in a file name
EACH = 24  # figures that are worth a process of their own: it takes a second to begin
NO_DATES = {  # so that equal frames give equal bytes
    "png": {},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def draw(
    frame: pd.DataFrame,
    folder: Path,
    kinds: Iterable[str] | None = None,
    format: str = "png",  # noqa: A002 - the option is called so everywhere
    *,
    level: float,
    processes: int | None = None,
    trainings: pd.DataFrame | None = None,
    show: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Draw every kind of figure (or these) of every problem into a folder; return the files written.

    `trainings` are the losses along trainings (see `summary.trainings`), where there are any.

    A kind that has nothing to show for a problem (no finished cell, one temperature only) is left out. `level` is that
    of the intervals in the frame. Up to so many `processes` (default: one for each core) share the work where there is
    enough of it; `show` is told how many figures are done, of how many. UsageError for an unknown kind or format,
    ResultsError if a file cannot be written.
    """
    every = FIGURES | OF_TRAININGS
    chosen = list(every) if kinds is None else list(dict.fromkeys(kinds))
    for given, known, what in ((chosen, every, "kind"), ([format], NO_DATES, "format")):
        for word in given:
            if word not in known:
                raise UsageError(f"--{what} {word}: no such {what} of figure; choose from {', '.join(known)}")
    rows = finished(readable(frame))
    files = slugs(rows["problem"].unique())
    tasks = [
        (own, kind, folder / f"{files[str(problem)]}-{kind}.{format}")
        for problem, own in rows.groupby("problem", sort=False)
        for kind in chosen
        if kind in FIGURES
    ]
    tasks += [
        (own, kind, folder / f"{slug}-{kind}.{format}")
        for kind, slug, own in _of_trainings(rows, trainings)
        if kind in chosen
    ]
    written = share(partial(_figure, level=level), tasks, min(processes or cores(), len(tasks) // EACH), show)
    return [path for path in written if path is not None]


def _of_trainings(rows: pd.DataFrame, trainings: pd.DataFrame | None) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """(kind, name of a file, rows) of each figure that shows all checkpoints of a training together."""
    trained = rows[rows["checkpoint"].notna()] if "checkpoint" in rows else rows.head(0)
    by_training = {str(name): own for name, own in trained.groupby(trained["problem"].map(of_training), sort=False)}
    files = slugs(by_training)
    yield from (("checkpoints", files[name], own) for name, own in by_training.items())
    by_angles = {str(name): own for name, own in trained.groupby(trained["problem"].map(of_angles), sort=False)}
    files = slugs(by_angles)
    yield from (("angle", files[name], own) for name, own in by_angles.items())
    if trainings is not None and len(trainings):
        keys = ["problem", "distribution", "dimensions", "categories"]
        by_network = {" ".join(map(str, name)): own for name, own in trainings.groupby(keys, sort=False)}
        files = slugs(by_network)
        yield from (("losses", files[name], own) for name, own in by_network.items())


def _figure(own: pd.DataFrame, kind: str, path: Path, level: float) -> Path | None:
    """Draw a figure of the rows of one problem into a file; None, and no file, if there is nothing to show."""
    with styled():
        return _written(own, kind, path, level)


def _written(own: pd.DataFrame, kind: str, path: Path, level: float) -> Path | None:
    """Draw and write it; the figure lives no longer than this call, so that `styled` can collect it."""
    figure = DRAWN_BY[kind](own, level)
    return None if figure is None else write(figure, path)


def slugs(problems: Iterable[str]) -> dict[str, str]:
    """A file name for every problem: letters, digits and . _ = , + - only, no two alike even where case is ignored."""
    short = {problem: _slug(problem) for problem in problems}
    count = Counter(name.casefold() for name in short.values())
    return {
        problem: f"{name}-{_hash(problem)}" if count[name.casefold()] > 1 or len(name) == LONGEST else name
        for problem, name in short.items()
    }


@contextmanager
def styled() -> Iterator[None]:
    """The look of our figures, whatever the user's own settings are, while a figure is drawn and written.

    Leaving it collects the figure, unless a variable of the caller still holds it.
    """
    with _collected_by_itself(), mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # drawn as a box
        mpl.rcdefaults()
        mpl.rcParams.update(RC)
        yield


@contextmanager
def _collected_by_itself() -> Iterator[None]:
    """A figure is cyclic garbage: collecting it looks at nothing else, as all that pandas made on import.

    What a program has frozen before stays frozen: `gc.unfreeze` frees all at once, so nothing more is frozen then.
    """
    frozen_before = gc.get_freeze_count() > 0
    if not frozen_before:
        gc.freeze()
    try:
        yield
    finally:
        gc.collect()
        if not frozen_before:
            gc.unfreeze()


def _slug(problem: str) -> str:
    ascii_only = unicodedata.normalize("NFKD", problem).encode("ascii", "ignore").decode()
    open_list = re.sub(r"=[\[(]+", "=", ascii_only)
    return re.sub(r"[^A-Za-z0-9.=,+-]+", "_", open_list).strip("-._")[:LONGEST] or "problem"


def _hash(problem: str) -> str:
    return hashlib.sha256(problem.encode()).hexdigest()[:8]


def write(figure: Figure, path: Path) -> Path:
    """Write a figure as the type of file that the name's ending says; ResultsError if it cannot be written."""
    picture = io.BytesIO()
    kind = path.suffix.removeprefix(".")
    if kind == "png":
        picture.write(png(_pixels(figure), figure.dpi))
    else:
        figure.savefig(picture, format=kind, metadata=NO_DATES[kind])
    with explained(path, "write this figure"):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, picture.getvalue(), "write this figure")
    return path


def _pixels(figure: Figure) -> NDArray[np.uint8]:
    """Red, green and blue, [height, width, 3]; the fourth channel is opaque everywhere."""
    figure.set_dpi(mpl.rcParams["savefig.dpi"])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call] # of matplotlib
    return np.asarray(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call] # of matplotlib
