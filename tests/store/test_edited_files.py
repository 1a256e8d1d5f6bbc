"""Manifests and journals with valid checksums and any content: one message, never a traceback."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from estbench.engine.benchmark import Benchmark
from estbench.errors import ResultsError, UsageError
from estbench.store import merge
from estbench.store.manifest import written
from estbench.store.records import canonical, checksum, line
from estbench.summary import read_results
from estbench.summary.table import details, results

CONFIG: dict[str, Any] = {
    "name": "edited",
    "replicates": 64,
    "samples": [1, 2],
    "temperatures": [0.5],
    "problems": [{"objective": "quadratic", "distribution": "bernoulli", "logits": [1]}],
    "estimators": ["reinforce", "gumbel", "rebar"],
}

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "inf", "AAAA", "AAAAAAAA8D8=", "exact", "\x1b[31m", "0", -1, 0, 2**53, 1e308]),
    st.lists(st.integers(0, 3), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(0, 3), max_size=2),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, list[Any]]:
    """A folder for edited runs, and the manifest and the lines of a finished one."""
    folder = tmp_path_factory.mktemp("edits")
    for _ in Benchmark.of(CONFIG, folder / "run").run():
        pass
    manifest = json.loads((folder / "run" / "manifest.json").read_text())
    del manifest["crc32"]
    lines = (folder / "run" / "journal.jsonl").read_text().splitlines()
    return folder, manifest, [json.loads(each)["records"] for each in lines]


def places(data: Any, *above: Any) -> Iterator[tuple[Any, ...]]:
    """Where each value of nested JSON is."""
    for key in data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ():
        yield (*above, key)
        yield from places(data[key], *above, key)


def edited(data: st.DataObject, content: Any) -> Any:
    """The content with one value deleted, or replaced by any other."""
    content = copy.deepcopy(content)
    *above, last = data.draw(st.sampled_from(list(places(content))))
    inner = content
    for key in above:
        inner = inner[key]
    if data.draw(st.integers(0, 4)) == 0:
        del inner[last]
    else:
        inner[last] = data.draw(VALUES)
    return content


@given(data=st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_edit_with_a_valid_checksum_is_one_message(run: tuple[Path, Any, list[Any]], data: st.DataObject) -> None:
    """Reading, exporting, merging and going on give results, or one ResultsError or UsageError."""
    folder, manifest, lines = run
    target = folder / "edited"
    target.mkdir(exist_ok=True)
    if data.draw(st.booleans()):
        manifest = edited(data, manifest)
    else:
        lines = edited(data, lines)
    (target / "manifest.json").write_text(written(manifest | {"crc32": checksum(canonical(manifest))}))
    (target / "journal.jsonl").write_bytes(b"".join(line(canonical(each)) for each in lines))
    for use in (_read, _merge, _go_on):
        try:
            use(target)
        except (ResultsError, UsageError) as error:
            assert str(error)  # noqa: PT017 - either outcome is right


def _read(folder: Path) -> None:
    found = read_results(folder)
    results(found.plan, found.items)
    details(found.plan, found.items)


def _merge(folder: Path) -> None:
    merge([folder, folder], folder.with_name("merged"))


def _go_on(folder: Path) -> None:
    for _ in Benchmark.of(CONFIG, folder).run():
        pass
