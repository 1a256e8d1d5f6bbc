"""The lines of a journal: records, the items they hold, and the checksum that guards them.

A line is `{"crc32":"89abcdef","record":{…}}`, the checksum being that of the bytes of the record. A record is
`{kind, key, …}` or, where one piece of work serves many cells, `{kind, key, cells: {cell: …}}`. Each of its results is
an *item*, found under (kind, key, cell); the cell is "" where a record has none:

    kind     key                        the rest
    problem  problem id                 route, true: encoded [P], or null where the gradient is not known
    cost     cell key                   f, df, seconds (null: not timed), maybe reference: encoded [P], and
                                        unbiased: whether it is declared to be (older records do not say)
    job      problem id/first shard     cells: {cell key: {moments: encoded [G, 8 + 3P]}}
    exact    cell key                   moments: encoded [1, 8 + 3P], route, error, mean_error, or reason: …
    fit      problem id/estimator       fields: the numbers found; f, df, seconds: what finding them cost
    failed   cell key                   reason: …

So cells that are added later are new items of a job that was done before. An item is written once, and one that comes
again must be the same. Only `seconds` may differ, which are measured, not computed; and a failure may come again for
another reason: the last one counts.

Everything is JSON, and arrays are base64 of their bytes: nothing that is read can run.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from estbench.errors import ResultsError

Json = dict[str, Any]
Item = tuple[str, str, str]  # kind, key, cell


FIELDS = {
    "problem": ("route", "true"),
    "cost": ("f", "df", "seconds"),
    "job": ("moments",),
    "exact": ("moments", "route", "error", "mean_error"),
    "fit": ("fields", "f", "df", "seconds"),
    "failed": ("reason",),
}
"""What a result of each kind has; an `exact` one without moments has a reason instead."""


def encode(array: ArrayLike) -> str:
    """Base64 of the little-endian float64 bytes of an array: exact, NaN and infinities included."""
    return base64.b64encode(np.asarray(array, dtype="<f8").tobytes()).decode("ascii")


def decode(text: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The float64 array of this shape (one −1 stands for what is left) that `encode` made, or ResultsError."""
    try:
        return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f8").reshape(shape).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ResultsError(
            f"the journal holds an array that has not the shape {shape} ({error}), so it is not of this config. "
            "`estbench run CONFIG --fresh` starts over."
        ) from error


def canonical(data: Any) -> bytes:
    """One line of ASCII JSON, keys sorted. It has no NaN or infinity: a number that may be one is to be encoded."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def checksum(payload: bytes) -> str:
    """CRC-32 in eight hexadecimal digits: it finds every change within four bytes in a row."""
    return f"{zlib.crc32(payload):08x}"


def line(payload: bytes) -> bytes:
    """The line of a journal for a record in canonical JSON."""
    return b'{"crc32":"%b","record":%b}\n' % (checksum(payload).encode("ascii"), payload)


_BEFORE, _AFTER = len(line(b"")) - len(b"}\n"), len(b"}\n")


def parse(raw: bytes, where: str) -> dict[Item, Any]:
    """The items of a line. ResultsError unless it is, byte for byte, what `line` made of a record."""
    payload = raw[_BEFORE:-_AFTER]
    if raw == line(payload):
        with suppress(ValueError, RecursionError):
            return items_of(json.loads(payload))
    raise ResultsError(
        f"{where}: damaged or edited. Restore the file, or delete that line: `estbench run` computes again what it had."
    )


def items_of(record: Any) -> dict[Item, Any]:
    """The items of a record; ValueError if it is none."""
    match record:
        case {"kind": str(kind), "key": str(key), "cells": dict(cells), **rest} if not rest:
            return {(kind, key, cell): result for cell, result in cells.items()}
        case {"kind": str(kind), "key": str(key), **fields} if "cells" not in fields:
            return {(kind, key, ""): fields}
    raise ValueError("a record is {kind, key, …}, or {kind, key, cells: {cell: …}} and nothing else")


def lacking(item: Item, result: Any) -> list[str]:
    """The fields that a result of this kind should have, and has not."""
    kind = item[0]
    if not isinstance(result, dict):
        return list(FIELDS.get(kind, ()))
    reasoned = kind == "exact" and "reason" in result
    return [field for field in FIELDS.get(kind, ()) if field not in result and not reasoned]


def incomplete(what: str, missing: Sequence[str]) -> ResultsError:
    """What to say of something that lacks fields."""
    return ResultsError(
        f"{what} lacks {', '.join(missing)}: it was written by another version of estbench. Use that one, or run again "
        "into a new folder (-o)."
    )


def is_new(items: Mapping[Item, Any], item: Item, result: Any) -> bool:
    """Whether a result is to be kept: it is the first of its item, or another failure."""
    return item not in items or (item[0] == "failed" and bool(items[item] != result))


def contradicts(items: Mapping[Item, Any], item: Item, result: Any) -> bool:
    """Whether another result of this item is there; times and failures contradict nothing."""
    if item not in items or item[0] == "failed":
        return False
    a, b = ({**known, "seconds": None} if isinstance(known, dict) else known for known in (items[item], result))
    return bool(a != b)


def named(item: Item) -> str:
    """The item for a message, without control characters."""
    return json.dumps(" ".join(filter(None, item)))
