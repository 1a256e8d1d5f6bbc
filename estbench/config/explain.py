"""Validation errors of pydantic as messages `expected …, got …`, at the paths that the user wrote."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from estbench.config.complaint import Path, closest
from estbench.config.scalar import scalar
from estbench.config.selector import format_value

UNKNOWN = "unknown key"
_FAULT = "fault"
_EXPECTED = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "dataclass_type": "a mapping",
    "none_required": "null",
    "greater_than": "a number > {gt:g}",
    "greater_than_equal": "a number ≥ {ge:g}",
    "less_than": "a number < {lt:g}",
    "less_than_equal": "a number ≤ {le:g}",
    "literal_error": "{expected}",
}


def faults(*wrong: tuple[Path, str]) -> ValidationError:
    """An error of our own wording at paths below the value being checked; pydantic nests it."""
    details = [InitErrorDetails(type=PydanticCustomError(_FAULT, "{m}", {"m": m}), loc=p, input=None) for p, m in wrong]
    return ValidationError.from_exception_data("config", details)


def explain(error: ValidationError, data: Any, keys: Mapping[tuple[str, ...], list[str]]) -> list[tuple[Path, str]]:
    """The faults of `data` as (path, message); `keys` are the keys allowed below a path (list indices left out)."""
    grouped: dict[Path, list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        grouped.setdefault(_written(details, data), []).append(details)
    return [(path, message) for path, details in grouped.items() for message in _messages(path, details, keys)]


def shown(value: Any) -> str:
    """A value given, short: `'abc'`, `3`, `a list`, `nothing`."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "an empty list" if not value else "a list"
    if value is None:
        return "nothing"
    text = repr(value) if isinstance(value, str) else format_value(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _written(details: ErrorDetails, data: Any) -> Path:
    """The path as far as the user wrote it: pydantic adds the members of unions, and items of a lone value."""
    if details["type"] in {_FAULT, "missing"}:
        return details["loc"][:-1] if _item(details) else details["loc"]
    path: Path = ()
    for part in details["loc"]:
        if isinstance(data, dict) and part in data:
            data = data[str(part)]
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            break
        path = (*path, part)
    return path


def _item(details: ErrorDetails) -> bool:
    """Whether what is missing is an item of a list whose length is given."""
    return details["type"] == "missing" and isinstance(details["loc"][-1], int)


def _messages(path: Path, errors: list[ErrorDetails], keys: Mapping[tuple[str, ...], list[str]]) -> list[str]:
    said, expected = [], []
    if missing := [int(error["loc"][-1]) for error in errors if _item(error)]:
        said.append(f"expected {max(missing) + 1} items, got {min(missing)}")
    for error in errors:
        kind, context = error["type"], error.get("ctx", {})
        if kind in {"unexpected_keyword_argument", "extra_forbidden"}:
            allowed = keys.get(tuple(part for part in path[:-1] if isinstance(part, str)), [])
            said.append(f"{UNKNOWN} {path[-1]!r}.{closest(path[-1], allowed)} Allowed: {', '.join(allowed) or 'none'}")
        elif _item(error) or (kind == "too_short" and error["input"]):
            pass  # said above, and of a list whose items are wrong
        elif kind == "too_long":
            said.append(f"expected at most {context['max_length']} items, got {context['actual_length']}")
        elif kind == "missing":
            said.append("this key is required")
        elif kind in _EXPECTED:
            expected.append(_EXPECTED[kind].format(**context))
        elif kind == "too_short":
            said.append("expected at least one item, got an empty list")
        else:
            said.append(error["msg"].removeprefix("Value error, "))
    if expected:
        given = errors[0]["input"]
        words = [word for text in expected for word in re.findall(r"'([^']*)'", text)]
        near = closest(given, words) if isinstance(given, str) else ""
        if expected == ["text"] and isinstance(given, int | float):
            near = " Write it in quotes"
        elif isinstance(given, str) and isinstance(scalar(given), int | float):
            near = " Write it without quotes"
        said.insert(0, f"expected {' or '.join(dict.fromkeys(expected))}, got {shown(given)}.{near}".rstrip("."))
    return said
