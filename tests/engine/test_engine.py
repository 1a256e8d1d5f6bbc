"""The engine: what is run, that it repeats, and that it agrees with the exact values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from estbench.columns import names as columns
from estbench.engine.benchmark import Benchmark
from estbench.engine.executors import Execution
from estbench.engine.run import Failure, Progress
from estbench.errors import EstbenchError
from estbench.store import read
from tests.sizes import slow, thinned

CONFIG: dict[str, Any] = {
    "name": "small",
    "seed": 5,
    "replicates": 1000,
    "samples": [1, 2, 3, 8],
    "temperatures": [0.3, 1.0],
    "problems": [
        {"objective": {"name": "quadratic", "target": 0.3}, "distribution": "bernoulli", "logits": [0.6]},
        {"objective": "mlp", "distribution": "bernoulli", "logits": [0.6, -0.4, 1.1]},
        {"objective": "sine", "distribution": "categorical", "logits": [[0.2, -0.5, 0.4], [0.0, 0.3, -0.8]]},
    ],
    "estimators": ["reinforce", "rloo", "ste", "gumbel", "gumbel_st", "reinforce[baseline=moving_average]"],
}


def done(benchmark: Benchmark, **options: Any) -> pd.DataFrame:
    """Run to the end and return the results."""
    for event in benchmark.run(**options):
        assert isinstance(event, Progress), event
    return benchmark.results()


def csv(frame: pd.DataFrame) -> str:
    """The results as they are written."""
    return str(frame.to_csv(index=False))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """A run folder, and its results."""
    folder = tmp_path_factory.mktemp("engine") / "run"
    return folder, done(Benchmark.of(CONFIG, folder))


def test_results_have_the_columns_and_a_row_for_each_cell(finished: tuple[Path, pd.DataFrame]) -> None:
    """results.csv has the promised columns in order, and one row for every cell, skipped ones with a reason."""
    folder, frame = finished
    assert list(frame.columns) == columns()
    assert list(pd.read_csv(folder / "results.csv").columns) == columns()
    assert len(frame) == 3 * 4 * 2 * (1 + 1 + 1 + 2 + 2 + 1)
    assert frame.loc[frame["status"] == "skipped", "reason"].str.len().gt(0).all()
    assert not (frame["status"] == "failed").any()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [11])
def test_monte_carlo_agrees_with_exact(tmp_path: Path, seed: int) -> None:
    """Exact values lie inside the reported 95 % intervals as often as they should.

    170-odd intervals and more, of cells that share draws, fitted ones among them (both methods measure what the fit
    froze); were they independent, fewer than 85 % inside would have a probability below 1e-6, and a procedure that
    covered 75 % would be caught with 99 %.
    """
    config = {**CONFIG, "replicates": 4000, "seed": seed, "estimators": [*CONFIG["estimators"], "nvil", "double_cv"]}
    frame = done(Benchmark.of(config, tmp_path / "run"))
    keys = ["problem", "label", "temperature", "samples"]
    exact, sampled = (frame[frame["method"] == m] for m in ("exact", "monte_carlo"))
    both = exact.merge(sampled, on=keys, suffixes=("_exact", ""))
    inside = []
    for metric in ("variance", "mse", "bias_squared", "cosine"):
        known = both[both["status"].eq("ok") & both["status_exact"].eq("ok") & both[f"{metric}_exact"].notna()]
        slack = 1e-12 + 1e-9 * known[f"{metric}_exact"].abs()
        low, high = known[f"{metric}_low"] - slack, known[f"{metric}_high"] + slack
        inside += list((known[f"{metric}_exact"] >= low) & (known[f"{metric}_exact"] <= high))
    assert len(inside) > 150
    assert np.mean(inside) >= 0.85
    assert binom.cdf(0.85 * 172, 172, 0.95) < 1e-6


def test_workers_do_not_change_a_byte(finished: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    """Two processes give the bytes that one gives."""
    frame = done(Benchmark.of(CONFIG, tmp_path / "run"), where=Execution(workers=2))
    assert csv(frame) == csv(finished[1])


@pytest.mark.parametrize("stop_after", thinned(3, [7, 1, 20]))
def test_a_resumed_run_gives_the_same_bytes(
    finished: tuple[Path, pd.DataFrame], tmp_path: Path, stop_after: int
) -> None:
    """A run that was stopped anywhere goes on, computes nothing twice, and ends with the same bytes."""
    events: Iterator[Any] = Benchmark.of(CONFIG, tmp_path / "run").run()
    for _ in range(stop_after):
        next(events)
    events.close()  # type: ignore[attr-defined] # a generator
    before = (tmp_path / "run" / "journal.jsonl").read_bytes()
    frame = done(Benchmark.of(CONFIG, tmp_path / "run"))
    after = (tmp_path / "run" / "journal.jsonl").read_bytes()
    assert after.startswith(before)
    assert len(after.splitlines()) == len((finished[0] / "journal.jsonl").read_bytes().splitlines())
    assert csv(frame) == csv(finished[1])


def test_a_finished_run_is_not_touched(finished: tuple[Path, pd.DataFrame]) -> None:
    """Running a finished benchmark again does nothing but say so."""
    folder = finished[0]
    before = (folder / "journal.jsonl").read_bytes()
    assert all(event.total == 0 for event in Benchmark.of(CONFIG, folder).run() if isinstance(event, Progress))
    assert (folder / "journal.jsonl").read_bytes() == before


def test_estimators_added_later_get_the_same_bits(finished: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    """Cells of an estimator that was added to a run are the same as if it had been there from the start."""
    few = {**CONFIG, "estimators": CONFIG["estimators"][:2]}
    done(Benchmark.of(few, tmp_path / "run"))
    frame = done(Benchmark.of(CONFIG, tmp_path / "run"))
    assert csv(frame) == csv(finished[1])


def test_replicates_can_be_added(tmp_path: Path) -> None:
    """A run can be given more replicates: the first shards stay, more are computed, and the intervals shrink."""
    few = done(Benchmark.of({**CONFIG, "estimators": ["reinforce"]}, tmp_path / "run"))
    journal = (tmp_path / "run" / "journal.jsonl").read_bytes()
    more = done(Benchmark.of({**CONFIG, "estimators": ["reinforce"], "replicates": 6500}, tmp_path / "run"))
    assert (tmp_path / "run" / "journal.jsonl").read_bytes().startswith(journal)
    sampled = more["method"] == "monte_carlo"
    assert (more.loc[sampled, "replicates"] == 6500).all()
    width = [(f["variance_high"] - f["variance_low"])[sampled].to_numpy() for f in (few, more)]
    assert (width[1] < 0.7 * width[0]).mean() > 0.8


def test_seeds_differ(finished: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    """Another seed gives other draws."""
    frame = done(Benchmark.of({**CONFIG, "seed": 6, "estimators": ["reinforce"]}, tmp_path / "run"))
    sampled = frame[frame["method"] == "monte_carlo"]["variance"].to_numpy()
    before = finished[1].query("method == 'monte_carlo' and label == 'reinforce'")["variance"].to_numpy()
    assert not np.isclose(sampled, before, rtol=1e-9).any()


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("raise", "ZeroDivisionError: division by zero"),
        ("shape", "returned shape"),
        slow(("dtype", "returned torch.float32")),
        ("nan", "every estimate is NaN or infinite"),
        slow(("list", "returned a list")),
    ],
)
def test_a_broken_estimator_fails_alone(how: str, reason: str, tmp_path: Path) -> None:
    """An estimator that raises, or returns the wrong thing, fails with its reason; the others finish."""
    plugin = {"name": "tests.engine.broken:Broken", "how": how}
    benchmark = Benchmark.of({**CONFIG, "estimators": ["reinforce", plugin]}, tmp_path / "run")
    failures = [event for event in benchmark.run() if isinstance(event, Failure)]
    frame = benchmark.results()
    broken = frame[(frame["estimator"] != "reinforce") & (frame["method"] == "monte_carlo")]
    assert len(broken) == 12
    assert (broken["status"] == "failed").all()
    assert broken["reason"].str.contains(reason, regex=False).all()
    assert (frame[frame["estimator"] == "reinforce"]["status"] != "failed").all()
    assert bool(failures) == (how != "nan")


def test_exact_moments_of_nothing_but_nan_fail_alone(tmp_path: Path) -> None:
    """An estimator that is NaN for every state fails by either method, and the run can still be read."""
    plugin = {"name": "tests.engine.broken:Broken", "how": "nan", "exact": "z"}
    frame = done(Benchmark.of({**CONFIG, "estimators": ["reinforce", plugin]}, tmp_path / "run"))
    broken = frame[frame["estimator"] != "reinforce"]
    assert set(broken["method"]) == {"exact", "monte_carlo"}
    assert set(broken.loc[broken["status"] == "failed", "reason"]) == {"every estimate is NaN or infinite"}
    assert not (broken["status"] == "ok").any()


def test_stop_on_error(tmp_path: Path) -> None:
    """`--on-error stop` raises at the first failure, and what was done is kept."""
    plugin = {"name": "tests.engine.broken:Broken"}
    benchmark = Benchmark.of({**CONFIG, "estimators": ["reinforce", plugin]}, tmp_path / "run")
    with pytest.raises(EstbenchError, match="division by zero"):
        list(benchmark.run(stop=True))
    assert read(tmp_path / "run").items
