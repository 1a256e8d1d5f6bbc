"""The run folder: `manifest.json` says what is run, `journal.jsonl` grows by a line with every finished piece of it.

A line of the journal is `{"crc32":"89abcdef","record":{…}}`, the checksum being that of the bytes of the record. Lines
are only appended, and are on the disk before `append` returns. So a crash can tear the last line and nothing else: what
follows the last newline is dropped. Any other line that is not exactly what was written is damage, and is refused.

A record is `{kind, key, …}`, or, where one piece of work serves many cells, `{kind, key, cells: {cell: …}}`. In memory
each of its results is an *item*, found under (kind, key, cell); cell is "" where the record has no cells:

    kind    key                        what is kept
    job     problem id/first shard     cells: {cell key: {moments: encoded [G, 10 + 3P], seconds: …}}
    exact   cell key                   moments: encoded [1, 10 + 3P], error: …, reason: …
    fit     cell key                   the numbers of a fitted estimator
    failed  cell key                   reason: …

So cells that are added later are new items of a job that was done before. An item is written once. A second one must
equal it, times (`seconds`) apart: they are measured, not computed. Only a failure may happen again: the last counts.

Everything is JSON, and arrays are base64 of their bytes: nothing that is read can run.
"""

from __future__ import annotations

import base64
import difflib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from estbench.errors import ResultsError, UsageError

Json = dict[str, Any]
Item = tuple[str, str, str]  # kind, key, cell

SCHEMA_VERSION = 1
MANIFEST, JOURNAL = "manifest.json", "journal.jsonl"
PRODUCTS = ("results.csv", "report.html", "figures")  # made from the journal by other commands

_REPORTING = {"level", "delta"}  # no draw and no moment depends on these
_GROWING = ("samples", "temperatures", "methods", "problems", "estimators")  # lists whose order means nothing


def encode(array: ArrayLike) -> str:
    """Base64 of the little-endian float64 bytes of an array: exact, NaN and infinities included."""
    return base64.b64encode(np.asarray(array, dtype="<f8").tobytes()).decode("ascii")


