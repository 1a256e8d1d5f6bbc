"""`--set key=value`: a config with one value replaced, by a path such as `problems.0.dimensions`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from estbench.config.complaint import Complaint, Path, refusal
from estbench.config.document import MAX_DEPTH, Document, parse
from estbench.config.selector import parse_selector
from estbench.errors import UsageError


def override(document: Document, settings: Iterable[str]) -> Document:
    """The document with each `key=value` in place; what is later complained of there names the option.

    Keys go down with dots, into lists by index (`problems.0.logits`, or `problems[0].logits`); below a plain name
    (`estimators.2.baseline=mean` where item 2 is `reinforce`) the name becomes a mapping. Raises UsageError.
    """
    for setting in settings:
        document = _set(document, setting)
    return document


def path_of(key: str) -> Path:
    """("problems", 0, "logits") for `problems.0.logits` or `problems[0].logits`."""
    parts = [part for part in re.split(r"[.\[\]]+", key.strip()) if part]
    return tuple(int(part) if part.isdecimal() else part for part in parts)


def put(data: Any, path: Path, value: Any) -> Any:
    """The data with data[path] = value, as a new object; a name on the way becomes {name: …, options}."""
    if not path:
        return value
    part, rest = path[0], path[1:]
    if isinstance(data, str):
        name, options = parse_selector(data)
        data = {"name": name, **options}
    if isinstance(data, list):
        if not isinstance(part, int) or part >= len(data):
            raise UsageError(f"expected an index into a list of {len(data)} (0 is the first), got {part!r}")
        return [*data[:part], put(data[part], rest, value), *data[part + 1 :]]
    if data is None or isinstance(data, dict):
        return {**(data or {}), str(part): put((data or {}).get(str(part)), rest, value)}
    raise UsageError(f"there is no {part!r} in {data!r}")


def _set(document: Document, setting: str) -> Document:
    key, equals, text = setting.partition("=")
    shown, path = f"--set {setting}", path_of(key)
    if not equals or not path:
        raise UsageError(f"{shown}: write key=value, for example replicates=5000 or problems.0.logits=1")
    if len(path) > MAX_DEPTH:
        raise UsageError(f"--set {key[:60]}…: {len(path)} parts; a config has no more than {MAX_DEPTH} levels")
    given = parse(text, shown, offset=len("--set ") + len(key) + 1)
    try:
        data = put(document.data, path, given.data)
    except UsageError as error:
        raise refusal([Complaint(given.start, path, str(error))]) from None
    below = len(path)
    return replace(
        document,
        data=data,
        values={p: place for p, place in document.values.items() if p[:below] != path}
        | {path + p: place for p, place in given.values.items()},
        keys={p: place for p, place in document.keys.items() if p[:below] != path}
        | {path + p: place for p, place in given.keys.items()}
        | {path: given.start},
        complaints=(*(c for c in document.complaints if c.path[:below] != path), *given.complaints),
    )
