"""Error messages of configs: where something is wrong, what was given, what is allowed, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from estbench.errors import UsageError

Path = tuple[str | int, ...]

_SHOWN = 50
_WIDTH = 120


@dataclass(frozen=True)
class Place:
    """Where something is written: line and column from 1 and that line's text; line 0 for what is not in a file.

    `is_option`: it is an option of the command line, whose name says what a path in the config would.
    """

    source: str
    line: int
    column: int
    text: str
    is_option: bool = False

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True)
class Complaint:
    """One fault of a config, at a path such as ("estimators", 1, "name")."""

    place: Place
    path: Path
    message: str

    def __str__(self) -> str:
        path = "" if self.place.is_option else _printable(dotted(self.path))
        return f"{self.place}{' ' + path if path else ''}: {self.message}{_excerpt(self.place)}"


def dotted(path: Path) -> str:
    """`estimators[1].name` for ("estimators", 1, "name")."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def closest(word: object, choices: Iterable[str]) -> str:
    """` Did you mean 'gumbel'?`, or nothing when no choice is near."""
    near = get_close_matches(str(word).lower(), list(choices), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def listed(words: Iterable[str]) -> str:
    """`'a', 'b' or 'c'`."""
    *most, last = [repr(word) for word in words]
    return f"{', '.join(most)} or {last}" if most else last


def refusal(complaints: Iterable[Complaint]) -> UsageError:
    """All complaints, in the order of the file, as one error."""
    unique = sorted(dict.fromkeys(complaints), key=lambda c: (not c.place.line, c.place.line, c.place.column))
    shown = [str(complaint) for complaint in unique[:_SHOWN]]
    if len(unique) > _SHOWN:
        shown.append(f"… and {len(unique) - _SHOWN} more errors")
    return UsageError("\n".join(shown))


def _excerpt(place: Place) -> str:
    """The offending line with a caret under the column; of a long line only the part around it."""
    if not place.text.strip():
        return ""
    start = max(0, place.column - 1 - _WIDTH // 2) if len(place.text) > _WIDTH else 0
    text = _printable(place.text[start : start + _WIDTH])
    number = str(place.line) if place.line else ""
    return f"\n  {number} | {text}\n  {' ' * len(number)} | {' ' * (place.column - 1 - start)}^"


def _printable(text: str) -> str:
    """The text without what could steer a terminal, tabs among it; as long as before."""
    return "".join(character if character.isprintable() else " " for character in text)
