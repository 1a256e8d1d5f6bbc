"""The manifest: what is run, once and not per row. Written whole, with a checksum, and again if the run grows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, JsonValue, Strict, StrictFloat, StrictInt, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from estbench.errors import ResultsError, UsageError
from estbench.plan import Plan, plan_of
from estbench.store.compatibility import compatible, config_hash, diff, shown
from estbench.store.files import Place, check_regular, explained
from estbench.store.head import differences
from estbench.store.journal import JOURNAL
from estbench.store.records import Item, Json, canonical, checksum, incomplete

SCHEMA_VERSION = 2
MANIFEST = "manifest.json"

TABLES = ("problems", "estimators", "variants", "cells")
"""The tables of its plan: see `estbench.plan.record`."""

_PARTS = ConfigDict(extra="ignore")
_Options = dict[str, JsonValue]
_Temperature = Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, config=_PARTS)
class EstimatorEntry:
    """An estimator of a config: its name, the options that differ from their defaults, its label and temperatures."""

    name: str
    options: _Options
    label: str | None = None
    temperatures: list[_Temperature] | None = None


@dataclass(frozen=True, config=_PARTS)
class ConfigRecord:
    """The resolved config of a run; its settings are `estbench.plan.Settings`."""

    name: str
    seed: StrictInt
    samples: Annotated[list[StrictInt], Field(min_length=1)]
    temperatures: list[_Temperature]
    methods: list[str]
    level: StrictFloat
    delta: StrictFloat
    problems: list[_Options]
    estimators: list[EstimatorEntry]


@dataclass(frozen=True, config=_PARTS)
class ManifestRecord:
    """A manifest.

    config          the resolved config; `config_hash` is its SHA-256, whatever the order of its lists
    seed            that of the config
    versions        of Python and of the packages that decide the numbers
    device, dtype   what computes, and in which type
    threads, cpu    of the machine that began it
    git_commit      of the working directory, where there is one
    created         when it was begun
    plugins         by their names, the sources of the classes that are not of the catalogue
    layout, problems, estimators, variants, cells
                    its plan (see `estbench.plan.record`)
    """

    config: ConfigRecord
    seed: StrictInt
    layout: dict[str, JsonValue]
    problems: list[JsonValue]
    estimators: list[JsonValue]
    variants: list[JsonValue]
    cells: list[JsonValue]
    versions: dict[str, str]
    device: str
    dtype: str
    threads: Annotated[int, Strict(), Field(ge=1)]
    cpu: str
    git_commit: str | None
    created: str | None
    config_hash: str
    plugins: _Options = Field(default_factory=dict)


_RECORD = TypeAdapter(ManifestRecord)


class DamagedManifestError(ResultsError):
    """The manifest of a run is missing, or is not just as it was written."""


def has_manifest(folder: Path) -> bool:
    """Whether the folder has a manifest of this program, be it damaged."""
    path = folder / MANIFEST
    with explained(path, "read the manifest"):
        return path.is_file() and not path.is_symlink() and b'"config_hash"' in path.read_bytes()


def read_manifest(folder: Path) -> Json:
    """The manifest of a run folder.

    ResultsError if it is of another format, or its parts are not what `ManifestRecord` says (a plan: `read_plan`);
    DamagedManifestError if it is missing, or not just as it was written.
    """
    path = folder / MANIFEST
    with explained(path, "read the manifest"):
        check_regular(path, missing=True)
        if not path.exists():
            raise DamagedManifestError(f"{path}: there is none. {_RESTORE.format(folder)}")
        content = path.read_bytes()
    try:
        manifest: Json = dict(json.loads(content))
        whole = manifest.pop("crc32") == checksum(canonical(manifest))
    except (ValueError, TypeError, KeyError, RecursionError):
        whole = False
    if not whole:
        raise DamagedManifestError(f"{path}: damaged or edited. {_RESTORE.format(folder)}")
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise ResultsError(
            f"{path}: of format {shown(manifest.get('schema_version'))}, this estbench reads format {SCHEMA_VERSION}. "
            "Read it with the version of estbench that wrote it; or run the config again with another folder (-o), or "
            "with --fresh, which deletes this run."
        )
    _check(manifest, path)
    return manifest


_RESTORE = (
    "Restore it; or issue `estbench run CONFIG -o {}` with the config of this run, which writes it again and goes on "
    "from the journal if the two fit. --fresh starts over."
)


def _check(manifest: Json, path: Path) -> None:
    try:
        _RECORD.validate_python(manifest)
    except ValidationError as error:
        found = error.errors(include_url=False)
        missing = [".".join(map(str, each["loc"])) for each in found if each["type"] == "missing"]
        if missing:
            raise incomplete(f"{path}:", missing) from None
        at = ".".join(map(str, found[0]["loc"]))
        raise ResultsError(f"{path}: damaged or edited: {at}: {found[0]['msg']}. Restore the file.") from None
    if manifest["seed"] != manifest["config"]["seed"]:
        raise ResultsError(f"{path}: damaged or edited: two seeds differ. Restore the file.")


def read_plan(manifest: Json, folder: Path) -> Plan:
    """The plan of a manifest that was read from this folder; ResultsError if its tables are not those of a plan."""
    return plan_of(manifest, str(folder / MANIFEST))


def record_manifest(
    place: Place, manifest: Json, head: Mapping[Item, Any], check: Callable[[Json], None], *, fresh: bool
) -> Json:
    """The manifest of the run in this folder from now on, written if it is new, has grown, or is to be restored.

    It passes `check` before anything is written.

    UsageError, with the reasons and a diff, if the run there cannot go on as this one and is not to be replaced. `head`
    is that of its journal: where the manifest is missing or damaged, it alone says whether this is the run.
    """
    folder = place.path
    manifest = manifest | {"schema_version": SCHEMA_VERSION, "config_hash": config_hash(manifest["config"])}
    old = None if fresh else _known(folder, manifest, head)
    if old is not None:
        if reasons := compatible(old, manifest):
            changes = diff(old["config"], manifest["config"], str(folder / MANIFEST), "this run")
            advice = "Nothing was touched. Start over with --fresh (it deletes that run), or write elsewhere with -o."
            refused = (
                f"{folder}: holds another run. What can be added: replicates, a finer precision, timings, problems, "
                "estimators, temperatures, methods, and N below the largest."
            )
            raise UsageError(refusal(refused, reasons, changes, advice))
        manifest |= {"layout": old["layout"] | manifest["layout"]}  # with replicates, networks get other problems
        if all(old.get(key) == manifest.get(key) for key in ("config", "versions", "plugins", *TABLES)):
            check(old)
            return old
        manifest |= {"created": old.get("created")}
    check(manifest)
    text = written(manifest | {"crc32": checksum(canonical(manifest))})
    place.write(MANIFEST, text)
    return manifest


def _known(folder: Path, manifest: Json, head: Mapping[Item, Any]) -> Json | None:
    """The manifest that is there; None where there is no run, or where the journal is that of `manifest`."""
    try:
        old = read_manifest(folder)
        read_plan(old, folder)
    except DamagedManifestError as error:
        if not head and (folder / MANIFEST).exists():
            raise
        if reasons := differences(head, manifest):
            raise UsageError(
                refusal(
                    f"{error}\n{folder}: its journal is not of this config either:",
                    [reason.replace("in the manifest", "in this run") for reason in reasons],
                    "Nothing was touched.",
                )
            ) from None
        return None
    if reasons := differences(head, old):
        raise another_run(folder, reasons)
    return old


def another_run(folder: Path, reasons: list[str]) -> ResultsError:
    """What to say of a journal that is not of the manifest beside it."""
    return ResultsError(
        refusal(
            f"{folder / JOURNAL}: not the journal of the manifest beside it.",
            reasons,
            "Restore the one or the other. Without the manifest, `estbench run CONFIG` with the config of the journal "
            "writes it again; --fresh starts over.",
        )
    )


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
