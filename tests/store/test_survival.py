"""The run folder under kills, full disks and second writers: done by real processes."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from estbench.errors import ResultsError
from estbench.store import Store, find_runs, read, write_atomically
from tests.sizes import SMALL

MANIFEST = {
    "config": {
        "name": "toy",
        "seed": 0,
        "replicates": 1000,
        "samples": [1],
        "temperatures": [],
        "methods": ["monte_carlo"],
        "problems": [],
        "estimators": [],
        "level": 0.95,
        "delta": 0.01,
    },
    "seed": 0,
    "layout": {},
    "problems": [],
    "estimators": [],
    "variants": [],
    "cells": [],
    "versions": {},
    "device": "cpu",
    "dtype": "float64",
    "threads": 1,
    "cpu": "x86_64",
    "git_commit": None,
    "created": "2026-01-01T00:00:00Z",
}

BEGIN = f"""
import json, os, resource, sys, time
from pathlib import Path
from estbench.errors import ResultsError
from estbench.store import Store, encode, read
folder, rest = Path(sys.argv[1]), sys.argv[2:]
MANIFEST = json.loads({json.dumps(MANIFEST)!r})

def job(shard):  # every fifth one long enough to be torn by a kill
    moments = encode([shard] * (50_000 if shard % 5 == 4 else 10))
    return {{"kind": "job", "key": f"toy/{{shard}}", "cells": {{"a": {{"moments": moments, "seconds": 0.0}}}}}}

def work(store, shards):
    for shard in range(shards):
        if ("job", f"toy/{{shard}}", "a") not in store.items:
            store.append(job(shard))
            print(shard, flush=True)
"""

WORK = """
print("ready", flush=True)
with Store(folder, MANIFEST) as store:
    print("torn", store.torn, flush=True)
    work(store, int(rest[0]))
"""

HOLD = """
try:
    with Store(folder, MANIFEST):
        print("held", flush=True)
        sys.stdin.read()
except ResultsError as error:
    print(error, flush=True)