def decode(text: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The float64 array of this shape (−1 stands for what is left) that `encode` made; ResultsError if it is not one."""
    try:
        return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f8").reshape(shape).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ResultsError(
            f"the journal holds an array that is not of shape {shape}: {error}. {_START_OVER}"
        ) from error


# ------------------------------------------------------------------------------------------------------ configs


def config_hash(config: Json) -> str:
    """SHA-256 of a resolved config, the order of its keys, cells and problems apart."""
    return hashlib.sha256(_payload(_ordered(config))).hexdigest()


def compatible(old: Json, new: Json, *, any_version: bool = False) -> list[str]:
    """Why the run of manifest `old` cannot be continued as `new`, one sentence each; empty if it can.

    Cells and replicates may be added, and what only concerns reporting may change. The rest decides the random numbers
    or the gradients, so that old and new moments would not belong together. `any_version` lets versions differ: the
    last bits may then differ too.
    """
    refusals = [_change(key, old.get(key), new.get(key)) for key in ("seed", "layout", "device", "dtype")]
    if not any_version:
        for package in ("estbench", "torch"):
            was, now = (manifest.get("versions", {}).get(package) for manifest in (old, new))
            refusals.append(_change(f"version of {package}", was, now, "other versions may give other last bits"))
    a, b = old["config"], new["config"]
    for key in sorted((a.keys() | b.keys()) - _REPORTING - {"seed", "replicates", "estimators"}):
        if key in _GROWING:
            kept = {_frozen(entry) for entry in b.get(key, [])}
            lost = [_shown(entry) for entry in a.get(key, []) if _frozen(entry) not in kept]
            refusals.append(f"{key}: removed or changed: {', '.join(lost)}" if lost else "")
        else:
            refusals.append(_change(key, a.get(key), b.get(key)))
    if b["replicates"] < a["replicates"]:
        refusals.append(f"replicates: there were {a['replicates']}, now fewer: {b['replicates']}")
    was, now = (max(config["samples"], default=0) for config in (a, b))
    refusals.append(_change("largest of samples", was, now, "the largest N decides the draws"))
    kept_cells = _estimators(b)
    for (name, options), (entry, temperatures) in _estimators(a).items():
        if (name, options) not in kept_cells:
            refusals.append(f"estimators: removed or changed: {_shown(entry)}")
        elif lost := [str(t) for t in temperatures if t not in kept_cells[name, options][1]]:
            refusals.append(f"estimators: {name} lost its temperatures {', '.join(lost)}")
    return [refusal for refusal in refusals if refusal]


def union(a: Json, b: Json) -> Json:
    """The config with the cells and replicates of both; all else as in `a`."""
    both = a | {"replicates": max(a["replicates"], b["replicates"])}
    for key in _GROWING:
        present = {_frozen(entry) for entry in a.get(key, [])}
        both[key] = [*a.get(key, []), *(entry for entry in b.get(key, []) if _frozen(entry) not in present)]
    estimators = _estimators(a)
    for name, (entry, temperatures) in _estimators(b).items():
        twin, others = estimators.get(name, (entry, temperatures))
        own = twin.get("temperatures") is not None or entry.get("temperatures") is not None
        merged = [*others, *(t for t in temperatures if t not in others)]
        estimators[name] = (twin | {"temperatures": merged} if own else twin, merged)
    both["estimators"] = [entry for entry, _ in estimators.values()]
    return both


def _estimators(config: Json) -> dict[tuple[str, Any], tuple[Json, list[float]]]:
    """(name, options) → entry and the temperatures it is run at; its label is left to reporting."""
    found: dict[tuple[str, Any], tuple[Json, list[float]]] = {}
    for entry in config["estimators"]:
        name = (entry["name"], _frozen(entry.get("options") or {}))
        own = entry.get("temperatures")
        _, others = found.get(name, (entry, []))
        found[name] = (entry, [*others, *(config.get("temperatures", []) if own is None else own)])
    return found


def _change(name: str, was: Any, now: Any, why: str = "") -> str:
    if _frozen(was) == _frozen(now):
        return ""
    return f"{name}: was {_shown(was)}, is now {_shown(now)}" + (f" ({why})" if why else "")


def _frozen(value: Any) -> Any:
    """A hashable twin of JSON data, equal where the data are (1 and 1.0 are)."""
    if isinstance(value, dict):
        return frozenset((key, _frozen(entry)) for key, entry in value.items())
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _ordered(config: Json) -> Json:
    """The config with its growing lists in an order of their own."""

    def order(key: str, value: Any) -> Any:
        if key not in _GROWING or value is None:
            return value
        entries = [_ordered(entry) if key == "estimators" else entry for entry in value]
        return sorted(entries, key=_payload if key in ("problems", "estimators") else None)

    return {key: order(key, value) for key, value in config.items()}


def _shown(value: Any) -> str:
    """JSON for a message: no control characters, and long vectors by their length and a hash."""

    def shorten(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shorten(entry) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            if len(value) > 16:
                return f"{len(value)} entries, sha256 {hashlib.sha256(_payload(value)).hexdigest()[:8]}"
            return [shorten(entry) for entry in value]
        return value

    return json.dumps(shorten(value), sort_keys=True)


def _diff(old: Json, new: Json, old_name: str, new_name: str) -> str:
    """Unified diff of two configs, a line for each key and for each problem and estimator."""

    def lines(config: Json) -> Iterator[str]:
        for key, value in sorted(_ordered(config).items()):
            if key in ("problems", "estimators"):
                yield f"{key}:"
                yield from (f"- {_shown(entry)}" for entry in value)
            else:
                yield f"{key}: {_shown(value)}"

    return "\n".join(difflib.unified_diff([*lines(old)], [*lines(new)], old_name, new_name, n=1, lineterm=""))


# ------------------------------------------------------------------------------------------------------ reading


@dataclass(frozen=True)
class Run:
    """What a run folder holds.

    manifest   what was run, and where
    items      (kind, key, cell) → its result
    lines      (kind, key, cell) → the line of the journal it is on, from 1
    size       bytes of the whole lines of the journal
    torn       bytes after them: a line that a crash has torn, left out
    """

    folder: Path
    manifest: Json
    items: dict[Item, Any]
    lines: dict[Item, int]
    size: int
    torn: int


def read(folder: Path) -> Run:
    """Read a run folder; needs no lock, and may be done while it is written. ResultsError if it is damaged."""
    manifest, journal = _read_manifest(folder), folder / JOURNAL
    items: dict[Item, Any] = {}
    lines: dict[Item, int] = {}
    size, raw = 0, b""
    with _explained(journal, "read the journal"):
        if not journal.exists():
            return Run(folder, manifest, items, lines, size=0, torn=0)
        _check_regular(journal)
        with journal.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                if not raw.endswith(b"\n"):
                    return Run(folder, manifest, items, lines, size, torn=len(raw))
                for item, value in _read_line(raw, f"{journal}, line {number}").items():
                    if item not in items or item[0] == "failed":
                        items[item], lines[item] = value, number
                    elif _contradict(items[item], value):
                        raise ResultsError(
                            f"{journal}: lines {lines[item]} and {number} give different results for "
                            f"{_named(item)}. Delete the wrong line, or both: what is missing is computed again."
                        )
                size += len(raw)
    return Run(folder, manifest, items, lines, size, torn=0)


def find_runs(results: Path) -> list[Path]:
    """The run folders at RESULTS: the folder itself, or those directly in it, by name. ResultsError if there are none."""
    with _explained(results, "read this folder"):
        if _is_run(results):
            return [results]
        if not results.is_dir():
            what = "is not a folder" if results.exists() else "there is no such folder"
            raise ResultsError(f"{results}: {what}. RESULTS is what `estbench run CONFIG` has written.")
        if runs := sorted(folder for folder in results.iterdir() if _is_run(folder)):
            return runs
        what = "holds no run" if any(results.iterdir()) else "is empty"
    raise ResultsError(
        f"{results}: {what}. RESULTS is a run folder (with {MANIFEST} and {JOURNAL}), or a folder of run folders; "
        "`estbench run CONFIG` makes one."
    )


def _read_manifest(folder: Path) -> Json:
    path = folder / MANIFEST
    with _explained(path, "read the manifest"):
        if not path.exists():
            raise ResultsError(f"{folder}: not a run folder, as it has no {MANIFEST}. `estbench run CONFIG` makes one.")
        _check_regular(path)
        content = path.read_bytes()
    try:
        manifest = json.loads(content)
        checksum = manifest.pop("crc32")
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        checksum = None
    if checksum is None or checksum != _checksum(manifest):
        raise ResultsError(
            f"{path}: the manifest is damaged or was edited: restore it, or choose another -o. {_START_OVER}"
        )
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise ResultsError(
            f"{path}: schema version {_shown(manifest.get('schema_version'))}, but this estbench reads {SCHEMA_VERSION}: "
            "use the version of estbench that wrote it."
        )
    return manifest  # type: ignore[no-any-return]  # it has popped a key, so it is a dict


def _read_line(raw: bytes, where: str) -> dict[Item, Any]:
    payload = raw[len(_line(b"")) - len(b"}\n") : -len(b"}\n")]
    if raw == _line(payload):
        with suppress(ValueError, RecursionError):
            return _items(json.loads(payload))
    raise ResultsError(
        f"{where}: damaged or edited. Restore the file, or delete that line: what it held is computed again by the same "
        "`estbench run`."
    )


def _line(payload: bytes) -> bytes:
    return b'{"crc32":"%08x","record":%b}\n' % (zlib.crc32(payload), payload)


def _payload(data: Any) -> bytes:
    """Canonical JSON: one line of ASCII. A number that may be NaN or infinite is to be encoded."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _checksum(data: Json) -> str:
    return f"{zlib.crc32(_payload(data)):08x}"


def _items(record: Any) -> dict[Item, Any]:
    match record:
        case {"kind": str(kind), "key": str(key), "cells": dict(cells), **rest} if not rest:
            return {(kind, key, cell): value for cell, value in cells.items()}
        case {"kind": str(kind), "key": str(key), **fields} if "cells" not in fields:
            return {(kind, key, ""): fields}
    raise ValueError("a record is {kind, key, …}, or {kind, key, cells: {cell: …}} and nothing more")


def _contradict(a: Any, b: Any) -> bool:
    a, b = ({**value, "seconds": None} if isinstance(value, dict) else value for value in (a, b))
    return bool(a != b)


def _named(item: Item) -> str:
    return _shown(" ".join(filter(None, item)))


# ------------------------------------------------------------------------------------------------------ writing


class Store:
    """A run folder, open for writing by this process alone. Use it as a context manager.

    folder, manifest   as they are on the disk
    items              (kind, key, cell) → its result: all that is done, to be read only
    torn               bytes of a torn last line that were removed on opening
    """

    def __init__(self, folder: Path, manifest: Json, *, fresh: bool = False, any_version: bool = False) -> None:
        """Begin the run of this manifest (config, seed, layout, versions, device, dtype, …), or resume it.

        `fresh` deletes what the folder's run has left, and begins. UsageError if the folder holds something else, or
        a run that is not `compatible`; ResultsError if it is damaged, cannot be written, or is being written.
        The journal itself is locked: the system lets go of it whenever and however this process ends.
        """
        _refuse_foreign(folder)
        self.folder = folder
        with _explained(folder, "write to this folder"):
            folder.mkdir(parents=True, exist_ok=True)
            self._journal = _lock(folder / JOURNAL)
        try:
            with _explained(folder, "write to this folder"):
                if fresh:
                    os.ftruncate(self._journal, 0)
                    _delete_products(folder)
                self.manifest = self._settle(manifest, fresh, any_version)
                run = read(folder)
                os.ftruncate(self._journal, run.size)
                os.fsync(self._journal)
        except BaseException:
            os.close(self._journal)
            raise
        self.items, self._size, self.torn = run.items, run.size, run.torn

    def append(self, *records: Json) -> None:
        """Add records to the journal, all or none; when this returns they are on the disk. Known ones are left out.

        ResultsError if one contradicts what is there, or if the disk does not take them; what was there stays, and
        the store may still be used.
        """
        lines, new = [], dict[Item, Any]()
        for record in records:
            payload = _payload(record)
            items = _items(json.loads(payload))  # as it will be read
            for item, value in items.items():
                known = new.get(item, self.items.get(item))
                if known is not None and item[0] != "failed" and _contradict(known, value):
                    raise ResultsError(
                        f"{self.folder}: computing {_named(item)} again has given another result, so this machine does "
                        f"not repeat its numbers. What was written first is kept. {_START_OVER}"
                    )
            if any((item not in self.items and item not in new) or item[0] == "failed" for item in items):
                lines.append(_line(payload))
                new |= items
        self._write(b"".join(lines))
        self.items |= {item: value for item, value in new.items() if item not in self.items or item[0] == "failed"}

    def close(self) -> None:
        """Let go of the folder."""
        if self._journal >= 0:
            os.close(self._journal)
        self._journal = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _settle(self, manifest: Json, fresh: bool, any_version: bool) -> Json:
        """The manifest of this run, written where it is new or has grown."""
        manifest = manifest | {"schema_version": SCHEMA_VERSION, "config_hash": config_hash(manifest["config"])}
        path = self.folder / MANIFEST
        if path.exists() and not fresh:
            old = _read_manifest(self.folder)
            if refusals := compatible(old, manifest, any_version=any_version):
                diff = _diff(old["config"], manifest["config"], str(path), "this run")
                raise UsageError(
                    "\n".join(
                        (
                            f"{self.folder}: holds another run, to which only cells and replicates can be added.",
                            *(f"  {refusal}" for refusal in refusals),
                            *([diff] if diff else []),
                            "Nothing was touched. Start over with --fresh (it deletes that run), or choose another "
                            "folder with -o.",
                        )
                    )
                )
            manifest |= {"created": old.get("created")}
            if all(_frozen(old.get(key)) == _frozen(manifest.get(key)) for key in ("config", "versions")):
                return old
        manifest |= {"crc32": _checksum({key: value for key, value in manifest.items() if key != "crc32"})}
        write_atomically(path, json.dumps(manifest, indent=1) + "\n")
        return _read_manifest(self.folder)

    def _write(self, data: bytes) -> None:
        if os.fstat(self._journal).st_nlink == 0:
            raise ResultsError(
                f"{self.folder / JOURNAL}: deleted while the run was writing to it. Run again to begin anew."
            )
        try:
            with _explained(self.folder / JOURNAL, "write to the journal"):
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(self._journal, rest) :]
                os.fsync(self._journal)
        except BaseException:  # an interrupt too must not leave half a line for the next one to be glued to
            with suppress(OSError):
                os.ftruncate(self._journal, self._size)
            raise
        self._size += len(data)


