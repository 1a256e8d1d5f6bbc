"""The results of a run as a frame."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from estbench.summary import read_results
from estbench.summary.table import frame_of
from estbench.summary.trainings import trainings


def read_frame(run: Path) -> pd.DataFrame:
    """The results of a run folder, one row per cell that is done, failed or skipped (see `estbench.columns`).

    They are made from its manifest and its journal, which carry checksums, or are the rows that were kept of just these
    two (`summary.kept`). results.csv is for other programs and is not read. ResultsError if the folder is no run or is
    damaged.
    """
    return read_frames(run)[0]


def read_frames(run: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The results of a run folder, and the losses along its trainings (see `columns.TRAINING`)."""
    found = read_results(run)
    return frame_of(found.rows), trainings(found.plan, found.items)
