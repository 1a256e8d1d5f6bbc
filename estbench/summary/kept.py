"""The rows of a run, kept beside its journal: whoever reads the run again need not derive them again.

`summary.jsonl` has two lines: what its rows were made from, with a checksum of them, and the rows. They are used where
they were made from this journal and this manifest by this program, and are as they were written. Else they are derived
again, as where the file is missing: it is no more than a copy.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from estbench.errors import ResultsError
from estbench.store.files import check_regular
from estbench.store.records import canonical

SUMMARY = "summary.jsonl"

Row = dict[str, Any]
Origin = Mapping[str, str]

_PROGRAM = Path(__file__).parents[1]


def origin(journal: str, manifest: Mapping[str, Any]) -> Origin:
    """What rows are derived from: the journal, by its digest, the manifest, and the program that derives them."""
    return {"journal": journal, "manifest": _sha256(canonical(manifest)), **_program()}


@cache
def _program() -> Origin:
    sources = hashlib.sha256()
    for path in sorted(_PROGRAM.rglob("*.py")):
        source = path.read_bytes()
        sources.update(f"{path.relative_to(_PROGRAM).as_posix()} {len(source)}\n".encode() + source)
    return {"estbench": sources.hexdigest(), "numpy": version("numpy"), "scipy": version("scipy")}


def written(rows: Sequence[Row], of: Origin) -> str:
    """The text of the file."""
    text = json.dumps(rows, default=lambda number: number.item(), separators=(",", ":"))
    return json.dumps({"of": of, "sha256": _sha256(text.encode())}) + "\n" + text + "\n"


def kept(folder: Path, of: Origin) -> list[Row] | None:
    """The rows in a run folder; None where there are none that were made from this, or they were changed."""
    path = folder / SUMMARY
    with suppress(OSError, ResultsError, ValueError, RecursionError):
        check_regular(path)
        head, rows, _ = path.read_bytes().split(b"\n")
        if json.loads(head) == {"of": of, "sha256": _sha256(rows)}:
            found: list[Row] = json.loads(rows)
            return found
    return None


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
