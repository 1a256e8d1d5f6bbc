"""The run folder as a whole: where runs are, reading one, and writing one."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from estbench.errors import ResultsError, UsageError
from estbench.plan import Layout, Plan
from estbench.store.arrays import check_arrays
from estbench.store.compatibility import shown
from estbench.store.files import Place, check_folder, explained
from estbench.store.head import differences, head_of, layouts_of
from estbench.store.journal import JOURNAL, Contents, Journal, is_journal, nothing, read_journal
from estbench.store.manifest import (
    MANIFEST,
    DamagedManifestError,
    another_run,
    has_manifest,
    read_manifest,
    read_plan,
    record_manifest,
)
from estbench.store.records import Item, Json

FIGURES = "figures"
PRODUCTS = ("results.csv", "summary.jsonl", "report.html", FIGURES)  # what is made from a journal, in the same folder


@dataclass(frozen=True)
class Run:
    """A run folder as it was read: its manifest, the plan in it, and the contents of its journal."""

    folder: Path
    manifest: Json
    plan: Plan
    journal: Contents

    @property
    def items(self) -> dict[Item, Any]:
        """(kind, key, cell) → result."""
        return self.journal.items


def read(folder: Path) -> Run:
    """Read a run folder. It needs no lock, and may be written meanwhile.

    ResultsError if it is not a run folder, is damaged, or if its journal is not that of its manifest.
    """
    if not is_run(folder):
        raise ResultsError(f"{folder}: not a run folder, it has no {MANIFEST}. `estbench run CONFIG` makes one.")
    manifest = read_manifest(folder)
    plan, journal = read_plan(manifest, folder), read_journal(folder / JOURNAL)
    _check(journal, manifest, plan, folder)
    return Run(folder, manifest, plan, journal)


def _check(journal: Contents, manifest: Json, plan: Plan, folder: Path) -> None:
    head = journal.head or ({("", "", ""): None} if journal.items else {})  # results without a head may be of any run
    if reasons := differences(head, manifest):
        raise another_run(folder, reasons)
    check_arrays(journal.items, journal.lines, plan, str(folder / JOURNAL))


def is_run(folder: Path) -> bool:
    """Whether the folder has a manifest or a journal of this program, be they damaged."""
    return has_manifest(folder) or is_journal(folder / JOURNAL)


def recorded_layouts(folder: Path) -> dict[str, Layout]:
    """How the replicates of the run in this folder are cut, by problem id; by its journal if its manifest is damaged.

    Nothing where there is no run. ResultsError if it is damaged.
    """
    if not is_run(folder):
        return {}
    try:
        manifest = read_manifest(folder)
        read_plan(manifest, folder)
    except DamagedManifestError:
        return layouts_of(read_journal(folder / JOURNAL).head)
    return {problem: Layout.of_record(cut) for problem, cut in manifest["layout"].items()}


def figures_folder(run: Path) -> Path:
    """The folder of the figures in a run folder; ResultsError if something else is there, or a link to a folder."""
    check_folder(run / FIGURES)
    return run / FIGURES


class Store:
    """A run folder that this process alone may write to; a context manager.

    folder, manifest   as they are on the disk
    torn               bytes of a torn last line that were cut off on opening
    """

    def __init__(self, folder: Path, manifest: Json, *, fresh: bool = False) -> None:
        """Begin the run of this manifest, or go on with it.

        The manifest has config, seed, layout, versions, device, dtype, created, … (schema_version, config_hash and a
        checksum are added). `fresh` deletes the run in the folder, then begins. Where the manifest in the folder is
        missing or damaged, the run goes on if its journal is of this one.
        UsageError if the folder holds something else, or a run that this one cannot continue (`store.compatibility`);
        ResultsError if it is damaged, cannot be written, or is being written. Then nothing in it is changed, and a
        folder that was made is removed.
        """
        _refuse_other_files(folder)
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        with explained(folder, "make this folder"):
            folder.mkdir(parents=True, exist_ok=True)
            self._place = Place(folder)
        self.folder = folder
        try:
            self._journal = Journal(self._place)
            try:
                self.torn = self._open(manifest, fresh=fresh)
            except BaseException:
                self._journal.close()
                if folder in made:
                    (folder / JOURNAL).unlink(missing_ok=True)
                raise
        except BaseException:
            self._place.close()
            with suppress(OSError):  # another process may have begun a run there
                for path in made:
                    path.rmdir()
            raise

    def _open(self, manifest: Json, *, fresh: bool) -> int:
        contents = nothing()
        if fresh:
            self._journal.clear()
            _delete_products(self.folder)
        else:
            contents = self._journal.load()
        self._place.sweep()

        def check(manifest: Json) -> None:
            _check(contents, manifest, read_plan(manifest, self.folder), self.folder)

        self.manifest = record_manifest(self._place, manifest, contents.head, check, fresh=fresh)
        self._journal.cut()
        self._journal.begin(*head_of(self.manifest))
        return contents.torn

    @property
    def items(self) -> dict[Item, Any]:
        """(kind, key, cell) → result: all that is done."""
        return self._journal.items

    @property
    def digest(self) -> str:
        """SHA-256 of the journal as it is now."""
        return self._journal.digest()

    def append(self, *records: Json) -> None:
        """Add records (see `kinds`), all or none; a kill of this process loses none of them.

        A failure of the machine may lose those of the last second of work. Known results are left out. ResultsError if
        one contradicts what is there, the disk does not take them, or the folder was moved: the journal is as before.
        """
        self._journal.append(*records)

    def write(self, name: str, content: str | bytes) -> None:
        """Replace a file in the folder; all results are on the disk before. ResultsError if it cannot be written."""
        self._journal.sync()
        self._place.write(name, content)

    def close(self) -> None:
        """Let go of the folder; all results are on the disk then."""
        try:
            self._journal.sync()
        finally:
            self._journal.close()
            self._place.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(*(() if error is None else (ResultsError,))):  # the first error is the one to report
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


def _refuse_other_files(folder: Path) -> None:
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