"""


@contextmanager
def child(code: str, folder: Path, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process that runs this code on a folder, and is gone afterwards."""
    command = [sys.executable, "-c", BEGIN + code, str(folder), *map(str, arguments)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    """What the process says first."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def rest(process: subprocess.Popen[str]) -> str:
    """All it says until its end; `communicate` would lose what `first_line` has read ahead."""
    assert process.stdout is not None
    said = process.stdout.read()
    process.wait()
    return said


def shards_of(folder: Path) -> list[int]:
    """The shards that the journal holds, in its order."""
    return [int(key.removeprefix("toy/")) for _, key, _ in read(folder).items]


def survive(folder: Path, kills: int, signals: list[signal.Signals], seed: int) -> int:
    """Kill a writer at random moments and let the next go on; returns how many torn lines were met."""
    rng = random.Random(seed)  # noqa: S311  # no secret
    promised: list[int] = []
    torn = 0
    for _ in range(kills):
        with child(WORK, folder, 10**6) as writer:
            assert first_line(writer) == "ready"
            end = time.monotonic() + rng.choice([0.003, 0.03, 0.1]) * rng.random()
            while time.monotonic() < end:
                if (folder / "manifest.json").exists():
                    assert find_runs(folder) == [folder]
                    assert shards_of(folder)[: len(promised)] == promised  # readers need no lock
            for number in signals:
                writer.send_signal(number)
            said = rest(writer).split("\n")[:-1]  # what follows the last newline was not said
            assert writer.returncode != 0
        if said:
            torn += said[0] != "torn 0"
            promised += map(int, said[1:])
        if (folder / "manifest.json").exists():
            kept = shards_of(folder)
            assert kept[: len(promised)] == promised, "what was acknowledged is there"
            assert kept == list(range(len(kept))), "nothing twice, nothing missing"
            promised = kept
    total = len(promised) + 10
    for name in (folder, folder.with_name("whole")):
        with child(WORK, name, total) as writer:
            writer.communicate()
            assert writer.returncode == 0
    assert (folder / "journal.jsonl").read_bytes() == (folder.with_name("whole") / "journal.jsonl").read_bytes()
    return torn


@pytest.mark.slow
def test_kill_and_resume(tmp_path: Path) -> None:
    """A writer killed at random moments loses nothing it has acknowledged; resumed, the journal has the same bytes."""
    survive(tmp_path / "run", kills=4, signals=[signal.SIGKILL], seed=1)


@pytest.mark.slow
def test_interrupt_twice_and_resume(tmp_path: Path) -> None:
    """Two Ctrl-C, one upon the other, are as harmless."""
    survive(tmp_path / "run", kills=3, signals=[signal.SIGINT, signal.SIGINT], seed=2)


@pytest.mark.slow
def test_many_kills(tmp_path: Path) -> None:
    """After fifty kills (ten at the small size), whatever they tore, the bytes are those of a run left alone."""
    kills = 10 if SMALL else 50
    torn = survive(tmp_path / "run", kills=kills, signals=[signal.SIGKILL], seed=3)
    print(f"{torn} of {kills} kills tore a line")  # noqa: T201  # shown with -s


def test_a_second_writer_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    """The folder belongs to one process; readers may read; a kill lets go of it at once, and leaves no lock behind."""
    folder = tmp_path / "run"
    with child(HOLD, folder) as holder:
        assert first_line(holder) == "held"
        begin = time.monotonic()
        for fresh in (False, True):
            with pytest.raises(ResultsError, match=r"another process is writing to this run.*-o"):
                Store(folder, MANIFEST, fresh=fresh)
        assert time.monotonic() - begin < 5  # it does not wait
        assert read(folder).items == {}
        holder.kill()
        holder.wait()
        Store(folder, MANIFEST).close()
    assert {path.name for path in folder.iterdir()} == {"manifest.json", "journal.jsonl"}


def test_of_many_that_begin_at_once_one_wins(tmp_path: Path) -> None:
    """Three processes that begin one new run at the same time: one has it, two are told so."""
    with ExitStack() as stack:
        writers = [stack.enter_context(child(HOLD, tmp_path)) for _ in range(3)]
        said = sorted(map(first_line, writers))
    assert said[-1] == "held"
    assert all("another process is writing" in line for line in said[:-1])


LIMITED = """
resource.setrlimit(resource.RLIMIT_FSIZE, (int(rest[0]), resource.RLIM_INFINITY))
try:
    with Store(folder, MANIFEST) as store:
        try:
            work(store, 10**6)
        finally:
            store.append({"kind": "failed", "key": "a", "reason": "disk full"})  # a short one still fits
except ResultsError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_full_disk_keeps_what_was_written(tmp_path: Path) -> None:
    """When the file cannot grow, the message says so and what to do, all acknowledged is there, and the run goes on."""
    folder = tmp_path / "run"
    with child(LIMITED, folder, 300_000) as writer:
        *said, message = writer.communicate()[0].splitlines()
        assert writer.returncode == 0
    assert f"{folder}/journal.jsonl: cannot write to the journal: File too large. Make room" in message
    assert message.endswith(" 4 results are saved.")
    run = read(folder)
    assert run.journal.torn == 0
    assert run.items.pop(("failed", "a", "")) == {"reason": "disk full"}
    assert [int(shard) for shard in said] == [int(key.removeprefix("toy/")) for _, key, _ in run.items] == [0, 1, 2, 3]
    with child(WORK, folder, 6) as writer:
        writer.communicate()
        assert writer.returncode == 0
    assert {("job", f"toy/{shard}", "a") for shard in range(6)} < read(folder).items.keys()


def test_a_disk_that_was_full_from_the_start(tmp_path: Path) -> None:
    """When not even the manifest fits, it is named, no half of it stays, and the folder serves when there is room."""
    folder = tmp_path / "run"
    with child(LIMITED, folder, 100) as writer:
        message = writer.communicate()[0]
    assert f"{folder}/manifest.json: cannot write this file: File too large" in message
    assert not folder.exists()
    Store(folder, MANIFEST).close()


UNWRITABLE = """
if os.geteuid() == 0:
    os.seteuid(65534)  # root may write anywhere
for place in (folder / "new", folder / "run"):
    try:
        Store(place, MANIFEST)
    except ResultsError as error:
        print(error)
read(folder / "run")
"""


def test_places_without_the_right_to_write(tmp_path: Path) -> None:
    """In a folder of someone else nothing is begun and nothing goes on, but what is there is read."""
    del tmp_path  # which others may not enter
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Store(folder / "run", MANIFEST).close()
        for path in (folder / "run" / "journal.jsonl", folder / "run", folder):
            path.chmod(0o555)
        try:
            with child(UNWRITABLE, folder) as writer:
                new, run = writer.communicate()[0].splitlines()
                assert writer.returncode == 0
        finally:
            folder.chmod(0o755)
            (folder / "run").chmod(0o755)
    assert new.startswith(f"{folder}/new: cannot make this folder: Permission denied. ")
    assert run.startswith(f"{folder}/run/journal.jsonl: cannot open the journal: Permission denied. ")
    assert new.endswith("choose another folder (-o).")


REPLACE = """
from estbench.store import write_atomically
print("ready", flush=True)
while True:
    for letter in "ab":
        write_atomically(folder, letter * 1_000_000)
"""


@pytest.mark.slow
def test_a_file_is_old_or_new_never_half(tmp_path: Path) -> None:
    """While a file is replaced again and again, and when its writer is killed, readers find it whole."""
    path = tmp_path / "results.csv"
    write_atomically(path, "a" * 1_000_000)
    with child(REPLACE, path) as writer:
        assert first_line(writer) == "ready"
        seen = {path.read_text() for _ in range(50)}
        writer.kill()
        writer.wait()
    seen.add(path.read_text())
    assert seen <= {"a" * 1_000_000, "b" * 1_000_000}
