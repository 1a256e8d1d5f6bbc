"""Runs of one config, made on several machines, joined into one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from estbench.errors import ResultsError, UsageError
from estbench.store.compatibility import compatible, diff, union
from estbench.store.folder import Run, Store, is_run, read
from estbench.store.journal import JOURNAL
from estbench.store.manifest import read_plan, refusal
from estbench.store.records import Item, Json, contradicts, named


def merge(runs: Sequence[Path], destination: Path) -> None:
    """Write all that these runs hold to `destination`, a new folder or a run that is added to.

    UsageError if they differ in more than cells and replicates; ResultsError if they disagree on a result. Then nothing
    is written. A merge that was interrupted may be done again.
    """
    found = [read(folder) for folder in (*([destination] if is_run(destination) else []), *runs)]
    first, manifest = found[0], found[0].manifest
    for run in found:
        manifest = union(manifest, run.manifest)
    for run in found:
        if reasons := compatible(run.manifest, manifest):
            one = first if run is not first else next((other for other in found if _apart(run, other)), found[-1])
            changes = diff(one.manifest["config"], run.manifest["config"], str(one.folder), str(run.folder))
            raise UsageError(refusal(f"{run.folder}: does not fit {one.folder}; nothing was merged.", reasons, changes))
    records = _joined(found)
    read_plan(manifest, destination)  # what no plan can be made of is refused before a folder is made
    with Store(destination, manifest) as store:
        store.append(*records)


def _apart(a: Run, b: Run) -> bool:
    """Whether these two do not fit."""
    return bool(compatible(a.manifest, union(b.manifest, a.manifest)))


def _joined(runs: Sequence[Run]) -> list[Json]:
    """One record for each (kind, key) of all runs, the first result of each item in it."""
    origins: dict[Item, Run] = {}
    records: dict[tuple[str, str, bool], Json] = {}
    for run in runs:
        for item, result in run.items.items():
            origin = origins.setdefault(item, run)
            if contradicts(origin.items, item, result):
                raise ResultsError(
                    f"{origin.folder / JOURNAL}, line {origin.journal.lines[item]}, and {run.folder / JOURNAL}, line "
                    f"{run.journal.lines[item]}, give different results for {named(item)}; nothing was merged."
                )
            kind, key, cell = item
            record = records.setdefault((kind, key, bool(cell)), {"kind": kind, "key": key})
            if origin is not run:
                continue
            if cell:
                record.setdefault("cells", {})[cell] = result
            else:
                record |= result
    return list(records.values())
