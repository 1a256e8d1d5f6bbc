"""The run folder as a whole: where runs are, reading one, and writing one."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from estbench.errors import ResultsError, UsageError
from estbench.store.files import explained
from estbench.store.growth import shown
from estbench.store.journal import Contents, Journal, read_journal
from estbench.store.manifest import MANIFEST, is_run, read_manifest, settle
from estbench.store.records import Item, Json

JOURNAL = "journal.jsonl"
PRODUCTS = ("results.csv", "report.html", "figures")  # what is made from a journal, in the same folder


@dataclass(frozen=True)
class Run:
    """A run folder as it was read: its manifest, and the contents of its journal."""

    folder: Path
    manifest: Json
    journal: Contents

    @property
    def items(self) -> dict[Item, Any]:
        """(kind, key, cell) → result."""
        return self.journal.items


def read(folder: Path) -> Run:
    """Read a run folder. It needs no lock, and may be written meanwhile. ResultsError if it is damaged, or is none."""
    return Run(folder, read_manifest(folder), read_journal(folder / JOURNAL))


class Store:
    """A run folder that this process alone may write to; a context manager.

    folder, manifest   as they are on the disk
    torn               bytes of a torn last line that were cut off on opening
    """

    def __init__(self, folder: Path, manifest: Json, *, fresh: bool = False, any_version: bool = False) -> None:
        """Begin the run of this manifest, or go on with it.

        The manifest has config, seed, layout, versions, device, dtype, created, … (schema_version, config_hash and a
        checksum are added). `fresh` deletes the run in the folder, then begins.
        UsageError if the folder holds something else, or a run that is not `compatible`; ResultsError if it is damaged,
        cannot be written, or is being written. Then nothing in it is changed.
        """
        _refuse_foreign(folder)
        with explained(folder, "make this folder"):
            folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._journal = Journal(folder / JOURNAL)
        try:
            if fresh:
                self._journal.clear()
                _delete_products(folder)
            self.manifest = settle(folder, manifest, fresh=fresh, any_version=any_version)
            self.torn = self._journal.load()
        except BaseException:
            self._journal.close()
            raise

    @property
    def items(self) -> dict[Item, Any]:
        """(kind, key, cell) → result: all that is done."""
        return self._journal.items

    def append(self, *records: Json) -> None:
        """Add records (see `records`), all or none; when this returns they are on the disk. Known results are left out.

        ResultsError if one contradicts what is there, or the disk does not take them: the folder is as before.
        """
        self._journal.append(*records)

    def close(self) -> None:
        """Let go of the folder."""
        self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def find_runs(results: Path) -> list[Path]:
    """The run folders at RESULTS: itself, or those directly in it, by name. ResultsError if there is none."""
    with explained(results, "read this folder"):
        if is_run(results):
            return [results]
        if not results.is_dir():
            what = "not a folder" if results.exists() else "there is no such folder"
        elif runs := sorted(folder for folder in results.iterdir() if is_run(folder)):
            return runs
        else:
            what = "holds no run" if any(results.iterdir()) else "is empty"
    raise ResultsError(
        f"{results}: {what}. RESULTS is a run folder (with {MANIFEST} and {JOURNAL}) or a folder of run folders; "
        "`estbench run CONFIG` makes one."
    )


def run_folder(results: Path, name: str) -> Path:
    """The folder in `results` of the run of this name; UsageError if such a name could lead elsewhere."""
    if not re.fullmatch(r"\w[\w .+=@-]{0,99}", name):
        raise UsageError(
            f"name: {shown(name)} cannot name a run folder. Allowed are up to 100 letters, digits, blanks and "
            "_ . + = @ -, the first a letter, a digit or _."
        )
    return results / name


def _refuse_foreign(folder: Path) -> None:
    with explained(folder, "read this folder"):
        if not folder.exists() or is_run(folder):
            return
        if not folder.is_dir():
            raise UsageError(f"{folder}: not a folder. Choose another one with -o.")
        for path in sorted(folder.iterdir()):
            begun = path.name == JOURNAL and path.is_file() and path.stat().st_size == 0  # killed before the manifest
            if not begun and not path.name.startswith("."):
                raise UsageError(
                    f"{folder}: holds {shown(path.name)} and is not a run folder, so nothing in it was touched. Choose "
                    "another folder with -o, a new or an empty one."
                )


def _delete_products(folder: Path) -> None:
    with explained(folder, "delete the old results"):
        for path in (folder / name for name in PRODUCTS):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
