"""`name[option=value,…]`: an estimator or objective with options, anywhere a name is taken."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from estbench.config.complaint import Place, refusal
from estbench.config.document import parse
from estbench.config.scalar import scalar
from estbench.errors import UsageError
from estbench.names import split

_NAME = re.compile(r"[^\[\]{},=\s\"']+")
_OPTION = re.compile(r"\s*(\w+)\s*=(.*)", re.DOTALL)


def parse_selector(text: str) -> tuple[str, dict[str, Any]]:
    """`reinforce[baseline=optimal]` as ("reinforce", {"baseline": "optimal"}); values by the rules of YAML 1.2.

    Raises UsageError when brackets do not pair, an option has no value or is given twice.
    """
    text = text.strip()
    head, bracket, rest = text.partition("[")
    if not _NAME.fullmatch(head) or (bracket and not rest.endswith("]")):
        raise UsageError(f"{text!r} is not a name or name[option=value,…]")
    options: dict[str, Any] = {}
    for part in split(rest[:-1]) if bracket else ():
        match = _OPTION.fullmatch(part)
        if not match:
            raise UsageError(f"{part.strip()!r} in {text!r} is not option=value")
        option, value = match.groups()
        if option in options:
            raise UsageError(f"option {option!r} is given twice in {text!r}")
        document = parse(value.strip(), f"{option}={value.strip()}", offset=len(option) + 1)
        if document.complaints:
            raise refusal(document.complaints)
        options[option] = document.data
    return head, options


def format_selector(name: str, options: Iterable[tuple[str, Any]]) -> str:
    """The inverse of `parse_selector`: the name alone when there are no options."""
    inside = ",".join(f"{option}={format_value(value)}" for option, value in options)
    return f"{name}[{inside}]" if inside else name


def format_value(value: Any) -> str:
    """A value as YAML 1.2 reads it back, short: `1` for 1.0, text unquoted where that is safe."""
    if isinstance(value, str):
        plain = re.fullmatch(r"[\w./+-]+", value, re.ASCII) and not value.startswith("-") and scalar(value) == value
        if plain:
            return value
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'
    if isinstance(value, list | tuple):
        return f"[{','.join(map(format_value, value))}]"
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, float):
        return repr(value).removesuffix(".0").replace("inf", ".inf").replace("nan", ".nan")
    return str(value)


def selectors(option: str, text: str) -> Iterator[tuple[str, Place]]:
    """The selectors between the commas of a command-line option such as `--estimators a,b[c=1]`, and their places."""
    shown, column = f"{option} {text}", len(option) + 2
    for part in split(text):
        yield part.strip(), Place(shown, 0, column + len(part) - len(part.lstrip()), shown, is_option=True)
        column += len(part) + 1
