"""Reading a run folder: its plan and the results so far."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from estbench.plan import Plan
from estbench.store import read
from estbench.summary.cells import Items
from estbench.summary.kept import Origin, Row, kept, origin

if TYPE_CHECKING:
    from estbench.summary.rows import Finding


@dataclass(frozen=True)
class Results:
    """A run as it stands: its folder, what it says of itself, its plan, and what is done."""

    folder: Path
    manifest: dict[str, Any]
    plan: Plan
    items: Items
    origin: Origin | None = None
    """What all of it was read from; None of results in memory."""

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.plan.config.name

    @cached_property
    def findings(self) -> list[Finding]:
        """`findings` of all that is done, computed once."""
        from estbench.summary.rows import findings  # noqa: PLC0415 - metrics alone need scipy

        return findings(self.plan, self.items)

    @cached_property
    def rows(self) -> list[Row]:
        """The rows of the findings: those kept in the folder, where they were made from what was read."""
        found = None if self.origin is None or "findings" in vars(self) else kept(self.folder, self.origin)
        return [finding.row for finding in self.findings] if found is None else found


def read_results(folder: Path) -> Results:
    """Read a run folder from its manifest and its journal alone; nothing that they name is imported.

    ResultsError if it is not a run folder, or is damaged.
    """
    found = read(folder)
    return Results(folder, found.manifest, found.plan, found.items, origin(found.journal.digest, found.manifest))
