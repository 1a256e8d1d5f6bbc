"""Figures of a run, drawn from its results frame. Drawing only draws: all numbers come from the frame."""

from __future__ import annotations

import gc
import hashlib
import io
import os
import re
import signal
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from estbench.errors import UsageError
from estbench.plots.cosine import cosine
from estbench.plots.overview import overview
from estbench.plots.samples import samples
from estbench.plots.style import RC
from estbench.plots.temperature import temperature
from estbench.store.files import explained
from estbench.views import finished, readable

__all__ = ["KINDS", "cosine", "draw", "overview", "samples", "temperature"]

KINDS = {"overview": overview, "temperature": temperature, "samples": samples, "cosine": cosine}
LONGEST = 80  # characters of a problem in a file name
EACH = 24  # figures that are worth a process of their own, which takes a second to begin
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
    level: float = 0.95,
    processes: int | None = None,
) -> list[Path]:
    """Draw every kind of figure (or these) of every problem into a folder; return the files written.

    A kind that has nothing to show for a problem (no finished cell, one temperature only) is left out. `level` is that
    of the intervals in the frame. Up to so many `processes` (default: one for each core) share the work where there is
    enough of it. UsageError for an unknown kind or format, ResultsError if a file cannot be written.
    """
    chosen = list(KINDS) if kinds is None else list(dict.fromkeys(kinds))
    for given, known, what in ((chosen, KINDS, "kind"), ([format], NO_DATES, "format")):
        for word in given:
            if word not in known:
                raise UsageError(f"--{what} {word}: no such {what} of figure; choose from {', '.join(known)}")
    rows = finished(readable(frame))
    files = slugs(rows["problem"].unique())
    problems = [own for _, own in rows.groupby("problem", sort=False)]
    stems = [folder / file for file in files.values()]
    draw_all = partial(_of_problem, kinds=chosen, format=format, level=level)
    workers = min(processes or os.cpu_count() or 1, len(problems) * len(chosen) // EACH)
    if workers <= 1:
        return [path for own, stem in zip(problems, stems, strict=True) for path in draw_all(own, stem)]
    with ProcessPoolExecutor(workers, get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        return [path for drawn in pool.map(draw_all, problems, stems) for path in drawn]


def _of_problem(
    own: pd.DataFrame,
    stem: Path,
    kinds: Sequence[str],
    format: str,  # noqa: A002 - as above
    level: float,
) -> list[Path]:
    """The figures of one problem."""
    written = []
    with mpl.rc_context(), warnings.catch_warnings(), _old_objects_left_alone():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # drawn as a box
        mpl.rcdefaults()  # whatever the user's own settings are
        mpl.rcParams.update(RC)
        for kind in kinds:
            figure = KINDS[kind](own, level)
            if figure is not None:
                written.append(_write(figure, stem.with_name(f"{stem.name}-{kind}.{format}")))
    return written


def slugs(problems: Iterable[str]) -> dict[str, str]:
    """A file name for every problem: letters, digits and . _ = , + - only, no two alike even where case is ignored."""
    short = {problem: _slug(problem) for problem in problems}
    count = Counter(name.casefold() for name in short.values())
    return {
        problem: f"{name}-{_hash(problem)}" if count[name.casefold()] > 1 or len(name) == LONGEST else name
        for problem, name in short.items()
    }


@contextmanager
def _old_objects_left_alone() -> Iterator[None]:
    """Figures are cyclic garbage: collecting them looks at them alone, and not at all that pandas made on import."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _slug(problem: str) -> str:
    ascii_only = unicodedata.normalize("NFKD", problem).encode("ascii", "ignore").decode()
    open_list = re.sub(r"=[\[(]+", "=", ascii_only)
    return re.sub(r"[^A-Za-z0-9.=,+-]+", "_", open_list).strip("-._")[:LONGEST] or "problem"


def _hash(problem: str) -> str:
    return hashlib.sha256(problem.encode()).hexdigest()[:8]


def _write(figure: Figure, path: Path) -> Path:
    picture = io.BytesIO()
    kind = path.suffix.removeprefix(".")
    if kind == "png":
        _write_png(figure, picture)
    else:
        figure.savefig(picture, format=kind, metadata=NO_DATES[kind])
    with explained(path, "write this figure"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture.getvalue())
    return path


def _write_png(figure: Figure, picture: io.BytesIO) -> None:
    """Without the fourth channel of `savefig`, which is opaque everywhere: a quarter faster and smaller."""
    figure.set_dpi(mpl.rcParams["savefig.dpi"])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call] # of matplotlib
    colours = np.asarray(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call] # [height, width, 3]
    Image.fromarray(colours).save(picture, "png", compress_level=3, dpi=(figure.dpi, figure.dpi))
