"""The first record of a journal: which run it belongs to.

It says what decides the draws (`run`), how the replicates are cut (`layout`), and by what they were computed
(`source`). A run that grows adds to it; nothing in it changes. It is the first line of a journal, written right after
the manifest, so that each tells whether the other belongs to it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from estbench.plan import Layout
from estbench.store.compatibility import shown
from estbench.store.records import Item, Json, items_of

PACKAGES = ("estbench", "torch")
"""Whose versions decide the last bits."""


def head_of(manifest: Json) -> list[Json]:
    """The records of the head that the journal of this manifest has."""
    run = {"seed": manifest["seed"], "samples": max(manifest["config"]["samples"])}
    run |= {name: manifest[name] for name in ("device", "dtype")}
    versions = {name: manifest["versions"][name] for name in PACKAGES if name in manifest["versions"]}
    sources = versions | manifest.get("plugins", {})
    return [
        {"kind": "run", "key": "", **run},
        *(record for problem, cut in manifest["layout"].items() for record in _layout(problem, cut)),
        *({"kind": "source", "key": name, "version": version} for name, version in sources.items()),
    ]


def _layout(problem: str, cut: Json) -> Iterator[Json]:
    sizes = {name: value for name, value in cut.items() if name != "stages"}
    for stage, (first, end) in enumerate(itertools.pairwise((0, *cut["stages"]))):
        yield {"kind": "layout", "key": f"{problem}/{stage}", "first": first, "end": end, **sizes}


def layouts_of(head: Mapping[Item, Any]) -> dict[str, Layout]:
    """The layouts that the head of a journal names, by problem id."""
    stages: dict[str, dict[int, Json]] = {}
    for (kind, key, _), cut in head.items():
        problem, _, stage = key.rpartition("/")
        if kind == "layout" and stage.isdecimal():
            stages.setdefault(problem, {})[int(stage)] = cut
    found = {}
    for problem, cuts in stages.items():
        ordered = [cuts[stage] for stage in sorted(cuts)]
        sizes = {name: value for name, value in ordered[0].items() if name not in ("first", "end")}
        found[problem] = Layout.of_record(sizes | {"stages": [cut["end"] for cut in ordered]})
    return found


def differences(head: Mapping[Item, Any], manifest: Json) -> list[str]:
    """How the run of a journal differs from that of a manifest, a sentence for each difference; empty if there is none.

    Stages and plug-ins that the manifest has and the journal has not are still to be written.
    """
    wanted = {item: result for record in head_of(manifest) for item, result in items_of(record).items()}
    if head and ("run", "", "") not in head:
        return ["the journal does not say to which run it belongs"]
    return [line for item, was in head.items() if (line := _difference(item, was, wanted.get(item)))]


def _difference(item: Item, was: Json, now: Json | None) -> str:
    kind, key, _ = item
    if was == now or (kind == "source" and now is None):  # a plug-in whose cells the manifest does not name
        return ""
    if kind == "source":
        return f"{key}: {shown(was['version'])} in the journal, {shown(now and now['version'])} in the manifest"
    if now is None:
        return f"{kind} {shown(key)}: in the journal, and not in the manifest"
    changed = [name for name in sorted(was.keys() | now.keys()) if was.get(name) != now.get(name)]
    name = "" if kind == "run" else f"{kind} {shown(key)}: "
    told = {"samples": "largest of samples"}
    return "; ".join(
        f"{name}{told.get(each, each)}: {shown(was.get(each))} in the journal, {shown(now.get(each))} in the manifest"
        for each in changed
    )
