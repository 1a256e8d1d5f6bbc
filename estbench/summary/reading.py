"""A run folder as it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from estbench.plan import Layout, Plan, plan_of
from estbench.store import MANIFEST, merge, read, write_atomically
from estbench.summary.cells import Items
from estbench.summary.rows import results


@dataclass(frozen=True)
class Results:
    """A run as it stands: its folder, what it says of itself, its plan, and what is done."""

    folder: Path
    manifest: dict[str, Any]
    plan: Plan
    items: Items

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.plan.config.name


def read_results(folder: Path) -> Results:
    """Read a run folder from its manifest and its journal alone; nothing that they name is imported.

    ResultsError if it is none or is damaged.
    """
    found = read(folder)
    return Results(folder, found.manifest, plan_of(found.manifest, str(folder / MANIFEST)), found.items)


def layouts(manifest: Mapping[str, Any]) -> dict[str, Layout]:
    """The recorded layouts of a run's problems, by problem id."""
    return {key: Layout.of_record(record) for key, record in manifest["layout"].items()}


def merged(runs: Sequence[Path], destination: Path) -> Results:
    """Join runs of one config into a run folder, results.csv included, and read it.

    UsageError if they do not fit, ResultsError if they contradict each other; then nothing is written.
    """
    merge(runs, destination)
    found = read_results(destination)
    write_results(destination, results(found.plan, found.items))
    return found


def write_results(folder: Path, frame: pd.DataFrame) -> None:
    """Write results.csv, for other programs; the frame is that of `results`."""
    write_atomically(folder / "results.csv", frame.to_csv(index=False, lineterminator="\n"))
