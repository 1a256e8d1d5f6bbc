"""Which changes of a config extend a run: cells, replicates, precision. Any other changes the draws: another run.

An N that is larger than all before decides the draws too: the samples of a replicate are drawn together, N of them.

So does the source of a plug-in: what it gave before and what it gives now are not to be mixed.

A resolved config is JSON: name, seed, replicates, precision, level, delta, and the lists samples, temperatures,
methods, problems, estimators, whose order means nothing. An estimator is known by its name and options; its label may
change at will, as the level and δ of the report may, and whether estimates are timed.
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from estbench.store.records import Json, canonical

_LISTS = {"samples", "temperatures", "methods", "problems", "estimators"}
_REPORTED = {"level", "delta", "timings"}  # no draw and no moment depends on these


def config_hash(config: Json) -> str:
    """SHA-256 of a resolved config, whatever the order of its keys and lists."""
    return hashlib.sha256(canonical(_sorted(config))).hexdigest()


def compatible(old: Json, new: Json) -> list[str]:
    """Why the run of manifest `old` cannot go on as that of `new`, a sentence for each reason; empty if it can."""
    a, b = old["config"], new["config"]
    reasons = [_change(key, old.get(key), new.get(key)) for key in ("seed", "device", "dtype")]
    for problem, cut in old["layout"].items():
        if problem in new["layout"] and not _continues(cut, new["layout"][problem]):
            reasons.append(_change(f"layout of {problem}", cut, new["layout"][problem]))
    for package in ("estbench", "torch"):
        was, now = (manifest.get("versions", {}).get(package) for manifest in (old, new))
        reasons.append(_change(f"version of {package}", was, now, "the last bits may differ"))
    known, found = (manifest.get("plugins", {}) for manifest in (old, new))
    differ = sorted(name for name in known.keys() & found.keys() if known[name] != found[name])
    reasons += [f"{name} has changed since: the source of its module is another" for name in differ]
    for key in sorted((a.keys() | b.keys()) - _LISTS - _REPORTED - {"replicates", "precision"}):
        reasons.append(_change(key, a.get(key), b.get(key)))
    for key in sorted(_LISTS - {"estimators"}):
        if lost := _lost(a[key], b[key]):
            reasons.append(f"{key}: removed or changed: {', '.join(map(shown, lost))}")
    was, now = (max(config["samples"], default=None) for config in (a, b))
    reasons.append(
        _change(
            "largest of samples", was, now, "the largest N decides the draws of all cells; smaller ones can be added"
        )
    )
    was, now = a.get("replicates"), b.get("replicates")
    if was is None or now is None:  # a precision decides
        reasons.append(_change("replicates", was, now))
    elif now < was:
        reasons.append(f"replicates: there are {was} already, now fewer are asked for: {now}")
    reasons.append(_coarser(a.get("precision"), b.get("precision")))
    kept_estimators = _estimators(b)
    for name, (entry, temperatures) in _estimators(a).items():
        if name not in kept_estimators:
            reasons.append(f"estimators: removed or changed: {shown(entry)}")
        elif lost := _lost(_lost(temperatures, kept_estimators[name][1]), _lost(a["temperatures"], b["temperatures"])):
            reasons.append(f"estimators: {shown(entry['name'])} without the temperatures {', '.join(map(shown, lost))}")
    reasons += _other_bounds(_trainings(old), _trainings(new))
    return list(dict.fromkeys(filter(None, reasons))) or _other_data(old, new)


def _other_bounds(old: list[Json], new: list[Json]) -> Iterator[str]:
    """Trainings that have, or have not, a bound by another number of samples."""
    why = "a training that has begun keeps what it had, or that it had none"
    for was, now in itertools.product(old, new):
        if was["id"] == now["id"]:
            name = f"importance_samples of {was['subject']}, trained by {was['trained_by']}"
            yield _change(name, was.get("importance_samples"), now.get("importance_samples"), why)


def _trainings(manifest: Json) -> list[Json]:
    """Those that the problems of a manifest are checkpoints of, each once."""
    found = [at["training"] for entry in manifest["problems"] if (at := entry.get("at"))]
    return list({frozen(training): training for training in found}.values())


def _other_data(old: Json, new: Json) -> list[str]:
    """The data of trainings that are gone although the config has them still: what is in the files is another."""
    now = {training["id"] for training in _trainings(new)}
    gone = dict.fromkeys(training["data"] for training in _trainings(old) if training["id"] not in now)
    return [f"data {data}: what is in it has changed since" for data in gone if data]


def union(a: Json, b: Json) -> Json:
    """The manifest with the cells and replicates of both; all else as in `a`."""
    mine = a["layout"]
    more = {p: cut for p, cut in b["layout"].items() if p not in mine or len(cut["stages"]) > len(mine[p]["stages"])}
    both = a | {"config": _union(a["config"], b["config"]), "layout": mine | more}
    plugins = b.get("plugins", {}) | a.get("plugins", {})
    return both | _tables(a, b) | ({"plugins": plugins} if plugins else {})


def _tables(a: Json, b: Json) -> Json:
    """The problems, estimators, variants and cells of both (see `estbench.plan.record`), in the order of a plan."""
    problems = {entry["id"]: entry for entry in [*b["problems"], *a["problems"]]}
    order = dict.fromkeys(entry["id"] for entry in [*a["problems"], *b["problems"]])
    alike = Counter(problems[id_]["label"] for id_ in order)
    at = {id_: i for i, id_ in enumerate(order)}
    estimators: dict[bytes, int] = {}
    entries: list[Json] = []
    variants: dict[str, list[Any]] = {}
    cells: dict[str, list[Any]] = {}
    for manifest in (a, b):
        own = []
        for entry in manifest["estimators"]:
            name = canonical([entry["name"], entry["changed"]])
            if name not in estimators:
                estimators[name] = len(entries)
                entries.append(entry)
            own.append(estimators[name])
        for variant, estimator, *rest in manifest["variants"]:
            variants.setdefault(variant, [variant, own[estimator], *rest])
        for key, problem, variant, *rest in manifest["cells"]:
            row = [key, at[manifest["problems"][problem]["id"]], manifest["variants"][variant][0], *rest]
            cells.setdefault(key, row)
    rows = {variant: i for i, variant in enumerate(variants)}

    def place(cell: list[Any]) -> tuple[Any, ...]:
        _, problem, variant, samples, method, _ = cell
        _, estimator, temperature, _ = variants[variant]
        return problem, estimator, temperature or 0.0, samples, method

    return {
        "problems": [_told_apart(problems[id_], alike) for id_ in order],
        "estimators": entries,
        "variants": list(variants.values()),
        "cells": [[*cell[:2], rows[cell[2]], *cell[3:]] for cell in sorted(cells.values(), key=place)],
    }


def _told_apart(problem: Json, alike: Mapping[str, int]) -> Json:
    """The problem, with its hash in its label where another one reads the same."""
    label = problem["label"]
    return problem | ({"label": f"{label} #{problem['id'][:6]}"} if alike[label] > 1 else {})


def _union(a: Json, b: Json) -> Json:
    replicates = list(filter(None, (a.get("replicates"), b.get("replicates"))))
    both = a | ({"replicates": max(replicates)} if replicates else {})
    if a.get("precision") and b.get("precision"):
        both["precision"] = _finer(a["precision"], b["precision"])
    for key in _LISTS - {"estimators"}:
        both[key] = [*a[key], *_lost(b[key], a[key])]
    estimators = _estimators(a)
    for name, (entry, temperatures) in _estimators(b).items():
        twin, known_temperatures = estimators.get(name, (entry, []))
        all_temperatures = sorted({*known_temperatures, *temperatures})
        if any(own.get("temperatures") is not None for own in (twin, entry)):  # else they follow those of the config
            twin = twin | {"temperatures": all_temperatures}
        estimators[name] = (twin, all_temperatures)
    both["estimators"] = [entry for entry, _ in estimators.values()]
    return both


def diff(old: Json, new: Json, old_name: str, new_name: str) -> str:
    """Unified diff of two configs: a line for each key, and for each problem and estimator."""

    def lines(config: Json) -> Iterator[str]:
        for key, value in sorted(_sorted(config).items()):
            if key in ("problems", "estimators"):
                yield f"{key}:"
                yield from (f"- {shown(entry)}" for entry in value)
            else:
                yield f"{key}: {shown(value)}"

    return "\n".join(difflib.unified_diff([*lines(old)], [*lines(new)], old_name, new_name, n=1, lineterm=""))


def frozen(value: Any) -> Any:
    """A hashable copy of JSON data, equal where they are equal (as 1 and 1.0 are)."""
    if isinstance(value, dict):
        return frozenset((key, frozen(entry)) for key, entry in value.items())
    return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value


def shown(value: Any) -> str:
    """JSON for a message: without control characters, and long vectors by their length and hash."""
    return json.dumps(_shortened(value), sort_keys=True)


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shortened(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple) and len(value) > 16:
        return f"{len(value)} entries, sha256 {hashlib.sha256(canonical(value)).hexdigest()[:8]}"
    return [_shortened(entry) for entry in value] if isinstance(value, list | tuple) else value


def _change(name: str, was: Any, now: Any, why: str = "") -> str:
    if frozen(was) == frozen(now):
        return ""
    return f"{name}: was {shown(was)}, now {shown(now)}" + (f" ({why})" if why else "")


def _finer(a: Json, b: Json) -> Json:
    """The precision that serves both, of one metric."""
    largest = max(a["max_replicates"], b["max_replicates"])
    return a | {"relative": min(a["relative"], b["relative"]), "max_replicates": largest}


def _coarser(was: Json | None, now: Json | None) -> str:
    """Why a run to one precision cannot go on to another, or nothing."""
    if was and now and frozen(_finer(was, now)) == frozen(now):
        return ""
    return _change("precision", was, now, "it can only become finer, in the same metric, or get more replicates")


def _continues(was: Json, now: Json) -> bool:
    """Whether the shards of a problem are those that were, or more: stages may be added, nothing else may change."""
    return bool(frozen(now | {"stages": now["stages"][: len(was["stages"])]}) == frozen(was))


def _lost(old: list[Any], new: list[Any]) -> list[Any]:
    kept = {frozen(entry) for entry in new}
    return [entry for entry in old if frozen(entry) not in kept]


def _sorted(config: Json) -> Json:
    ordered = config | {key: sorted(config[key]) for key in ("samples", "temperatures", "methods")}
    estimators = [
        entry | ({"temperatures": sorted(entry["temperatures"])} if entry.get("temperatures") else {})
        for entry in config["estimators"]
    ]
    return ordered | {
        "problems": sorted(config["problems"], key=canonical),
        "estimators": sorted(estimators, key=canonical),
    }


def _estimators(config: Json) -> dict[tuple[str, Any], tuple[Json, list[float]]]:
    """(name, options) → the entry, and the temperatures that it is to be run at."""
    found: dict[tuple[str, Any], tuple[Json, list[float]]] = {}
    for entry in config["estimators"]:
        name = (entry["name"], frozen(entry["options"]))
        _, others = found.get(name, (entry, []))
        own = entry.get("temperatures")
        found[name] = (entry, [*others, *(config["temperatures"] if own is None else own)])
    return found
