"""The manifest: what is run, once and not per row. Written whole, with a checksum, and again if the run grows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from estbench.errors import ResultsError, UsageError
from estbench.store.files import check_regular, explained, write_atomically
from estbench.store.growth import compatible, config_hash, diff, shown
from estbench.store.records import Json, canonical, checksum, incomplete

SCHEMA_VERSION = 2
MANIFEST = "manifest.json"

TABLES = ("problems", "estimators", "variants", "cells")
"""The tables of its plan: see `estbench.plan.record`."""

KEYS = "config seed layout versions device dtype threads cpu git_commit created".split() + list(TABLES)
CONFIG = "name seed samples temperatures methods level delta problems estimators".split()
CUT = "shard_size shards_per_job block_rows stages".split()
"""What a manifest, its config and each of its layouts have."""


def is_run(folder: Path) -> bool:
    """Whether the folder has a manifest of this program, be it damaged."""
    path = folder / MANIFEST
    with explained(path, "read the manifest"):
        return path.is_file() and b'"config_hash"' in path.read_bytes()


def read_manifest(folder: Path) -> Json:
    """The manifest of a run folder; ResultsError if there is none, or not just as it was written, or not all of it."""
    path = folder / MANIFEST
    with explained(path, "read the manifest"):
        if not path.exists():
            raise ResultsError(f"{folder}: not a run folder, it has no {MANIFEST}. `estbench run CONFIG` makes one.")
        check_regular(path)
        content = path.read_bytes()
    try:
        manifest: Json = dict(json.loads(content))
        whole = manifest.pop("crc32") == checksum(canonical(manifest))
    except (ValueError, TypeError, KeyError, RecursionError):
        whole = False
    if not whole:
        raise ResultsError(f"{path}: damaged or edited. Restore it, or start over with `estbench run CONFIG --fresh`.")
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise ResultsError(
            f"{path}: of format {shown(manifest.get('schema_version'))}, this estbench reads format {SCHEMA_VERSION}. "
            "Read it with the version of estbench that wrote it; or run the config again with another folder (-o), or "
            "with --fresh, which deletes this run."
        )
    if missing := list(_lacking(manifest)):
        raise incomplete(f"{path}:", missing)
    return manifest


def _lacking(manifest: Json) -> Iterator[str]:
    """The keys that a manifest should have, and has not, such as `config.samples`."""
    config = manifest.get("config", dict.fromkeys(CONFIG, ()))
    parts = [("", manifest, KEYS), ("config.", config, CONFIG)]
    parts += [(f"layout.{problem}.", cut, CUT) for problem, cut in manifest.get("layout", {}).items()]
    entries = enumerate(config.get("estimators", ()))
    parts += [(f"config.estimators[{i}].", entry, ["name", "options"]) for i, entry in entries]
    parts += [("config.precision.", p, ["relative", "max_replicates"]) for p in [config.get("precision")] if p]
    for where, part, keys in parts:
        yield from (where + key for key in keys if key not in part)


def settle(folder: Path, manifest: Json, *, fresh: bool, any_version: bool) -> Json:
    """The manifest of the run in this folder from now on, written if it is new or has grown.

    UsageError, with the reasons and a diff, if the folder's run cannot go on as this one and is not to be replaced.
    """
    path = folder / MANIFEST
    manifest = manifest | {"schema_version": SCHEMA_VERSION, "config_hash": config_hash(manifest["config"])}
    if path.exists() and not fresh:
        old = read_manifest(folder)
        if reasons := compatible(old, manifest, any_version=any_version):
            changes = diff(old["config"], manifest["config"], str(path), "this run")
            advice = "Nothing was touched. Start over with --fresh (it deletes that run), or write elsewhere with -o."
            raise UsageError(
                refusal(
                    f"{folder}: holds another run; only cells and replicates can be added.", reasons, changes, advice
                )
            )
        if all(old.get(key) == manifest.get(key) for key in ("config", "versions", "plugins", *TABLES)):
            return old
        manifest |= {"created": old.get("created")}
    write_atomically(path, written(manifest | {"crc32": checksum(canonical(manifest))}))
    return manifest


def written(manifest: Json) -> str:
    """The manifest as JSON text for readers: a line for each key, and for each entry of a table."""
    parts = []
    for key, value in manifest.items():
        if isinstance(value, list) and value:
            rows = ",\n  ".join(map(json.dumps, value))
            parts.append(f"{json.dumps(key)}: [\n  {rows}\n ]")
        elif isinstance(value, dict) and value:
            rows = ",\n  ".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in value.items())
            parts.append(f"{json.dumps(key)}: {{\n  {rows}\n }}")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{\n " + ",\n ".join(parts) + "\n}\n"


def refusal(head: str, reasons: list[str], *rest: str) -> str:
    """A message of many lines: what is wrong, each reason indented, and what else there is to say."""
    return "\n".join(filter(None, (head, *(f"  {reason}" for reason in reasons), *rest)))
