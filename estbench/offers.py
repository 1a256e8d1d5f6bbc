"""Where estimators and objectives beside the catalogue come from: files of --plugin, and entry points of packages.

The module `plugins` imports them, when one of their names is used.
"""

from __future__ import annotations

import functools
import os
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from estbench.errors import UsageError

GROUPS: dict[str, str] = {"estimator": "estbench.estimators", "objective": "estbench.objectives"}
"""The groups of entry points in which installed packages offer estimators and objectives."""

FILES: list[str] = []
"""The files whose names are known in this process."""


def use(files: list[Path]) -> None:
    """Make the names known that some files export; UsageError where there is no such file."""
    for file in files:
        if file.suffix != ".py" or not file.is_file():
            raise UsageError(f"--plugin: expected a Python file (.py), got {file}")
    FILES[:] = dict.fromkeys([*FILES, *(os.path.normpath(file) for file in files)])


@functools.cache
def points(what: str) -> tuple[EntryPoint, ...]:
    """The entry points of all installed packages for estimators, or objectives."""
    return tuple(entry_points(group=GROUPS[what])) if what in GROUPS else ()
