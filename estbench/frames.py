"""results.csv as a frame."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from estbench.errors import ResultsError
from estbench.store import COLUMNS

TEXT = """
problem distribution objective logits estimator options label method status reason bias_verdict flags
""".split()


def read_frame(run: Path) -> pd.DataFrame:
    """The results.csv of a run folder; ResultsError if it is missing or is something else."""
    path = run / "results.csv"
    again = "`estbench run` with the same config writes it again, without computing anything twice"
    try:
        frame = pd.read_csv(path, dtype=dict.fromkeys(TEXT, "string"), keep_default_na=True)
    except FileNotFoundError:
        raise ResultsError(f"{path}: there is no such file; {again}") from None
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: cannot be read ({error}); {again}") from error
    if missing := [column for column in COLUMNS if column not in frame.columns]:
        raise ResultsError(f"{path}: has no column {missing[0]}, so it is no results.csv of estbench; {again}")
    return frame
