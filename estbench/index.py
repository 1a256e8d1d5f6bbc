"""Texts of the catalogue, read from a file: `estbench list` and `estbench show` then import no estimator.

`make docs` writes the file from the code (`guide.contents`). It records a digest of each source that it was made from:
where one has changed since, `read` gives None, and whoever asked takes the words from the code itself. Each digest has
a line of its own, so that changes of different sources merge.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from estbench.columns import COLUMNS
from estbench.errors import UsageError

ROOT = Path(__file__).parent
FILE = ROOT / "catalogue.json"
SOURCES = (
    "catalogue.py", "config/selector.py", "distributions", "estimators", "guide.py", "index.py", "names.py",
    "networks", "objectives", "references.py",
)  # fmt: skip
"""Files, and folders of files, that the words are taken from."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """An estimator at its default options: its row in the list, and what the list is filtered by.

    `unbiased` is None where it is not known, as of functions of users.
    """

    row: Row
    family: str
    distributions: Sequence[str]
    unbiased: bool | None
    gradient: bool


@dataclass(frozen=True)
class Contents:
    """Estimators, rows of objectives, distributions and networks, and name → page of all these and of their aliases."""

    estimators: Sequence[Entry]
    objectives: Sequence[Row]
    distributions: Sequence[Row]
    networks: Sequence[Row]
    pages: Mapping[str, str]

    def listed(
        self,
        *,
        family: str | None = None,
        distribution: str | None = None,
        unbiased: bool | None = None,
        gradient: bool | None = None,
    ) -> list[Row]:
        """The rows of the estimators that pass the filters; UsageError for an unknown family."""
        families = list(dict.fromkeys(entry.family for entry in self.estimators))  # those of users come last
        wanted = {f for f in families if family is None or f.casefold().startswith(family.casefold())}
        if not wanted:
            raise UsageError(f"--family: there is no family '{family}'; the families are {', '.join(families)}")
        return [
            entry.row
            for entry in self.estimators
            if entry.family in wanted
            and (distribution is None or distribution in entry.distributions)
            and unbiased in (None, entry.unbiased)
            and gradient in (None, entry.gradient)
        ]


def unknown(name: str, known: Sequence[str]) -> UsageError:
    """What is said of a name that the catalogue lacks."""
    close = get_close_matches(name, known, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return UsageError(
        f"there is no estimator, objective, distribution or network '{name}'.{hint} (estbench list estimators, …)"
    )


def metrics() -> list[Row]:
    """One row per metric."""
    return [
        {"name": column.name, "formula": column.formula, "meaning": column.meaning, "interval": column.interval}
        for column in COLUMNS
        if column.metric
    ]


def digests() -> dict[str, str]:
    """Path → SHA-256 of every source, shortened to 16 digits."""
    paths = [ROOT / source for source in SOURCES]
    files = [file for path in paths for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]
    return {file.relative_to(ROOT).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in files}


def written(contents: Contents) -> str:
    """The text of the file."""
    return json.dumps({"sources": digests(), **asdict(contents)}, ensure_ascii=False, indent=1) + "\n"


def read() -> Contents | None:
    """The contents of the file; None if there is none, or the sources are not those that it was made from."""
    try:
        record = json.loads(FILE.read_text(encoding="utf-8"))
        if record.pop("sources") != digests():
            return None
        entries = [Entry(**entry) for entry in record.pop("estimators")]
        return Contents(entries, **record)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # damaged: it is no more than a copy
        return None