def merge(runs: Sequence[Path], destination: Path, *, any_version: bool = False) -> None:
    """Join runs that differ in their cells and shards only, by writing all that they hold to the run at `destination`.

    UsageError if they are not of one config (the cells and replicates apart), seed, layout, device, dtype and version;
    ResultsError if two disagree on a result. Then nothing is written. A merge that was interrupted may be done again.
    """
    found = [read(folder) for folder in runs]
    config = found[0].manifest["config"]
    for run in found[1:]:
        config = union(config, run.manifest["config"])
    manifest = found[0].manifest | {"config": config}
    for run in found:
        if refusals := compatible(run.manifest, manifest, any_version=any_version):
            diff = _diff(found[0].manifest["config"], run.manifest["config"], str(runs[0]), str(run.folder))
            raise UsageError(
                "\n".join(
                    (f"{run.folder}: does not fit to {runs[0]}.", *(f"  {refusal}" for refusal in refusals), diff)
                )
            )
    records: dict[tuple[str, str, bool], Json] = {}
    origin: dict[Item, Run] = {}
    for run in found:
        for item, value in run.items.items():
            kind, key, cell = item
            if (first := origin.setdefault(item, run)) is run:
                record = records.setdefault((kind, key, bool(cell)), {"kind": kind, "key": key})
                if cell:
                    record.setdefault("cells", {})[cell] = value
                else:
                    record |= value
            elif kind != "failed" and _contradict(first.items[item], value):
                raise ResultsError(
                    f"{first.folder / JOURNAL}, line {first.lines[item]}, and {run.folder / JOURNAL}, line "
                    f"{run.lines[item]}, give different results for {_named(item)}: these runs do not fit."
                )
    with Store(destination, manifest, any_version=any_version) as store:
        store.append(*records.values())


