"""The lines of a journal: records, the items they hold, and the checksum that guards them.

A line is `{"crc32":"89abcdef","records":[…]}`, the checksum being that of the bytes of the list. A record is
`{kind, key, …}` or, where one piece of work serves many cells, `{kind, key, cells: {cell: …}}`. Each of its results is
an *item*, found under (kind, key, cell); the cell is "" where a record has none. What the items of each kind have is
said by `estbench.store.kinds`.

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
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from estbench.errors import ResultsError

Json = dict[str, Any]
Item = tuple[str, str, str]  # kind, key, cell


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
    """The line of a journal for a list of records in canonical JSON."""
    return b'{"crc32":"%b","records":%b}\n' % (checksum(payload).encode("ascii"), payload)


OPENING = b'{"crc32":"'
"""What a journal of this program begins with."""

_BEFORE, _AFTER = len(line(b"")) - len(b"}\n"), len(b"}\n")


def parse(raw: bytes, where: str, *, first: bool = False) -> list[tuple[Item, Any]]:
    """The items of a line. ResultsError unless it is, byte for byte, what `line` made of records.

    `first`: it is the line that says to which run the journal belongs, and may not be deleted.
    """
    payload = raw[_BEFORE:-_AFTER]
    if raw == line(payload):
        with suppress(ValueError, RecursionError):
            return [found for record in loads(payload) for found in items_of(record).items()]
    advice = (
        "It says to which run the journal belongs: restore the file, or start over with `estbench run CONFIG --fresh`."
        if first
        else "Restore the file, or delete that line: `estbench run` computes again what it had."
    )
    raise ResultsError(f"{where}: damaged or edited. {advice}")


def loads(payload: bytes) -> list[Any]:
    """The records of a line; ValueError if it has none."""
    records = json.loads(payload, parse_constant=_refuse)
    if not isinstance(records, list):
        raise ValueError("no list of records")
    return records


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def items_of(record: Any) -> dict[Item, Any]:
    """The items of a record; ValueError if it is not a record."""
    match record:
        case {"kind": str(kind), "key": str(key), "cells": dict(cells), **rest} if not rest:
            return {(kind, key, cell): result for cell, result in cells.items()}
        case {"kind": str(kind), "key": str(key), **fields} if "cells" not in fields:
            return {(kind, key, ""): fields}
    raise ValueError("a record is {kind, key, …}, or {kind, key, cells: {cell: …}} and nothing else")


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
