"""The rows of a run, kept beside its journal: whoever reads the run again need not derive them again.

`summary.jsonl` has two lines: what its rows were made from, with a checksum of them, and the rows. They are used where
they were made from this journal and this manifest by this program, and are as they were written. Else they are derived
again, as where the file is missing: it is no more than a copy.

JSON has no NaN and no infinity: what is unknown is null, and ∞ is "Infinity", as in the tables that are exported.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from estbench.columns import COLUMNS
from estbench.errors import ResultsError
from estbench.store.files import check_regular
from estbench.store.records import canonical

SUMMARY = "summary.jsonl"

Row = dict[str, Any]
Origin = Mapping[str, str]

_NUMBERS = frozenset(name for column in COLUMNS if column.dtype == "float64" for name in column.names)
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
    finite = [{name: _written(value) for name, value in row.items()} for row in rows]
    text = json.dumps(finite, separators=(",", ":"), allow_nan=False)
    return json.dumps({"of": of, "sha256": _sha256(text.encode())}) + "\n" + text + "\n"


def kept(folder: Path, of: Origin) -> list[Row] | None:
    """The rows in a run folder; None where there are none that were made from this, or they were changed."""
    path = folder / SUMMARY
    with suppress(OSError, ResultsError, ValueError, RecursionError):
        check_regular(path)
        head, rows, _ = path.read_bytes().split(b"\n")
        if json.loads(head) == {"of": of, "sha256": _sha256(rows)}:
            return [{name: _read(name, value) for name, value in row.items()} for row in json.loads(rows)]
    return None


def _written(value: Any) -> Any:
    """A value as JSON has it; a number of numpy as one of Python."""
    value = value.item() if hasattr(value, "item") else value
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _read(name: str, value: Any) -> Any:
    """The value that was written; null is NaN where a column is one of numbers."""
    if name not in _NUMBERS or isinstance(value, float):
        return value
    return math.nan if value is None else float(value) if isinstance(value, str) else value


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
