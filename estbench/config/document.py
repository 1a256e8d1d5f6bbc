"""YAML read by the core rules of version 1.2, keeping the place of every key and value."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path as File
from typing import Any

import yaml

from estbench.config.complaint import Complaint, Path, Place, refusal
from estbench.config.scalar import is_special, scalar
from estbench.config.shipped import find
from estbench.errors import UsageError

MAX_BYTES = 1_000_000
MAX_DEPTH = 40
MAX_VALUES = 50_000
EXAMPLE = "`estbench init` writes an example; `estbench run bernoulli` runs a shipped one"


@dataclass(frozen=True)
class Document:
    """Plain data, where its values and keys are written, and what is wrong with it already (keys given twice)."""

    data: Any
    start: Place
    values: Mapping[Path, Place] = field(default_factory=dict)
    keys: Mapping[Path, Place] = field(default_factory=dict)
    complaints: tuple[Complaint, ...] = ()

    def place(self, path: Path, *, key: bool = False) -> Place:
        """Where the value (or the key) at a path is written, or the nearest thing around it that is."""
        if key and path in self.keys:
            return self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values[path] if path else replace(self.start, text="")


def without(document: Document, entries: Collection[tuple[str, int]]) -> Document:
    """The document without some entries of its lists, named as (key of the list, index); places move with the rest."""
    if not entries:
        return document
    data = {
        key: [item for i, item in enumerate(value) if (key, i) not in entries] if isinstance(value, list) else value
        for key, value in document.data.items()
    }

    def moved(path: Path) -> Path | None:
        if len(path) < 2 or not isinstance(i := path[1], int):
            return path
        before = sum(key == path[0] and j < i for key, j in entries)
        return None if path[:2] in entries else (path[0], i - before, *path[2:])

    def places(of: Mapping[Path, Place]) -> dict[Path, Place]:
        return {new: place for path, place in of.items() if (new := moved(path)) is not None}

    return replace(document, data=data, values=places(document.values), keys=places(document.keys))


def read(file: File) -> Document:
    """The YAML document in a file of at most 1 MB of UTF-8, or in the config of that name that is shipped."""
    try:
        file = find(file)
        if file.is_dir():
            raise UsageError(f"{file}: this is a folder; give a config file ({EXAMPLE})")
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        near = sorted(str(other) for other in file.parent.glob("*.yaml")) if file.parent.is_dir() else []
        there = "; there is " + ", ".join(near[:8]) if near else f" ({EXAMPLE})"
        raise UsageError(f"{file}: no such file{there}") from None
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise UsageError(f"{file}: larger than 1 MB, which no config needs; is it the right file?")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        raise UsageError(f"{file}:{line}:{column}: not UTF-8 text; save the config as UTF-8") from None
    return parse(text, str(file))


def too_large(value: Any) -> bool:
    """Whether it is a number that double precision does not hold: infinite, or an integer of 2^1024 and more."""
    return (isinstance(value, int) and value.bit_length() > 1023) or (isinstance(value, float) and math.isinf(value))


def parse(text: str, source: str, *, offset: int | None = None) -> Document:
    """The YAML document in a text; `offset` is the column at which it starts in `source`, a command-line option."""
    return _Builder(text, source, offset).document()


class _Builder:
    """Builds plain data from the parser's events; its state is what has been read so far."""

    def __init__(self, text: str, source: str, offset: int | None) -> None:
        self._text, self._source, self._offset = text, source, offset
        self._lines = text.splitlines() or [""]
        self._values: dict[Path, Place] = {}
        self._keys: dict[Path, Place] = {}
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._complaints: list[Complaint] = []
        self._count = 0
        self._events: Iterator[Any] = iter(())

    def document(self) -> Document:
        data, found = None, False
        try:
            self._events = yaml.parse(self._text, Loader=yaml.SafeLoader)
            for event in self._events:
                if isinstance(event, yaml.DocumentStartEvent):
                    if found:
                        raise self._fault(event.start_mark, (), "a second document starts here; a config is one")
                    data, found = self._value(next(self._events), ()), True
        except yaml.MarkedYAMLError as error:
            raise self._not_yaml(error) from None
        except yaml.reader.ReaderError as error:
            before = self._text[: error.position]
            place = self._at(before.count("\n"), len(before) - before.rfind("\n") - 1)
            raise refusal([Complaint(place, (), "not YAML: a control character")]) from None
        return Document(data, self._at(0, 0), self._values, self._keys, tuple(self._complaints))

    def _value(self, event: Any, path: Path) -> Any:
        self._count += 1
        if self._count > MAX_VALUES:
            raise self._fault(event.start_mark, path, f"more than {MAX_VALUES} values; a config needs far fewer")
        if len(path) > MAX_DEPTH:
            raise self._fault(event.start_mark, path[:1], f"nested more than {MAX_DEPTH} levels deep")
        self._values[path] = self._mark(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise self._fault(event.start_mark, path, f"the tag {tag} is not allowed; give a plain value")
        before = self._count
        if isinstance(event, yaml.ScalarEvent):
            value = scalar(event.value) if event.implicit[0] else event.value
            if too_large(value) and not is_special(event.value):
                raise self._fault(event.start_mark, path, "a number beyond 1.8e308, the largest of double precision")
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(path)
        else:
            value = self._mapping(path)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, 1 + self._count - before)
        return value

    def _sequence(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event, (*path, len(items))))
        return items

    def _mapping(self, path: Path) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent) or event.tag is not None:
                raise self._fault(event.start_mark, path, "a key must be a plain name")
            key: str = event.value
            if key in items:
                line = self._keys[*path, key].line
                message = f"given twice, first in line {line}" if line else "given twice"
                self._complaints.append(Complaint(self._mark(event.start_mark), (*path, key), message))
                self._value(next(self._events), (*path, ""))
                continue
            self._keys[(*path, key)] = self._mark(event.start_mark)
            items[key] = self._value(next(self._events), (*path, key))
        return items

    def _alias(self, event: Any, path: Path) -> Any:
        if event.anchor not in self._anchors:
            raise self._fault(event.start_mark, path, f"*{event.anchor} has no finished &{event.anchor} before it")
        value, size = self._anchors[event.anchor]
        self._count += size
        if self._count > MAX_VALUES:
            raise self._fault(event.start_mark, path, f"aliases that unfold to more than {MAX_VALUES} values")
        return deepcopy(value)

    def _at(self, line: int, column: int) -> Place:
        text = self._lines[line] if line < len(self._lines) else ""
        if self._offset is not None:
            return Place(self._source, 0, self._offset + column + 1, self._source)
        return Place(self._source, line + 1, column + 1, text)

    def _mark(self, mark: Any) -> Place:
        return self._at(mark.line, mark.column)

    def _fault(self, mark: Any, path: Path, message: str) -> UsageError:
        return refusal([*self._complaints, Complaint(self._mark(mark), path, message)])

    def _not_yaml(self, error: yaml.MarkedYAMLError) -> UsageError:
        mark = error.problem_mark or error.context_mark
        line = self._lines[mark.line] if mark is not None and mark.line < len(self._lines) else ""
        message = f"not YAML: {', '.join(part for part in (error.context, error.problem) if part)}"
        if mark is not None and line[mark.column : mark.column + 1] == "\t":
            message = "a tab: YAML is indented with spaces"
        elif re.search(r"[\[,]\s*\w+\[\w+\s*=", line):
            message += """; inside [...] write an option in quotes, "name[option=value]" """.rstrip()
        return self._fault(mark, (), message)
