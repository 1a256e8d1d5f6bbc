"""The run folder: exact records, a journal that damage cannot change in silence, and a run that only grows."""

from __future__ import annotations

import copy
import errno
import fcntl
import itertools
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from estbench.errors import ResultsError, UsageError
from estbench.plan import Layout
from estbench.store import (
    Store,
    compatible,
    config_hash,
    decode,
    encode,
    find_runs,
    merge,
    read,
    recorded_layouts,
    run_folder,
    write_atomically,
)
from estbench.store.compatibility import union
from tests.sizes import slow

Json = dict[str, Any]

CUT = {"shard_size": 500, "shards_per_job": 1, "block_rows": 250, "stages": [32]}

MANIFEST: Json = {
    "config": {
        "name": "toy",
        "seed": 3,
        "replicates": 1000,
        "samples": [1, 4],
        "temperatures": [0.5, 1.0],
        "methods": ["monte_carlo"],
        "problems": [
            {"objective": {"name": "quadratic", "target": 0.45}, "distribution": "bernoulli", "logits": [0.5, -1.0]},
            {"objective": {"name": "linear"}, "distribution": "categorical", "logits": [[0.0, 1.0, -1.0]]},
        ],
        "estimators": [
            {"name": "reinforce", "options": {"baseline": "none"}, "label": "reinforce", "temperatures": None},
            {"name": "gumbel", "options": {}, "label": "gumbel", "temperatures": [0.1, 0.2]},
        ],
        "level": 0.95,
        "delta": 0.01,
    },
    "seed": 3,
    "layout": {"p": CUT},
    "problems": [],
    "estimators": [],
    "variants": [],
    "cells": [],
    "versions": {"estbench": "0.1.0", "python": "3.11.9", "torch": "2.13.0", "numpy": "2.1.0"},
    "device": "cpu",
    "dtype": "float64",
    "threads": 1,
    "cpu": "x86_64",
    "git_commit": None,
    "created": "2026-01-01T00:00:00Z",
}


def job(shard: int, *cells: str, value: float = 0.0, seconds: float = 0.0) -> Json:
    """A job record whose moments tell shard, cell and value apart."""
    results = {
        cell: {"moments": encode([[shard, index, value, float("nan")]]), "seconds": seconds}
        for index, cell in enumerate(cells)
    }
    return {"kind": "job", "key": f"toy/{shard}", "cells": results}


def fit(key: str, **fields: Any) -> Json:
    """A fit record with these fields found."""
    return {"kind": "fit", "key": key, "fields": fields, "f": 8, "df": 0, "seconds": 0.5}


def changed(**config: Any) -> Json:
    """The manifest with other entries in its config."""
    return MANIFEST | {"config": MANIFEST["config"] | config}


def written(folder: Path, *records: Json, manifest: Json = MANIFEST) -> Path:
    """A run folder with these records, one line each."""
    with Store(folder, manifest) as store:
        for record in records:
            store.append(record)
    return folder


def lines_of(folder: Path) -> list[bytes]:
    """The lines of its journal."""
    return (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)


