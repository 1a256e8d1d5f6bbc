"""Text that can be printed: without what could steer a terminal, on one line or wrapped to a width."""

from __future__ import annotations

import math
import re
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence

HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Categories of characters that steer a terminal, turn the order of text round, or cannot be encoded."""

_FULL = 112
"""Characters to which a line of a docstring is filled, at least: with the next word it would have been too long."""

_HEAD = re.compile(r"\S+(?: \S+)* {2,}(?=\S)")
"""What a line of two columns begins with."""


def plain(text: object) -> str:
    """Text on one line without control, format or surrogate characters (escapes, bidi marks); "" for an unknown.

    Unknown are None, NaN and pandas' NA.
    """
    unknown = text is None or (isinstance(text, float) and math.isnan(text)) or type(text).__name__ == "NAType"
    words = "" if unknown else str(text)
    if not words.isprintable():  # nearly all are
        words = "".join(c for c in words if c.isspace() or unicodedata.category(c)[0] != "C")
    return " ".join(words.split())


def escaped(text: str) -> str:
    """Text whose control and bidirectional characters, which could steer a terminal, are escapes such as `\\x1b`."""
    return "\n".join(line if line.isprintable() else "".join(map(_seen, line)) for line in text.split("\n"))


def _seen(character: str) -> str:
    hidden = unicodedata.category(character) in HIDDEN and character != "\t"
    return _escape(character) if hidden else character


def as_escapes(text: str) -> str:
    """Each character as `\\x1b`, `\\u202e` or, beyond U+FFFF, the two halves that JSON has: `\\ud83d\\ude00`."""
    return "".join(map(_escape, text))


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    halves = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{halves[i] << 8 | halves[i + 1]:04x}" for i in range(0, len(halves), 2))


def distinct(estimators: Iterable[object], options: Iterable[object], labels: Sequence[object]) -> list[str]:
    """Row by row the label, else estimator[options]; both, where one label is given to two estimators."""
    pairs = zip(map(plain, estimators), map(plain, options), strict=True)
    full = [name + (f"[{given}]" if given else "") for name, given in pairs]
    own = [plain(label) or whole for label, whole in zip(labels, full, strict=True)]
    meant: dict[str, set[str]] = {}
    for label, whole in zip(own, full, strict=True):
        meant.setdefault(label, set()).add(whole)
    return [
        f"{label} · {whole}" if len(meant[label]) > 1 and label != whole else label
        for label, whole in zip(own, full, strict=True)
    ]


def wrapped(page: str, width: int) -> str:
    """A page of prose, lines of two columns and BibTeX, with the first two wrapped at words to so many characters.

    Prose that was filled to the width of the source is filled anew; the second column stays a column.
    """
    return "\n\n".join(_wrapped(paragraph, width) for paragraph in page.rstrip("\n").split("\n\n")) + "\n"


def _wrapped(paragraph: str, width: int) -> str:
    if paragraph.startswith("@"):
        return paragraph
    lines: list[str] = []
    for line in _unfilled(paragraph.splitlines()):
        if len(line) <= width:
            lines.append(line)
            continue
        head = _HEAD.match(line)
        hanging = " " * (head.end() if head and head.end() <= width // 2 else 0)
        lines += textwrap.wrap(line, width, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines)


def _unfilled(lines: Sequence[str]) -> list[str]:
    """The lines, those joined that only the width of the source has broken."""
    joined: list[str] = []
    for before, line in zip(("", *lines), lines, strict=False):
        next_word = line.split(maxsplit=1)[0] if line.strip() else ""
        full = len(before) + 1 + len(next_word) > _FULL and not before.endswith(".")
        if before and (line.startswith(" ") or (full and not _HEAD.match(line))):
            joined[-1] += f" {line.lstrip()}"
        else:
            joined.append(line)
    return joined
