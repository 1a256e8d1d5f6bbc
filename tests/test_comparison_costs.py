"""What a comparison does with costs, ties and cells that are not finished."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from estbench.comparison import Entry, compared, entries, selected, sentence
from estbench.engine.benchmark import Benchmark
from estbench.expand import expand
from estbench.intervals import variance
from estbench.summary import Results, read_results
from estbench.summary.table import results

CONFIG: dict[str, Any] = {
    "name": "costs",
    "replicates": 512,
    "samples": [1, 2],
    "methods": ["monte_carlo"],
    "problems": [{"objective": "mlp", "distribution": "bernoulli", "logits": [0.5, -1.0, 1.5]}],
    "estimators": ["reinforce", "arm", "rebar"],
}


def comparison(pool: Sequence[Entry], **options: Any) -> pd.DataFrame:
    """The rows of a comparison."""
    return compared(pool, **options).frame


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A run in blocks so small that it takes several jobs."""
    benchmark = Benchmark.of(CONFIG, tmp_path_factory.mktemp("costs") / "run")
    benchmark = replace(benchmark, plan=expand(benchmark.config, block=512))
    for _ in benchmark.run():
        pass
    return read_results(benchmark.folder)


@pytest.fixture(scope="module")
def pool(run: Results) -> list[Entry]:
    """Its cells, each with as many seconds as it has evaluations, times 0.3."""
    found = entries([run])
    return [replace(e, row=e.row | {"seconds_per_estimate": 0.3 * (e.f + e.df)}) for e in found]


@pytest.mark.parametrize("reference", ["reinforce", "arm", "rebar"])
@pytest.mark.parametrize(("at", "unit"), [("evaluations", 1.0), ("seconds", 0.3)])
def test_the_cost_of_the_reference_counts(pool: list[Entry], reference: str, at: Any, unit: float) -> None:
    """The ratio is cost × variance over the reference's cost × variance, whatever an estimate of the reference costs.

    The reference against itself is 1, and its own cost is 2 or more at N = 2, or by ARM and REBAR.
    """
    frame = comparison(pool, reference=reference, metric="variance", at=(at,))
    assert len(frame) == len(pool)
    spent = {(e.name, e.cell.samples): unit * (e.f + e.df) for e in pool}
    v = {(e.name, e.cell.samples): variance(e.shards) for e in pool}
    assert max(spent[reference, N] for N in CONFIG["samples"]) > unit
    for row in frame.to_dict("records"):
        own, rival = (row["name"], row["samples"]), (reference, row["samples"])
        expected = spent[own] * v[own].value / (spent[rival] * v[rival].value)
        assert row["ratio"] == pytest.approx(expected, rel=1e-12), own
        assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]


def test_the_interval_of_a_value_is_multiplied_by_its_cost(pool: list[Entry]) -> None:
    """At equal evaluations a value and both ends of its interval are those of the variance times the cost."""
    rows = {(row["name"], row["samples"]): row for row in comparison(pool, metric="work").to_dict("records")}
    for entry in pool:
        v, cost = variance(entry.shards), entry.f + entry.df
        row = rows[entry.name, entry.cell.samples]
        assert [row["value"], row["value_low"], row["value_high"]] == [cost * x for x in v]
    assert len({entry.f + entry.df for entry in pool}) > 2


def test_ties_share_the_better_rank(pool: list[Entry]) -> None:
    """Two that tie are both first, and the next one is third; two that tie for the second place are both second."""
    alone = [entry for entry in pool if entry.cell.samples == 1]
    least, _, most = sorted(alone, key=lambda entry: variance(entry.shards).value)
    for twin, ranks in ((least, [1, 1, 3]), (most, [1, 2, 2])):
        frame = comparison([least, most, replace(twin, name="twin")], metric="variance")
        assert list(frame["rank"]) == ranks
        tied = frame[frame["name"].isin(["twin", twin.name])]
        assert tied["rank"].nunique() == 1


def test_values_that_differ_by_rounding_tie(pool: list[Entry]) -> None:
    """Ranks and the sentence take values within 1e-9 for one: both are first, in the one ranking there is."""
    entry = next(entry for entry in pool if entry.cell.samples == 1)
    sums = entry.shards
    near = replace(entry, name="twin", shards=replace(sums, v=sums.v * (1 + 1e-13)))
    far = replace(entry, name="other", shards=replace(sums, v=sums.v * (1 + 1e-7)))
    frame = comparison([near, entry, far], metric="variance")
    assert dict(zip(frame["name"], frame["rank"], strict=True)) == {entry.name: 1, "twin": 1, "other": 3}
    assert sentence(frame) == f"Smallest variance: {entry.name} = twin in 1 of 1 ranking."


def test_one_ranking_is_counted_once(pool: list[Entry]) -> None:
    """Where all cost the same, equal evaluations rank as equal samples do, and there is one ranking for each N."""
    same = [entry for entry in pool if entry.name == "reinforce"]
    both = [*same, *(replace(entry, name="twin") for entry in same)]
    for metric in ("mse", "variance"):
        frame = comparison(both, metric=metric, at=("samples", "evaluations"))
        assert frame["basis"].nunique() == len(CONFIG["samples"])
        assert sentence(frame).endswith(" in 2 of 2 rankings.")


def test_cells_without_all_their_shards_are_not_compared(run: Results, tmp_path: Path) -> None:
    """Where a run stopped part way, a cell that lacks its last job has no entry and no row; the others have theirs."""
    layout, spec = run.plan.layouts[0], run.plan.problems[0]
    jobs = list(layout.jobs())
    assert len(jobs) > 1
    cut = next(cell for cell in run.plan.cells if cell.estimator.name == "arm" and cell.samples == 2)
    last = ("job", f"{spec.id}/{jobs[-1][0]}", cut.key)
    part = Results(tmp_path, run.manifest, run.plan, {item: x for item, x in run.items.items() if item != last})
    assert len(part.items) == len(run.items) - 1
    found = {(e.name, e.cell.samples) for e in entries([part])}
    assert found == {(e.name, e.cell.samples) for e in entries([run])} - {("arm", 2)}
    rows = results(part.plan, part.items)
    assert set(zip(rows["label"], rows["samples"], strict=True)) == found
    frame = comparison(entries([part]), reference="reinforce", metric="variance")
    assert set(zip(frame["name"], frame["samples"], strict=True)) == found
    assert np.isfinite(frame["ratio"]).all()
    assert [e.cell.samples for e in selected(entries([part]), ["arm"])] == [1]