def rewrite(folder: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Edit the lines of a journal behind its back."""
    journal = folder / "journal.jsonl"
    journal.write_bytes(b"".join(change(journal.read_bytes().splitlines(keepends=True))))


def snapshot(folder: Path) -> dict[str, bytes]:
    """All files below a folder and their bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# ------------------------------------------------------------------------------------------------------ records


@given(bits=st.lists(st.integers(0, 2**64 - 1), max_size=40))
def test_arrays_round_trip_bit_for_bit(bits: list[int]) -> None:
    """Every float64, each of the NaNs, infinities and −0 among them, comes back with the bits it had."""
    array = np.array(bits, dtype="<u8").view("<f8")
    assert decode(encode(array), (-1,)).view("<u8").tolist() == bits


def test_arrays_keep_shape_and_do_not_depend_on_strides_or_byte_order() -> None:
    """Transposed and big-endian arrays give the text of their values in C order, and decoded ones can be written to."""
    array = np.arange(6.0).reshape(2, 3)
    assert encode(array.T) == encode(array.T.copy()) == encode(array.T.astype(">f8"))
    back = decode(encode(array.T), (3, 2))
    back += 1
    assert np.array_equal(back, array.T + 1)


@pytest.mark.parametrize("text", ["AAAA", "not base64!", "!" + encode(np.zeros(6)), encode(np.zeros(5)), "", None, 3])
def test_arrays_of_another_shape_are_refused(text: Any) -> None:
    """Text that is not base64, not of float64, or not of that many is a ResultsError, never another array."""
    with pytest.raises(ResultsError, match=r"shape \(2, 3\)"):
        decode(text, (2, 3))


@pytest.mark.parametrize(
    "record",
    [{"kind": "job"}, {"kind": 1, "key": "k"}, {"key": "k", "kind": "job", "cells": {}, "more": 1}, {"cells": {}}],
)
def test_what_is_no_record_is_refused(tmp_path: Path, record: Json) -> None:
    """A record without kind or key, or with fields beside its cells, is an error of the caller, and is not written."""
    with Store(tmp_path / "run", MANIFEST) as store:
        with pytest.raises(ValueError, match="a record is"):
            store.append(record)
        with pytest.raises(ValueError, match="JSON"):
            store.append({"kind": "exact", "key": "k", "error": float("nan")})
    assert (tmp_path / "run" / "journal.jsonl").read_bytes().count(b"\n") == 1  # its head


# ------------------------------------------------------------------------------------------------------ journal


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Each kind of record comes back, cell by cell, from the open store and from the disk alike."""
    records = [
        job(0, "a", "b", value=0.1, seconds=0.25),
        job(0, "c"),
        {"kind": "exact", "key": "a", "moments": encode([1.0]), "error": 1e-13, "reason": "enumeration"},
        fit("b", eta=0.1 + 0.2, names=("x", "ü")),
        {"kind": "failed", "key": "c", "reason": "\x1b[31mno"},
    ]
    with Store(tmp_path / "run", MANIFEST) as store:
        for record in records:
            store.append(record)
        items = dict(store.items)
    assert items == read(tmp_path / "run").items
    assert set(items) == {
        *(("job", "toy/0", cell) for cell in "abc"),
        ("exact", "a", ""),
        ("fit", "b", ""),
        ("failed", "c", ""),
    }
    assert items["job", "toy/0", "b"] == {"moments": encode([[0, 1, 0.1, float("nan")]]), "seconds": 0.25}
    assert items["fit", "b", ""]["fields"] == {"eta": 0.1 + 0.2, "names": ["x", "ü"]}
    assert (tmp_path / "run" / "journal.jsonl").read_bytes().isascii()


def test_every_line_is_json_of_its_own(tmp_path: Path) -> None:
    """Other programs can read the journal: a line is an object with the checksum and the record."""
    folder = written(tmp_path / "run", job(0, "a"), job(1, "a"))
    head, *lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    assert [line["records"] for line in lines] == [[job(0, "a")], [job(1, "a")]]
    assert all(set(line) == {"crc32", "records"} for line in (head, *lines))
    assert {record["kind"] for record in head["records"]} == {"run", "layout", "source"}


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_every_flipped_bit_is_found(every: bool, tmp_path: Path) -> None:
    """A bit flipped anywhere before the last line is refused, naming its line: none changes a result in silence.

    One bit of each byte; all eight of them are slow.
    """
    records = {"kind": "job", "key": "p", "cells": {"a": {"moments": ""}}}, {"kind": "exact", "key": "p", "reason": "x"}
    folder = written(tmp_path / "run", *records, job(0, "a"))
    journal = folder / "journal.jsonl"
    good = journal.read_bytes()
    number = 1
    for position in range(good.rindex(b"\n", 0, -1) + 1):
        for bit in range(8) if every else (position % 8,):
            flipped = bytearray(good)
            flipped[position] ^= 1 << bit
            journal.write_bytes(flipped)
            with pytest.raises(ResultsError, match=rf"journal\.jsonl, line {number}: damaged"):
                read(folder)
        number += good[position] == ord("\n")
    assert number == 4


@pytest.fixture(scope="module")
def four_jobs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A run of four jobs, and its journal."""
    folder = written(tmp_path_factory.mktemp("edit") / "run", *(job(shard, "a", "b", value=0.3) for shard in range(4)))
    return folder, (folder / "journal.jsonl").read_bytes()


@given(data=st.data())
def test_every_edit_is_found(four_jobs: tuple[Path, bytes], data: st.DataObject) -> None:
    """Any bytes put for any others in the lines before the last are refused, or no item has another result."""
    folder, good = four_jobs
    journal = folder / "journal.jsonl"
    journal.write_bytes(good)
    items = read(folder).items
    first, last = sorted(data.draw(st.lists(st.integers(0, good.rindex(b"\n", 0, -1)), min_size=2, max_size=2)))
    journal.write_bytes(good[:first] + data.draw(st.binary(max_size=4)) + good[last + 1 :])
    try:
        found = read(folder).items
    except ResultsError as error:
        assert str(journal) in str(error)  # noqa: PT017  # either outcome is right
    else:  # whole lines may have gone: they are then missing, and computed again
        assert all(items[item] == result for item, result in found.items())


@pytest.mark.parametrize("step", [7, slow(1)])
def test_a_torn_line_is_dropped_wherever_it_is_torn(step: int, tmp_path: Path) -> None:
    """A journal cut at any byte gives the whole lines before the cut; appended to, it is as if never cut.

    At every seventh byte, and on both sides of every newline; all of them are slow.
    """
    records = [fit(f"{number}") for number in range(3)]
    folder = written(tmp_path / "run", *records)
    journal = folder / "journal.jsonl"
    good = journal.read_bytes()
    ends = {i + side for i, byte in enumerate(good) if byte == ord("\n") for side in (0, 1)}
    cuts = ends.union(range(0, len(good), step)).intersection(range(good.index(b"\n") + 1, len(good)))
    for cut in sorted(cuts):
        journal.write_bytes(good[:cut])
        whole = good[:cut].count(b"\n")
        torn = cut - (good[:cut].rindex(b"\n") + 1 if whole else 0)
        run = read(folder)
        assert [key for _, key, _ in run.items] == [f"{number}" for number in range(whole - 1)]  # without the head
        assert run.journal.torn == torn
        assert journal.read_bytes() == good[:cut]  # reading changes nothing
        with Store(folder, MANIFEST) as store:
            assert store.torn == torn
            assert journal.read_bytes() == good[: cut - torn]
            for record in records:
                store.append(record)
        assert journal.read_bytes() == good


def test_a_missing_newline_before_the_last_line_is_found(tmp_path: Path) -> None:
    """Two lines glued together are damage, not a torn line: neither is dropped in silence."""
    folder = written(tmp_path / "run", job(0, "a"), job(1, "a"))
    rewrite(folder, lambda lines: [lines[0], lines[1][:-1], lines[2]])
    with pytest.raises(ResultsError, match="line 2: damaged"):
        read(folder)


def test_same_again_counts_once(tmp_path: Path) -> None:
    """A record that comes twice, its times apart, is read as the first, and is not appended."""
    folder = written(tmp_path / "run", job(0, "a", seconds=1.0), job(1, "a"))
    rewrite(folder, lambda lines: [*lines, lines[0]])
    before = (folder / "journal.jsonl").read_bytes()
    with Store(folder, MANIFEST) as store:
        store.append(job(0, "a", seconds=2.0))
        assert store.items["job", "toy/0", "a"]["seconds"] == 1.0
    assert (folder / "journal.jsonl").read_bytes() == before
    other = written(tmp_path / "other", job(0, "a", seconds=2.0))
    rewrite(folder, lambda lines: [*lines, *(other / "journal.jsonl").read_bytes().splitlines(keepends=True)])
    run = read(folder)
    assert run.items["job", "toy/0", "a"]["seconds"] == 1.0
    assert run.journal.lines["job", "toy/0", "a"] == 2


def test_contradictions_are_refused(tmp_path: Path) -> None:
    """Two results for one item are an error that names both lines, and cannot be appended."""
    folder = written(tmp_path / "run", job(1, "a"), job(0, "b", "a", value=1.0))
    other = written(tmp_path / "other", job(0, "c", "a", value=2.0))
    with Store(folder, MANIFEST) as store:
        before = dict(store.items)
        with pytest.raises(ResultsError, match='"job toy/0 a" was computed again, with another result'):
            store.append(job(2, "a"), job(0, "c", "a", value=2.0))
        with pytest.raises(ResultsError, match="computed again"):
            store.append(job(3, "a"), job(3, "a", value=2.0))
        assert store.items == before == read(folder).items
    rewrite(folder, lambda lines: [*lines, *(other / "journal.jsonl").read_bytes().splitlines(keepends=True)])
    with pytest.raises(ResultsError, match='lines 3 and 5 give different results for "job toy/0 a"'):
        read(folder)


def test_cells_may_be_added_to_a_job(tmp_path: Path) -> None:
    """The same shard with other cells is no duplicate, and of a record that is known in part the rest is kept."""
    with Store(tmp_path / "run", MANIFEST) as store:
        store.append(job(0, "a"))
        store.append(job(0, "a", "b"), job(0, "a", "b", "c"))
    assert [cell for _, _, cell in read(tmp_path / "run").items] == ["a", "b", "c"]


def test_the_last_failure_counts(tmp_path: Path) -> None:
    """A cell that fails again for another reason contradicts nothing; the same reason is not written again."""
    with Store(tmp_path / "run", MANIFEST) as store:
        for reason in ("killed", "hung", "hung"):
            store.append({"kind": "failed", "key": "a", "reason": reason})
        assert store.items["failed", "a", ""] == {"reason": "hung"}
    assert read(tmp_path / "run").items == {("failed", "a", ""): {"reason": "hung"}}
    assert (tmp_path / "run" / "journal.jsonl").read_bytes().count(b"\n") == 3


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt()])
def test_half_a_line_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException) -> None:
    """When writing stops in the middle of a line, the journal is as before, and takes more when it can."""
    folder, write = tmp_path / "run", os.write
    with Store(folder, MANIFEST) as store:
        store.append(job(0, "a"))
        before = snapshot(folder)
        calls = itertools.count()

        def half(descriptor: int, data: bytes) -> int:
            if next(calls):
                raise failure
            return write(descriptor, bytes(data)[: len(data) // 2])

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", half)
            with pytest.raises((ResultsError, KeyboardInterrupt)) as caught:
                store.append(job(1, "a"))
        if isinstance(failure, OSError):
            assert "No space left on device. Make room" in str(caught.value)
        assert snapshot(folder) == before
        assert len(store.items) == 1
        store.append(job(2, "a"))
    assert {key for _, key, _ in read(folder).items} == {"toy/0", "toy/2"}


def test_half_a_line_that_could_not_be_taken_back_is_cut_off_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even when taking back is interrupted too, no line is glued to the half one, and none is lost."""
    folder, write = tmp_path / "run", os.write

    def interrupted(descriptor: int, data: bytes) -> int:
        write(descriptor, bytes(data)[:30])
        raise KeyboardInterrupt

    def interrupted_again(*_: int) -> None:
        raise KeyboardInterrupt

    with Store(folder, MANIFEST) as store:
        store.append(job(0, "a"))
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", interrupted)
            patch.setattr(os, "ftruncate", interrupted_again)
            with pytest.raises(KeyboardInterrupt):
                store.append(job(1, "a"))
        assert read(folder).journal.torn == 30
        store.append(job(2, "a"))
    assert {key for _, key, _ in read(folder).items} == {"toy/0", "toy/2"}


def test_a_deleted_journal_is_noticed(tmp_path: Path) -> None:
    """Results do not vanish into a file that has no name any more."""
    with Store(tmp_path / "run", MANIFEST) as store:
        (tmp_path / "run" / "journal.jsonl").unlink()
        with pytest.raises(ResultsError, match="deleted or replaced while being written"):
            store.append(job(0, "a"))


# ------------------------------------------------------------------------------------------------------ manifest


def test_every_flipped_bit_of_the_manifest_is_found(tmp_path: Path) -> None:
    """A bit flipped in the manifest is refused, or changes nothing that is read; the folder stays a run to `fresh`."""
    folder = written(tmp_path / "run", job(0, "a"))
    path = folder / "manifest.json"
    good, manifest = path.read_bytes(), read(folder).manifest
    for position in range(len(good)):
        flipped = bytearray(good)
        flipped[position] ^= 1 << position % 8
        path.write_bytes(flipped)
        try:
            assert read(folder).manifest == manifest
        except ResultsError as error:
            assert str(path) in str(error)  # noqa: PT017  # either outcome is right
    path.write_bytes(good.replace(b'"seed": 3', b'"seed": 4'))
    with pytest.raises(ResultsError, match=r"manifest\.json: damaged or edited"):
        read(folder)
    Store(folder, MANIFEST, fresh=True).close()
    assert read(folder).items == {}


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "[" * 100_000, '{"config_hash": 1, "crc32": "0"}', "\x00"])
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    """A manifest that is empty, no JSON, or of another program is a ResultsError that names it."""
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ResultsError, match=r"manifest\.json"):
        read(tmp_path)


@pytest.mark.parametrize("version", [1, 3])
def test_another_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    """A run of an older or later format is not misread: the message names both formats, and what to do."""
    monkeypatch.setattr("estbench.store.manifest.SCHEMA_VERSION", version)
    folder = written(tmp_path / "run")
    monkeypatch.undo()
    with pytest.raises(ResultsError, match=f"of format {version}, this estbench reads format 2.*--fresh"):
        read(folder)


def test_the_same_run_goes_on(tmp_path: Path) -> None:
    """Opened again, a run has what was done, and keeps its manifest, whatever the order of the lists of its config."""
    folder = written(tmp_path / "run", job(0, "a"))
    before = snapshot(folder)
    shuffled = changed(samples=[4, 1], problems=MANIFEST["config"]["problems"][::-1])
    with Store(folder, shuffled | {"created": "later", "threads": 1}) as store:
        assert set(store.items) == {("job", "toy/0", "a")}
        assert config_hash(store.manifest["config"]) == store.manifest["config_hash"] == config_hash(shuffled["config"])
    after = snapshot(folder)
    assert after.pop("journal.jsonl") == before.pop("journal.jsonl")
    assert read(folder).manifest["created"] == MANIFEST["created"]
    written(folder, manifest=shuffled | {"created": "later still"})
    assert snapshot(folder)["manifest.json"] == after["manifest.json"]


def test_a_run_grows(tmp_path: Path) -> None:
    """Added replicates are accepted, written to the manifest, and cannot be taken back."""
    folder = written(tmp_path / "run", job(0, "a"))
    written(folder, manifest=changed(replicates=2000) | {"created": "later"})
    run = read(folder)
    assert run.manifest["config"]["replicates"] == 2000
    assert run.manifest["created"] == MANIFEST["created"]
    assert len(run.items) == 1
    with pytest.raises(UsageError, match="replicates: there are 2000 already, now fewer are asked for: 1000"):
        Store(folder, MANIFEST)


def test_another_config_is_refused_with_a_diff(tmp_path: Path) -> None:
    """The refusal says why, shows what differs, and what to do; nothing on the disk changes."""
    folder = written(tmp_path / "run", job(0, "a"))
    before = snapshot(folder)
    problems = copy.deepcopy(MANIFEST["config"]["problems"])
    problems[0]["logits"] = [0.5, -2.0]
    with pytest.raises(UsageError) as caught:
        Store(folder, changed(problems=problems, seed=4) | {"seed": 4})
    message = str(caught.value)
    assert message.count("seed: was 3, now 4") == 1
    assert 'problems: removed or changed: {"distribution": "bernoulli", "logits": [0.5, -1.0]' in message
    assert "\n-seed: 3\n+seed: 4" in message
    assert '\n+- {"distribution": "bernoulli", "logits": [0.5, -2.0]' in message
    assert "--fresh" in message
    assert "-o" in message
    assert snapshot(folder) == before
    Store(folder, MANIFEST).close()  # the refused one holds no lock


def test_long_vectors_are_shortened_in_messages(tmp_path: Path) -> None:
    """Ten thousand logits do not fill the screen, and still are told apart."""
    problem = {"objective": {"name": "linear"}, "distribution": "bernoulli", "logits": [0.0] * 10_000}
    folder = written(tmp_path / "run", manifest=changed(problems=[problem]))
    with pytest.raises(UsageError) as caught:
        Store(folder, changed(problems=[problem | {"logits": [0.0] * 9_999 + [1.0]}]))
    assert len(str(caught.value)) < 2000
    removed, added = [line for line in str(caught.value).splitlines() if line[:3] in ("-- ", "+- ")]
    assert removed.count("10000 entries") == added.count("10000 entries") == 1
    assert removed[1:] != added[1:]


ESTIMATORS, PROBLEMS = MANIFEST["config"]["estimators"], MANIFEST["config"]["problems"]
REINFORCE, GUMBEL = ESTIMATORS

ADDED = {
    "nothing": MANIFEST,
    "replicates": changed(replicates=1001),
    "a problem": changed(problems=[*PROBLEMS, PROBLEMS[0] | {"tie": True}]),
    "an estimator": changed(
        estimators=[*ESTIMATORS, {"name": "ste", "options": {}, "label": "s", "temperatures": None}]
    ),
    "other options": changed(estimators=[*ESTIMATORS, REINFORCE | {"options": {"baseline": "optimal"}}]),
    "a temperature": changed(temperatures=[0.5, 0.7, 1]),
    "an estimator's temperature": changed(estimators=[REINFORCE, GUMBEL | {"temperatures": [0.3, 0.1, 0.2]}]),
    "the general temperatures": changed(estimators=[REINFORCE | {"temperatures": [1.0, 0.5]}, GUMBEL]),
    "the same in two entries": changed(
        estimators=[GUMBEL | {"temperatures": [0.1]}, REINFORCE, GUMBEL | {"temperatures": [0.2]}]
    ),
    "a smaller N": changed(samples=[1, 2, 4]),
    "a method": changed(methods=["exact", "monte_carlo"]),
    "a label": changed(estimators=[REINFORCE | {"label": "other"}, GUMBEL]),
    "reporting": changed(level=0.9, delta=0.05),
    "the order": changed(samples=[4, 1], problems=PROBLEMS[::-1], estimators=ESTIMATORS[::-1], temperatures=[1.0, 0.5]),
    "a stage": MANIFEST | {"layout": {"p": CUT | {"stages": [32, 64]}}},
    "a layout": MANIFEST | {"layout": {"q": CUT | {"shard_size": 9}, "p": CUT}},
    "the machine": MANIFEST | {"threads": 8, "cpu": "other", "created": "later"},
}

FINE = {"relative": 0.02, "metric": "variance", "max_replicates": 10**6}

REFUSED = {
    "seed: was 3, now 4": changed(seed=4) | {"seed": 4},
    "name: ": changed(name="other"),
    "layout of p: ": MANIFEST | {"layout": {"p": CUT | {"block_rows": 500}}},
    'layout of p: was {"block_rows": 250': MANIFEST | {"layout": {"p": CUT | {"stages": [16, 32]}}},
    "device: ": MANIFEST | {"device": "cuda"},
    "dtype: ": MANIFEST | {"dtype": "float32"},
    'version of torch: was "2.13.0", now "2.14.0"': MANIFEST
    | {"versions": {**MANIFEST["versions"], "torch": "2.14.0"}},
    "version of estbench: ": MANIFEST | {"versions": {**MANIFEST["versions"], "estbench": "0.2.0"}},
    "replicates: there are 1000": changed(replicates=999),
    "largest of samples: was 4, now 8 (the largest N decides": changed(samples=[1, 4, 8]),
    "samples: removed or changed: 1": changed(samples=[4]),
    "temperatures: removed or changed: 0.5": changed(temperatures=[1.0]),
    "methods: removed": changed(methods=[]),
    "problems: removed or changed: {": changed(problems=PROBLEMS[:1]) | {"layout": {}},
    'estimators: removed or changed: {"label": "gumbel"': changed(estimators=[REINFORCE]),
    'estimators: removed or changed: {"label": "reinforce"': changed(
        estimators=[REINFORCE | {"options": {"baseline": "optimal"}}, GUMBEL]
    ),
    'estimators: "gumbel" without the temperatures 0.1, 0.2': changed(
        estimators=[REINFORCE, GUMBEL | {"temperatures": None}]
    ),
    'estimators: "gumbel" without the temperatures 0.2': changed(
        estimators=[REINFORCE, GUMBEL | {"temperatures": [0.1]}]
    ),
    'estimators: "reinforce" without the temperatures 0.5, 1.0': changed(
        estimators=[REINFORCE | {"temperatures": []}, GUMBEL]
    ),
    "not_known_yet: ": changed(not_known_yet=1),
}


@pytest.mark.parametrize(
    ("precision", "finer"),
    [
        (FINE, True),
        (FINE | {"relative": 0.01}, True),
        (FINE | {"max_replicates": 10**7}, True),
        (FINE | {"relative": 0.01, "max_replicates": 10**7}, True),
        (FINE | {"relative": 0.03}, False),
        (FINE | {"max_replicates": 10**5}, False),
        (FINE | {"relative": 0.01, "max_replicates": 10**5}, False),
        (FINE | {"metric": "mse"}, False),
        (None, False),
    ],
)
def test_a_precision_may_become_finer(precision: Json | None, finer: bool) -> None:
    """A run to a precision goes on to a finer one or to more replicates, in the same metric; nothing is thrown away."""
    old, new = (changed(replicates=None, precision=each) for each in (FINE, precision))
    reasons = compatible(old, new)
    assert (reasons == []) is finer
    assert all(reason.startswith("precision: was ") for reason in reasons)
    if precision and precision["metric"] == "variance":
        joined = union(old, new)["config"]["precision"]
        assert joined == {key: (max if key == "max_replicates" else min)(FINE[key], precision[key]) for key in FINE}


@pytest.mark.parametrize("new", ADDED.values(), ids=ADDED)
def test_additions_are_compatible(new: Json) -> None:
    """Cells and replicates may be added, and what is only reported may change."""
    assert compatible(MANIFEST, new) == []


def test_replicates_do_not_become_a_precision() -> None:
    """A run of a number of replicates does not go on to a precision: both are named."""
    was, now = compatible(MANIFEST, changed(replicates=None, precision=FINE))
    assert was == "replicates: was 1000, now null"
    assert now.startswith("precision: was null, now")


@pytest.mark.parametrize(("reason", "new"), REFUSED.items(), ids=REFUSED)
def test_other_changes_are_refused(reason: str, new: Json) -> None:
    """What decides the draws, and what takes cells away, is refused, for one reason: the right one."""
    reasons = compatible(MANIFEST, new)
    assert [r for r in reasons if r.startswith(reason)]
    assert len(reasons) == 1


PLUGIN = "my.module:Mine"


def with_plugins(**hashes: str) -> Json:
    """The manifest with plug-ins of these sources: `Mine`, `Other`."""
    return MANIFEST | {"plugins": {f"my.module:{name}": text for name, text in hashes.items()}}


def test_a_changed_plugin_is_refused(tmp_path: Path) -> None:
    """A plug-in whose source has changed cannot go on; one that is new, or was not recorded, can."""
    folder = written(tmp_path / "run", job(0, "a"), manifest=with_plugins(Mine="1"))
    before = snapshot(folder)
    for again in (with_plugins(Mine="1"), with_plugins(Mine="1", Other="5"), MANIFEST):
        assert compatible(read(folder).manifest, again) == []
    assert compatible(MANIFEST, with_plugins(Mine="1")) == []
    with pytest.raises(UsageError, match=rf"\n  {PLUGIN} has changed since.*\n.*--fresh .* -o") as caught:
        Store(folder, with_plugins(Mine="2", Other="5"))
    assert "Other" not in str(caught.value)
    assert snapshot(folder) == before


def test_plugins_are_recorded_from_when_they_are_known(tmp_path: Path) -> None:
    """A run begun without their hashes is read, goes on, and notices a change from then on."""
    folder = written(tmp_path / "run", job(0, "a"))
    written(folder, manifest=with_plugins(Mine="1"))
    assert read(folder).manifest["plugins"] == {PLUGIN: "1"}
    with pytest.raises(UsageError, match=f"{PLUGIN} has changed"):
        Store(folder, with_plugins(Mine="2"))


def test_the_hash_of_a_config_tells_configs_apart() -> None:
    """Order changes nothing; every refused change of the config, and every addition to it, changes the hash."""
    one = config_hash(MANIFEST["config"])
    assert config_hash(ADDED["the order"]["config"]) == one
    assert config_hash(dict(reversed(MANIFEST["config"].items()))) == one
    others = [new["config"] for new in [*ADDED.values(), *REFUSED.values()] if new["config"] != MANIFEST["config"]]
    hashes = {config_hash(config) for config in others if config is not ADDED["the order"]["config"]}
    assert one not in hashes
    assert len(hashes) == len(others) - 1


# ------------------------------------------------------------------------------------------------------ folder


def test_fresh_starts_over_and_spares_what_is_not_ours(tmp_path: Path) -> None:
    """`fresh` deletes the run and what was made of it, and neither other files nor what links lead to."""
    folder = written(tmp_path / "run", job(0, "a"))
    (folder / "results.csv").write_text("old")
    (folder / "report.html").write_text("old")
    (folder / "figures").mkdir()
    (folder / "figures" / "a.png").write_text("old")
    (folder / "notes.txt").write_text("mine")
    new = changed(seed=4) | {"seed": 4}
    with Store(folder, new, fresh=True) as store:
        assert store.items == {}
        assert store.manifest["seed"] == 4
    assert set(snapshot(folder)) == {"manifest.json", "journal.jsonl", "notes.txt"}
    assert not (folder / "figures").exists()

    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.png").write_text("mine")
    (folder / "figures").symlink_to(outside)
    (folder / "results.csv").symlink_to(outside / "a.png")
    Store(folder, MANIFEST, fresh=True).close()
    assert (outside / "a.png").read_text() == "mine"
    assert set(snapshot(folder)) == {"manifest.json", "journal.jsonl", "notes.txt"}


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("name", ["thesis.tex", "manifest.json", "journal.jsonl"])
def test_foreign_folders_are_left_alone(tmp_path: Path, name: str, fresh: bool) -> None:
    """A folder with other files, a web page's manifest.json among them, is refused and not touched."""
    (tmp_path / name).write_text('{"name": "my web app"}')
    before = snapshot(tmp_path)
    with pytest.raises(UsageError, match=f"{name}.*not a run folder"):
        Store(tmp_path, MANIFEST, fresh=fresh)
    assert snapshot(tmp_path) == before


def test_a_folder_left_by_a_crash_before_the_manifest_is_taken(tmp_path: Path) -> None:
    """An empty journal and a draft are all that a run killed at birth leaves; the next one begins there."""
    (tmp_path / "journal.jsonl").touch()
    (tmp_path / ".manifest.json.123.tmp").write_text('{"conf')
    assert read(written(tmp_path, job(0, "a"))).items.keys() == {("job", "toy/0", "a")}


def test_journals_that_are_no_plain_files_are_not_written(tmp_path: Path) -> None:
    """A journal that is a link, a folder or a pipe is refused at once: a link's target is neither cut nor extended."""
    folder = written(tmp_path / "run", job(0, "a"))
    journal = folder / "journal.jsonl"
    target = journal.rename(tmp_path / "target")
    target.write_bytes(target.read_bytes() + b"torn")
    before = target.read_bytes()
    journal.symlink_to(target)
    for fresh in (False, True):
        with pytest.raises(ResultsError, match="symbolic link"):
            Store(folder, MANIFEST, fresh=fresh)
    assert target.read_bytes() == before
    with pytest.raises(ResultsError, match="symbolic link"):
        read(folder)
    journal.unlink()
    os.mkfifo(journal)
    with pytest.raises(ResultsError, match="not a regular file"):
        Store(folder, MANIFEST)
    with pytest.raises(ResultsError, match="not a regular file"):
        read(folder)
    journal.unlink()
    journal.mkdir()
    with pytest.raises(ResultsError, match="not a regular file"):
        read(folder)


def test_odd_paths_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blanks, quotes, newlines and Greek in names, relative paths, and links to folders are as good as any."""
    for name in ("a b", "it's", "new\nline", "Δ", "-o", "x" * 200):
        assert find_runs(written(tmp_path / name / "deep" / "er", job(0, "a"))) == [tmp_path / name / "deep" / "er"]
    monkeypatch.chdir(tmp_path)
    assert len(read(written(Path("here"), job(0, "a"))).items) == 1
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "here")
    with Store(link, MANIFEST), pytest.raises(ResultsError, match="another process"):
        Store(tmp_path / "here", MANIFEST)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "/etc", ".hidden", "a\x00b", "a\x1b[31m", "-o", "a\n", "x" * 101, "~", "a\\b"],
)
def test_names_cannot_escape(tmp_path: Path, name: str) -> None:
    """A config's name that is not one plain file name is refused, and shown without control characters."""
    with pytest.raises(UsageError) as caught:
        run_folder(tmp_path, name)
    assert str(caught.value).isprintable()


def test_names_are_folders_and_keys_are_not(tmp_path: Path) -> None:
    """A plain name is a folder in results; a key is only text, whatever it looks like."""
    assert run_folder(tmp_path, "bernoulli σ=0.5 @2") == tmp_path / "bernoulli σ=0.5 @2"
    folder = run_folder(tmp_path, "toy")
    written(folder, {"kind": "failed", "key": "../../escaped", "reason": "/etc/passwd"}, job(0, "../../escaped"))
    assert {path.name for path in tmp_path.rglob("*")} == {"toy", "manifest.json", "journal.jsonl"}
    assert ("failed", "../../escaped", "") in read(folder).items


def test_find_runs(tmp_path: Path) -> None:
    """RESULTS is a run folder, or a folder with some, listed by name; other things in it do not matter."""
    results = tmp_path / "results"
    runs = [written(results / name) for name in ("b", "a", "c")]
    (results / "README").write_text("")
    (results / "other").mkdir()
    (results / "loop").symlink_to(results)
    assert find_runs(results) == sorted(runs)
    assert find_runs(results / "a") == [results / "a"]


def test_find_runs_says_what_is_there_instead(tmp_path: Path) -> None:
    """No such folder, a file, an empty folder and one without runs each get their own message."""
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "other" / "deeper").mkdir(parents=True)
    for name, message in {
        "none": "there is no such folder",
        "file": "not a folder",
        "file/below": "there is no such folder",
        "empty": "is empty",
        "other": "holds no run",
        "x" * 300: "cannot read the manifest: File name too long",
    }.items():
        with pytest.raises(ResultsError, match=f"{name}(: |/manifest.json: ){message}"):
            find_runs(tmp_path / name)
    with pytest.raises(ResultsError, match="not a run folder"):
        read(tmp_path / "empty")


def test_places_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    """A file, a place below a file, and a system's own folder give the reason and the way out."""
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file: not a folder"):
        Store(tmp_path / "file", MANIFEST)
    with pytest.raises(ResultsError, match=r"cannot make this folder: .*-o"):
        Store(tmp_path / "file" / "below", MANIFEST)
    with pytest.raises(ResultsError, match=r"cannot write this file: .*-o"):
        write_atomically(tmp_path / "none" / "results.csv", "x")


def test_files_are_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be replaced stays as it was, and no draft stays behind; text is written as it is."""
    path = tmp_path / "results.csv"
    write_atomically(path, "a,Δ\r\nb\n")
    assert path.read_bytes() == "a,Δ\r\nb\n".encode()

    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(ResultsError, match=r"results\.csv: cannot write this file: No space left on device"):
        write_atomically(path, "new")
    assert snapshot(tmp_path) == {"results.csv": "a,Δ\r\nb\n".encode()}


# ------------------------------------------------------------------------------------------------------ whose is it


@pytest.mark.parametrize(
    ("other", "differs"),
    [
        (changed(seed=4) | {"seed": 4}, "seed: 4 in the journal, 3 in the manifest"),
        (changed(samples=[1, 4, 8]), "largest of samples: 8 in the journal, 4 in the manifest"),
        (MANIFEST | {"layout": {"p": CUT | {"shard_size": 400}}}, "shard_size: 400 in the journal, 500 in the manif"),
        (MANIFEST | {"layout": {"p": CUT | {"stages": [32, 64]}}}, 'layout "p/1": in the journal, and not in the man'),
        (MANIFEST | {"layout": {"p": CUT | {"stages": [16]}}}, "end: 16 in the journal, 32 in the manifest"),
        (MANIFEST | {"device": "cuda"}, 'device: "cuda" in the journal, "cpu" in the manifest'),
        (
            MANIFEST | {"versions": MANIFEST["versions"] | {"torch": "1"}},
            'torch: "1" in the journal, "2.13.0" in the m',
        ),
    ],
)
def test_a_journal_of_another_run_is_refused(tmp_path: Path, other: Json, differs: str) -> None:
    """A journal of other draws, put beside a manifest, is refused by readers and writers, which say what differs."""
    folder = written(tmp_path / "run", job(0, "a"))
    alien = written(tmp_path / "other", job(0, "a"), manifest=other)
    (folder / "journal.jsonl").write_bytes((alien / "journal.jsonl").read_bytes())
    before = snapshot(folder)
    for use in (read, lambda folder: Store(folder, MANIFEST)):
        with pytest.raises(ResultsError, match="not the journal of the manifest beside it") as caught:
            use(folder)
        assert differs in str(caught.value)
    assert snapshot(folder) == before


def test_a_journal_without_a_head_is_refused(tmp_path: Path) -> None:
    """Results that do not say to which run they belong are nobody's."""
    folder = written(tmp_path / "run", job(0, "a"))
    rewrite(folder, lambda lines: lines[1:])
    with pytest.raises(ResultsError, match="does not say to which run it belongs"):
        read(folder)


@pytest.mark.parametrize("left", [None, b"", b'{"config', "half"])
def test_a_lost_manifest_is_written_again(tmp_path: Path, left: bytes | str | None) -> None:
    """Deleted, emptied or cut: readers say how to restore it, and the run of the same config adopts the journal."""
    folder = written(tmp_path / "run", job(0, "a"))
    whole = (folder / "manifest.json").read_bytes()
    if left is None:
        (folder / "manifest.json").unlink()
    else:
        (folder / "manifest.json").write_bytes(whole[: len(whole) // 2] if isinstance(left, str) else left)
    before = snapshot(folder)
    assert find_runs(tmp_path) == [folder]
    assert recorded_layouts(folder) == {"p": Layout.of_record(CUT)}
    with pytest.raises(ResultsError, match=r"manifest\.json: (there is none|damaged).*run CONFIG -o .*writes it again"):
        read(folder)
    with pytest.raises(UsageError, match=r"not of this config either:\n  seed: 3 in the journal, 4 in this run"):
        Store(folder, changed(seed=4) | {"seed": 4})
    assert snapshot(folder) == before
    with Store(folder, MANIFEST) as store:
        assert set(store.items) == {("job", "toy/0", "a")}
    assert (folder / "manifest.json").read_bytes() == whole
    assert snapshot(folder)["journal.jsonl"] == before["journal.jsonl"]


def test_a_lost_manifest_does_not_stop_a_fresh_run(tmp_path: Path) -> None:
    """With `fresh` another config starts over in the folder of a journal that has lost its manifest."""
    folder = written(tmp_path / "run", job(0, "a"))
    (folder / "manifest.json").unlink()
    with Store(folder, changed(seed=4) | {"seed": 4}, fresh=True) as store:
        assert store.items == {}
    assert read(folder).manifest["seed"] == 4


# ------------------------------------------------------------------------------------------------------ links, moves


@pytest.mark.parametrize("name", ["results.csv", "report.html", "manifest.json", "figures/a.png"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_files_are_written_into_no_link(tmp_path: Path, name: str, kind: str) -> None:
    """Where a file of ours belongs and a link, a pipe or a folder is, a message says so, and nothing is followed."""
    path, outside = tmp_path / "run" / name, tmp_path / "outside"
    path.parent.mkdir(parents=True)
    outside.write_text("mine")
    if kind == "link":
        path.symlink_to(outside)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(ResultsError, match=f"{name}: {'a symbolic link' if kind == 'link' else 'not a regular file'}"):
        write_atomically(path, "ours")
    assert outside.read_text() == "mine"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_drafts_of_the_dead_are_swept_up_and_those_of_the_living_are_not(tmp_path: Path) -> None:
    """A draft that a killed process has left is deleted by the next one; one that is being written stays."""
    folder = written(tmp_path / "run")
    dead, living = (folder / f".estbench-{letter * 32}.draft" for letter in "ab")
    for path in (dead, living, folder / ".estbench-notes.draft", folder / ".results.csv.tmp"):
        path.touch()
    with living.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        Store(folder, MANIFEST).close()
        assert {path.name for path in folder.glob(".*")} == {living.name, ".estbench-notes.draft", ".results.csv.tmp"}
    write_atomically(folder / "results.csv", "x")
    assert not living.exists()


def test_a_folder_that_is_moved_gets_nothing_in_its_successor(tmp_path: Path) -> None:
    """When the run folder is moved away and another takes its place, nothing is written, and a message says so."""
    folder, moved = tmp_path / "run", tmp_path / "moved"
    with Store(folder, MANIFEST) as store:
        store.append(job(0, "a"))
        folder.rename(moved)
        for successor in (False, True):
            if successor:
                written(folder, job(5, "a"))
                before = snapshot(folder)
            with pytest.raises(ResultsError, match="run: was moved, renamed or replaced"):
                store.append(job(1, "a"))
            with pytest.raises(ResultsError, match="run: was moved, renamed or replaced"):
                store.write("results.csv", "x")
        assert snapshot(folder) == before
    assert set(read(moved).items) == {("job", "toy/0", "a")}


def test_what_is_refused_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that cannot begin removes the folders that it made, and no others."""
    (tmp_path / "there").mkdir()

    def refuse(*_: object, **__: object) -> None:
        raise ResultsError("no")

    monkeypatch.setattr("estbench.store.folder.record_manifest", refuse)
    for name in ("there/new/er", "there"):
        with pytest.raises(ResultsError, match="no"):
            Store(tmp_path / name, MANIFEST)
    assert [path.name for path in tmp_path.rglob("*")] == ["there", "journal.jsonl"]


def test_the_disk_is_asked_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many records in a second are forced onto the disk once; what is open then is so at the end."""
    synced: list[int] = []
    sync = os.fsync

    def counted(descriptor: int) -> None:
        synced.append(descriptor)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", counted)
    with Store(tmp_path / "run", MANIFEST) as store:
        clock = [time.monotonic()]
        monkeypatch.setattr("estbench.store.journal.time.monotonic", lambda: clock[0])
        synced.clear()
        for shard in range(50):
            store.append(job(shard, "a"))
        assert len(synced) <= 1
        clock[0] += 1.1
        store.append(job(50, "a"), job(51, "a"))
        assert 1 <= len(synced) <= 2
        store.append(job(52, "a"))
        synced.clear()
    assert len(synced) == 1
    assert len(read(tmp_path / "run").items) == 53
    assert len(lines_of(tmp_path / "run")) == 1 + 50 + 1 + 1  # records that come together stand on one line


# ------------------------------------------------------------------------------------------------------ merge


def test_merged_shards_are_those_of_one_run(tmp_path: Path) -> None:
    """Shards made on two machines, one twice and one machine torn, are together what one machine would have made."""
    records = [job(shard, "a", "b") for shard in range(6)]
    whole = written(tmp_path / "whole", *records)
    a = written(tmp_path / "a", *records[:3])
    again = job(2, "a", "b", seconds=9.0)  # the first counts
    b = written(tmp_path / "b", again, *records[3:], manifest=MANIFEST | {"cpu": "other"})
    (b / "journal.jsonl").write_bytes((b / "journal.jsonl").read_bytes() + b'{"crc32":"')
    merge([a, b], tmp_path / "c")
    assert read(tmp_path / "c").items == read(whole).items
    assert read(tmp_path / "c").manifest == read(whole).manifest
    with Store(tmp_path / "c", MANIFEST) as store:  # and it is a run like any other
        store.append(job(6, "a"))
    merge([a], tmp_path / "c")  # nothing new: nothing happens
    merge([b], a)
    assert read(a).items == read(whole).items


def test_merged_cells_make_the_union_of_configs(tmp_path: Path) -> None:
    """Machines with other estimators, temperatures and replicates give a run that has all, and goes on."""
    records = job(0, "a"), job(0, "b"), {"kind": "exact", "key": "a", "reason": "none"}
    a = written(
        tmp_path / "a",
        records[0],
        manifest=changed(estimators=[REINFORCE, GUMBEL | {"temperatures": [0.2]}], temperatures=[0.5], replicates=500),
    )
    b = written(
        tmp_path / "b", *records[1:], manifest=changed(estimators=[GUMBEL | {"temperatures": [0.1]}], samples=[4])
    )
    merge([a, b], tmp_path / "c")
    run = read(tmp_path / "c")
    assert config_hash(run.manifest["config"]) == run.manifest["config_hash"] == config_hash(MANIFEST["config"])
    assert set(run.items) == {("job", "toy/0", "a"), ("job", "toy/0", "b"), ("exact", "a", "")}
    with Store(tmp_path / "c", MANIFEST) as store:
        assert store.items == run.items


@pytest.mark.parametrize("reason", ["seed", "layout", "device", "dtype", "version of torch", "largest"])
def test_runs_that_do_not_fit_are_not_merged(tmp_path: Path, reason: str) -> None:
    """Another seed, layout, device, version or largest N is refused before anything is written."""
    new = next(new for refused, new in REFUSED.items() if refused.startswith(reason))
    a, b = written(tmp_path / "a", job(0, "a")), written(tmp_path / "b", job(1, "a"), manifest=new)
    for runs in ([a, b], [b, a]):
        with pytest.raises(UsageError, match=f"does not fit .*\n  {reason}"):
            merge(runs, tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_merged_runs_have_the_plugins_of_both_and_one_source_of_each(tmp_path: Path) -> None:
    """Plug-ins of either run are recorded; runs by two sources of one plug-in are not merged."""
    manifests = with_plugins(Mine="1"), with_plugins(Other="5", Mine="1"), MANIFEST, with_plugins(Mine="2")
    a, b, c, d = (written(tmp_path / name, manifest=m) for name, m in zip("abcd", manifests, strict=True))
    for i, runs in enumerate(([a, b, c], [c, b, a])):
        merge(runs, tmp_path / f"merged-{i}")
        assert read(tmp_path / f"merged-{i}").manifest["plugins"] == manifests[1]["plugins"]
    for runs in ([a, d], [d, a], [c, a, d], [b, c, d]):
        with pytest.raises(UsageError, match=f"does not fit .*\n  {PLUGIN} has changed"):
            merge(runs, tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_merged_runs_have_the_layouts_of_both(tmp_path: Path) -> None:
    """A machine that went on to another stage, and one that had another problem, keep the shards they made."""
    layouts = {"p": CUT | {"stages": [32, 64]}}, {"q": CUT | {"shard_size": 9}, "p": CUT}
    a, b = (written(tmp_path / str(i), manifest=MANIFEST | {"layout": cut}) for i, cut in enumerate(layouts))
    for i, runs in enumerate(([a, b], [b, a])):
        merge(runs, tmp_path / f"merged-{i}")
        assert read(tmp_path / f"merged-{i}").manifest["layout"] == layouts[1] | layouts[0]


def test_a_precision_in_place_of_replicates_goes_on_and_merges(tmp_path: Path) -> None:
    """Where a precision decides, there is no number of replicates to compare or to join."""
    manifest = changed(replicates=None, precision={"relative": 0.02, "metric": "variance", "max_replicates": 10**6})
    assert compatible(manifest, manifest) == []
    runs = [written(tmp_path / name, job(shard, "a"), manifest=manifest) for shard, name in enumerate("ab")]
    merge(runs, tmp_path / "c")
    assert read(tmp_path / "c").manifest["config"] == manifest["config"]
    assert len(read(tmp_path / "c").items) == 2


def test_contradicting_runs_are_not_merged(tmp_path: Path) -> None:
    """Two results for one item are refused, naming the file and line of both, and nothing is written."""
    a = written(tmp_path / "a", job(0, "a"), job(1, "a"))
    b = written(tmp_path / "b", job(1, "a", value=1.0), {"kind": "failed", "key": "a", "reason": "killed"})
    for runs, destination in (([a, b], tmp_path / "c"), ([b], a)):
        before = snapshot(a)
        with pytest.raises(ResultsError, match=r"a/journal\.jsonl, line 3, and .*b/journal\.jsonl, line 2, give"):
            merge(runs, destination)
        assert snapshot(a) == before
    assert not (tmp_path / "c").exists()


def test_random_halves_merge_to_the_whole(tmp_path: Path) -> None:
    """However the items are dealt to three machines, in any order and with any overlap, their merge has each once."""
    rng = random.Random(1)  # noqa: S311  # no secret
    records = [job(shard, cell, value=shard) for shard in range(5) for cell in "xyz"]
    whole = read(written(tmp_path / "whole", *records)).items
    for trial in range(10):
        parts: list[list[Json]] = [[], [], []]
        for record in records:
            for part in rng.sample(parts, rng.randint(1, 3)):
                part.insert(rng.randint(0, len(part)), record)
        folders = [written(tmp_path / f"{trial}-{i}", *part) for i, part in enumerate(parts)]
        merge(folders, tmp_path / f"{trial}")
        run = read(tmp_path / f"{trial}")
        assert run.items == whole
        assert run.manifest == read(tmp_path / "whole").manifest


# ----------------------------------------------------------------------------------------------------- imports


def test_torch_is_not_imported() -> None:
    """Results can be read, joined and plotted where torch is not installed."""
    code = "import sys; sys.modules['torch'] = None; import estbench.store; assert 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