def run_folder(results: Path, name: str) -> Path:
    """The folder in `results` of the run of this name; UsageError if the name could lead elsewhere."""
    if not re.fullmatch(r"\w[\w .+=@-]{0,79}", name):
        raise UsageError(
            f"name: {_shown(name)} cannot name a run folder. It must begin with a letter, a digit or _, and hold up to 80 "
            "of these, blanks and . + = @ - only."
        )
    return results / name


def write_atomically(path: Path, text: str) -> None:
    """Replace a file by this text (UTF-8): whoever reads, and whatever happens, finds the old or the new, and whole."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _explained(path, "write this file"):
        try:
            with draft.open("w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def _is_run(folder: Path) -> bool:
    """Whether the folder has a manifest of ours, even a damaged one."""
    path = folder / MANIFEST
    return path.is_file() and b'"config_hash"' in path.read_bytes()


def _refuse_foreign(folder: Path) -> None:
    with _explained(folder, "read this folder"):
        if not folder.exists() or _is_run(folder):
            return
        if not folder.is_dir():
            raise UsageError(f"{folder}: not a folder. Choose another one with -o.")
        for path in sorted(folder.iterdir()):
            begun = path.name == JOURNAL and path.is_file() and path.stat().st_size == 0  # a crash before the manifest
            if not begun and not path.name.startswith("."):
                raise UsageError(
                    f"{folder}: not a run folder, and not empty (it holds {_shown(path.name)}). Nothing was touched: choose "
                    "another folder with -o."
                )


def _check_regular(path: Path) -> None:
    if not path.is_file():
        raise ResultsError(f"{path}: not a regular file. Restore it, or choose another folder with -o.")


def _lock(journal: Path) -> int:
    """Open the journal for appending, as the only process to do so."""
    if journal.is_symlink():
        raise ResultsError(f"{journal}: a symbolic link, which is read but not written. Choose another folder with -o.")
    if journal.exists():
        _check_regular(journal)
    descriptor = os.open(journal, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _sync_folder(journal.parent)
    except BlockingIOError:
        os.close(descriptor)
        raise ResultsError(
            f"{journal.parent}: another `estbench run` is writing to this folder. Wait for it, stop it, or choose another "
            "folder with -o."
        ) from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _delete_products(folder: Path) -> None:
    for path in (folder / name for name in PRODUCTS):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make names that were created or replaced in the folder last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_START_OVER = "`estbench run CONFIG --fresh` starts over."


@contextmanager
def _explained(path: Path, action: str) -> Iterator[None]:
    """Turn a refusal of the operating system into a message that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            advice = (
                "Make room (or raise `ulimit -f`), then issue the same command again: it goes on from what is there."
            )
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            advice = "Get the right to, or choose another folder (-o)."
        else:
            advice = "What was written before is still there; choose another folder (-o) if this one cannot be mended."
        raise ResultsError(f"{path}: cannot {action}: {error.strerror or error}. {advice}") from error
