"""Comparison of estimators: paired, ranked, adjusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy.stats import binom
from typer.testing import CliRunner

from estbench.cli.app import app
from estbench.comparison import COLUMNS, NO_INTERVAL, Entry, compared, entries, selected, sentence
from estbench.engine.benchmark import Benchmark
from estbench.errors import ResultsError, UsageError
from estbench.intervals import ratio
from estbench.overall import overall
from estbench.suite import N, run_suite
from estbench.summary import read_results
from estbench.tables.ranking import ranking

CONFIG: dict[str, Any] = {
    "name": "compared",
    "replicates": 2000,
    "samples": [1, 2, 4],
    "temperatures": [0.5, 1.0],
    "methods": ["monte_carlo"],
    "timings": True,
    "problems": [{"objective": "mlp", "distribution": "bernoulli", "logits": [0.5, -1.0, 1.5]}],
    "estimators": ["reinforce", "ste", "arm", "gumbel", "rloo", {"name": "zgr"}, {"name": "darn"}],
}


def comparison(pool: Sequence[Entry], **options: Any) -> pd.DataFrame:
    """The rows of a comparison."""
    return compared(pool, **options).frame


def pool_of(folder: Path, **changes: Any) -> list[Entry]:
    """The cells of a run."""
    benchmark = Benchmark.of({**CONFIG, **changes}, folder)
    for _ in benchmark.run():
        pass
    return entries([read_results(folder)])


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    """The cells of the run above."""
    return pool_of(tmp_path_factory.mktemp("compare") / "compared")


def test_ratios_are_those_of_the_values(pool: list[Entry]) -> None:
    """At equal samples every row's ratio is its value over the reference's, and rows are ranked by value."""
    frame = comparison(pool, reference="ste", metric="variance")
    assert list(frame.columns) == COLUMNS
    for _, part in frame.groupby("basis"):
        ste = part.loc[part["name"] == "ste", "value"].item()
        np.testing.assert_allclose(part["ratio"], part["value"] / ste, rtol=1e-12)
        assert part["value"].is_monotonic_increasing
        assert part["rank"].iloc[0] == 1
    assert (frame.loc[frame["name"] == "ste", "verdict"] == "").all()


def test_runs_of_several_levels_are_compared_at_that_of_the_first(tmp_path: Path) -> None:
    """The table names one level, and every interval is at it, whatever the level of the run that a row is of."""
    small = {"replicates": 256, "samples": [1], "estimators": ["reinforce", "ste"]}
    runs = []
    for level in (0.95, 0.8):
        pool_of(tmp_path / str(level), level=level, **small)
        runs.append(read_results(tmp_path / str(level)))
    for first, second in (runs, runs[::-1]):
        frame = comparison(entries([first, second]), metric="variance")
        widths = {run: own["value_high"].tolist() for run, own in frame.groupby("run")}
        assert widths[str(first.folder)] == widths[str(second.folder)]  # of one seed, so of the same draws
        alone = comparison(entries([first]), metric="variance")
        assert alone["value_high"].tolist() == widths[str(first.folder)]


def test_identical_estimators_are_found_identical(pool: list[Entry]) -> None:
    """darn and zgr are one method for Bernoulli variables: bitwise or to rounding, never better or worse."""
    frame = comparison(pool, reference="zgr", metric="variance")
    verdicts = set(frame.loc[frame["name"] == "darn", "verdict"])
    assert verdicts <= {"identical", "equivalent"}


def test_equal_evaluations(pool: list[Entry]) -> None:
    """At equal evaluations a variance counts times its cost: ARM, at 2 f a sample, against REINFORCE at 1."""
    same, equal = (
        comparison(pool, reference="reinforce", metric="variance", at=(at,)) for at in ("samples", "evaluations")
    )
    ratio = [f.loc[(f["name"] == "arm") & (f["samples"] == 1), "ratio"].item() for f in (same, equal)]
    assert ratio[1] == pytest.approx(2 * ratio[0])
    work = comparison(pool, reference="reinforce", metric="work")
    pd.testing.assert_series_equal(work["ratio"], equal["ratio"])


def test_mse_is_compared_where_costs_are_equal(pool: list[Entry]) -> None:
    """At equal evaluations an MSE of ARM at N = 2 stands beside REINFORCE at N = 4, and other N are left out."""
    frame = comparison(pool, reference="reinforce", metric="mse", at=("evaluations",))
    arm = frame[frame["name"] == "arm"]
    assert set(arm["samples"]) == {1, 2}
    assert set(arm["basis"]) == {"equal evaluations, 2 each", "equal evaluations, 4 each"}


def test_temperatures_find_their_partner(pool: list[Entry]) -> None:
    """A reference with temperatures is met at the same one, and else at its middle one."""
    frame = comparison(pool, reference="gumbel", metric="variance")
    own = frame[frame["name"] == "gumbel"]
    np.testing.assert_allclose(own["ratio"], 1.0)
    one = frame[(frame["samples"] == 1) & (frame["name"] == "ste")]
    at_half = frame[(frame["samples"] == 1) & (frame["name"] == "gumbel") & (frame["temperature"] == 0.5)]
    assert one["ratio"].item() == pytest.approx(one["value"].item() / at_half["value"].item())


def test_p_values_are_adjusted_over_all_rows(pool: list[Entry]) -> None:
    """Holm's p is at least the raw one, `none` is the raw one, and the reference has none."""
    holm, raw = (comparison(pool, reference="ste", metric="variance", correction=c) for c in ("holm", "none"))
    tested = holm["p_value"].notna()
    assert (holm.loc[tested, "p_adjusted"] >= holm.loc[tested, "p_value"]).all()
    pd.testing.assert_series_equal(raw["p_adjusted"], raw["p_value"], check_names=False)
    assert holm.loc[holm["name"] == "ste", "p_value"].isna().all()


@pytest.mark.slow
def test_a_against_a_is_quiet(tmp_path: Path) -> None:
    """One method on independent draws is called different at 5 % as often as it should, over 120 comparisons.

    More than 15 of 120 has probability 1e-3 at 5 %; a test that rejected at 15 % would be caught with 70 %.
    """
    rejected = 0
    for pair in range(6):
        runs = []
        for side in range(2):
            folder = tmp_path / f"{pair}{side}"
            problems = [
                {"objective": "mlp", "distribution": "bernoulli", "logits": [0.1 * i, -0.7, 0.4]} for i in range(20)
            ]
            config = {**CONFIG, "timings": False, "seed": 2 * pair + side, "samples": [1], "problems": problems}
            benchmark = Benchmark.of({**config, "estimators": ["reinforce"], "replicates": 1000}, folder)
            for _ in benchmark.run():
                pass
            runs.append(read_results(folder))
        frame = comparison(entries(runs), metric="variance", correction="none")
        rejected += int((frame["p_value"] < 0.05).sum())
    assert binom.sf(15, 120, 0.05) < 2e-3
    assert rejected <= 15


def test_mixing_is_refused(pool: list[Entry], tmp_path: Path) -> None:
    """Runs of other versions are not compared unless told so."""
    run = pool[0].run
    other = type(run)(tmp_path, {**run.manifest, "versions": {"torch": "0"}}, run.plan, run.items)
    with pytest.raises(ResultsError, match="differ in versions"):
        entries([run, other])
    assert len(entries([run, other], mixed=True)) == 2 * len(pool)


def test_unknown_names_are_refused(pool: list[Entry]) -> None:
    """A reference or an estimator that no cell has is named, with those there are."""
    with pytest.raises(UsageError, match=r"--reference: no finished cell is of 'nobody'\. There are reinforce"):
        comparison(pool, reference="nobody")
    with pytest.raises(UsageError, match="--estimators: no finished cell is of 'nobody'"):
        selected(pool, ["nobody"])
    with pytest.raises(ResultsError, match="nothing to compare"):
        comparison([])


def test_one_ranking_where_all_is_equal(pool: list[Entry]) -> None:
    """Where equal samples are equal evaluations too there is one ranking, not counted twice when p is adjusted."""
    alike = [entry for entry in selected(pool, ["reinforce", "ste", "gumbel"]) if entry.cell.samples == 2]
    both = comparison(alike, at=("samples", "evaluations"))
    assert set(both["basis"]) == {"equal samples, N = 2, and evaluations, 2 each"}
    pd.testing.assert_frame_equal(both.drop(columns="basis"), comparison(alike).drop(columns="basis"))
    dearer = comparison([*alike, *selected(pool, ["arm"])], at=("samples", "evaluations"))
    assert dearer["basis"].nunique() > 1


def test_bias_verdicts_are_those_of_the_run(pool: list[Entry]) -> None:
    """Verdicts on bias and claims are those of results.csv, whatever is shown beside them and however p is adjusted."""
    saved = pd.read_csv(pool[0].run.folder / "results.csv").rename(columns={"label": "name"})
    for shown in (pool, selected(pool, ["reinforce", "rloo"]), selected(pool, ["rloo"])):
        for correction in ("holm", "none"):
            frame = comparison(shown, metric="variance", correction=correction)
            both = frame.merge(saved, on=["name", "temperature", "samples"], suffixes=("", "_saved"))
            assert len(both) == len(frame)
            assert both["bias_verdict"].equals(both["bias_verdict_saved"])
            assert both["declared_unbiased"].tolist() == both["declared_unbiased_saved"].tolist()
    assert set(saved["declared_unbiased"].dropna()) == {False, True}


def test_a_reference_at_one_temperature(pool: list[Entry]) -> None:
    """`gumbel[temperature=1]` is one cell of each N: its other temperatures stand against it, and each row says so."""
    frame = comparison(pool, reference="gumbel[temperature=1]", metric="variance")
    assert set(frame["reference_temperature"]) == {1.0}
    assert set(frame.loc[frame["verdict"] == "", "temperature"]) == {1.0}
    other = frame[(frame["name"] == "gumbel") & (frame["temperature"] == 0.5)]
    assert (other["ratio"] > 1).all()
    every = comparison(pool, reference="gumbel", metric="variance")
    assert set(every["reference_temperature"]) == {0.5, 1.0}
    texts = [Console(width=120, file=StringIO()) for _ in range(2)]
    for console, found in zip(texts, (frame, every), strict=True):
        console.print(ranking(found, "gumbel", 0.95))
    one, several = (console.file.getvalue() for console in texts)  # type: ignore[attr-defined] # they are texts
    assert "over that of gumbel at τ = 1 on the same draws" in one
    assert "τ of ref." in several
    assert "τ of ref." not in one
    with pytest.raises(UsageError, match="no finished cell is of 'gumbel"):
        selected(pool, ["gumbel[temperature=0.7]"])
    assert {entry.name for entry in selected(pool, ["gumbel_softmax[temperature=0.5]"])} == {"gumbel"}


def test_options_select(tmp_path: Path) -> None:
    """A selector takes the cells that have all its options, an alias those that it implies, whatever their label."""
    named = [{"name": "reinforce", "baseline": "optimal", "label": "best"}, "reinforce"]
    pool = pool_of(tmp_path / "run", estimators=named, samples=[1])
    assert [entry.name for entry in selected(pool, ["reinforce[baseline=optimal]"])] == ["best"]
    assert [entry.name for entry in selected(pool, ["bengio_centred"])] == ["best"]
    assert [entry.name for entry in selected(pool, ["best", "reinforce"])] == ["best", "reinforce"]
    with pytest.raises(UsageError, match="no finished cell"):
        selected(pool, ["reinforce[baseline=mean]"])


def test_what_is_always_zero_is_named_and_never_better(tmp_path: Path) -> None:
    """Clipped at φ = 1, straight-through gives 0: the smallest variance, no rank, and no praise, reference or not."""
    problem = {"objective": "quadratic", "distribution": "bernoulli", "logits": 1.0}
    zero = "ste[proxy=clipped_relu]"
    pool = pool_of(tmp_path / "run", problems=[problem], estimators=["reinforce", zero], samples=[1])
    for reference in ("reinforce", zero):
        for metric in ("variance", "mse"):
            frame = comparison(pool, reference=reference, metric=metric).set_index("name")
            assert frame.loc[zero, "verdict"] == "always zero"
            assert frame["rank"].isna()[zero]
            assert frame.loc["reinforce", "rank"] == 1
            assert zero not in sentence(frame.reset_index())
    said = CliRunner().invoke(app, ["compare", str(pool[0].run.folder), "--reference", zero])
    assert said.exit_code == 0
    assert "always zero: every estimate was 0" in said.stdout


def test_a_variance_of_rounding_is_nothing(tmp_path: Path) -> None:
    """With its best baseline REINFORCE at one variable never varies: MSE and variance are 0, and it is unbiased."""
    problem = {"objective": "quadratic", "distribution": "bernoulli", "logits": 1.0}
    pool = pool_of(tmp_path / "run", problems=[problem], estimators=["bengio_centred", "ste"], samples=[1])
    for metric in ("variance", "mse"):
        row = comparison(pool, reference="ste", metric=metric).iloc[0]
        assert (row["name"], row["value"], row["value_high"]) == ("reinforce[baseline=optimal]", 0, 0)
        assert row["bias_verdict"] == "unbiased"


EXACT = {
    "methods": ["exact", "monte_carlo"],
    "replicates": 500,
    "samples": [2],
    "problems": [{"objective": "quadratic", "distribution": "bernoulli", "logits": [0.5]}],
    "estimators": ["reinforce", "rloo", "reinforce[baseline=optimal]"],
}


def test_exact_rows_decide_without_error(tmp_path: Path) -> None:
    """Of (z − t)², p: v = pq(f₁q + f₀p)²/2, pq Δ²(1 − 2pq)/2 of rloo, and 0 with the optimal baseline: no intervals."""
    frame = comparison(pool_of(tmp_path / "exact", **EXACT)).set_index("name")
    p, f0, f1 = 1 / (1 + np.exp(-0.5)), 0.45**2, 0.55**2
    q = 1 - p
    values = np.array([0, p * q * (f1 - f0) ** 2 * (1 - 2 * p * q) / 2, p * q * (f1 * q + f0 * p) ** 2 / 2])
    for name in ("value", "value_low", "value_high"):
        np.testing.assert_allclose(frame[name], values, rtol=1e-12)
    for name in ("ratio", "ratio_low", "ratio_high"):
        np.testing.assert_allclose(frame[name], values / values[-1], rtol=1e-12)
    assert list(frame["verdict"]) == ["better", "better", ""]
    assert set(frame["bias_verdict"]) == {"unbiased"}
    assert set(frame["flags"]) == {""}


@pytest.mark.parametrize("metric", ["mse", "variance", "work"])
def test_beside_what_is_exactly_zero_all_else_is_worse(tmp_path: Path, metric: Any) -> None:
    """Also what has no exact row, if its draws vary; without the exact row 0 is what was seen, and decides nothing."""
    pool = pool_of(tmp_path / "exact", **EXACT)
    reference = "reinforce[baseline=optimal]"
    sampled = [replace(entry, exactly=entry.exactly if entry.name == reference else None) for entry in pool]
    seen = [replace(entry, exactly=None) for entry in pool]
    for those, verdicts in ((pool, {"worse", ""}), (sampled, {"worse", ""}), (seen, {"inconclusive", ""})):
        frame = comparison(those, reference=reference, metric=metric)
        assert set(frame["verdict"]) == verdicts
        assert (frame.loc[frame["name"] != reference, "ratio"] == np.inf).all()


def test_a_folder_whose_name_is_no_text(tmp_path: Path) -> None:
    """Half a character in the name of a run folder, as of a name that is not UTF-8, is an escape in the columns."""
    pool = pool_of(tmp_path / "exact", **EXACT)
    odd = [replace(entry, run=replace(entry.run, folder=Path("f\x1b\udcff"))) for entry in pool]
    assert set(comparison(odd)["run"]) == {r"f\x1b\udcff"}


def test_exact_rows_that_the_draws_exclude_are_not_compared(tmp_path: Path) -> None:
    """Where exact and sampled moments exclude each other, the comparison rests on the draws."""
    pool = pool_of(tmp_path / "exact", **EXACT)
    assert all(entry.exactly is not None for entry in pool)
    for found in pool[0].run.findings:
        found.row["flags"] = "exact_disagrees"
    assert all(entry.exactly is None for entry in entries([pool[0].run]))


def test_a_class_too_rare_decides_nothing(tmp_path: Path) -> None:
    """Ratios where a class is expected fewer than 30 times are flagged, have no verdict, and never fail a build."""
    problem = {"objective": "sine", "distribution": "bernoulli", "logits": [-10.0, 0.5]}
    pool = pool_of(tmp_path / "run", problems=[problem], estimators=["leg", "reinforce"], samples=[1])
    frame = comparison(pool, metric="variance")
    assert frame["flags"].str.contains("rare_event").all()
    assert set(frame["verdict"]) == {"", "inconclusive"}
    assert frame["bias_verdict"].str.startswith("inconclusive").all()
    folder = str(pool[0].run.folder)
    assert (frame["ratio_low"] > 1.05).any()
    said = CliRunner().invoke(app, ["compare", folder, "--reference", "leg", "--fail-on", "variance>1.05"])
    assert said.exit_code == 0


def test_a_time_alone_decides_nothing(pool: list[Entry]) -> None:
    """Estimators that agree draw by draw are identical at equal seconds too; the basis tells of times."""
    twins = selected(pool, ["darn", "zgr"])
    frame = comparison([*twins, *selected(pool, ["ste"])], reference="darn", metric="variance", at=("seconds",))
    same = frame[frame["flags"].str.contains("identical") & (frame["name"] != "darn")]
    assert set(same["verdict"]) <= {"identical"}
    assert set(frame["metric"]) == {"variance × seconds"}
    assert frame["basis"].str.endswith(NO_INTERVAL).all()
    seconds = 2 * twins[0].row["seconds_per_estimate"]
    one = replace(twins[0], name="twin", row=twins[0].row | {"seconds_per_estimate": seconds})
    frame = comparison([twins[0], one], metric="variance", at=("seconds",))
    assert frame.set_index("name").loc["twin", "verdict"] == "identical"


def test_what_was_not_timed_is_not_compared_by_time(tmp_path: Path) -> None:
    """Without timings `--at seconds` says how to get them; then they are added, and nothing else is done again."""
    settings = {"estimators": ["ste", "arm"], "samples": [1], "replicates": 64}
    pool = pool_of(tmp_path / "run", **settings, timings=False)
    with pytest.raises(UsageError, match=r"--at seconds: 2 of 2 cells have not been timed(.|\n)*run --timings$"):
        comparison(pool, metric="variance", at=("seconds",))
    before = (tmp_path / "run" / "journal.jsonl").read_bytes()
    pool = pool_of(tmp_path / "run", **settings)
    after = (tmp_path / "run" / "journal.jsonl").read_bytes()
    assert after.startswith(before)
    assert after.removeprefix(before).count(b'"kind":"timing"') == 2
    assert len(comparison(pool, metric="variance", at=("seconds",))) == 2
    again = pool_of(tmp_path / "run", **settings, timings=False)  # what was measured stays
    assert [e.row["seconds_per_estimate"] for e in again] == [e.row["seconds_per_estimate"] for e in pool]
    assert (tmp_path / "run" / "journal.jsonl").read_bytes() == after


def test_who_is_left_out_is_named(pool: list[Entry]) -> None:
    """At equal evaluations, estimators that never cost what the reference does are named with their costs."""
    two = [entry for entry in selected(pool, ["ste", "arm"]) if entry.cell.samples in (1, 4)]
    assert compared(two).left_out == ()
    alone = [entry for entry in two if (entry.name, entry.cell.samples) in (("ste", 1), ("arm", 4))]
    assert compared(alone, at=("evaluations",)).left_out == (
        "At equal evaluations, the reference has no estimate of their cost: arm (8).",
    )
    assert compared(alone).left_out == ("At equal samples, the reference has no estimate of their N: arm (4).",)
    assert compared(two, metric="work").left_out == ()  # which is at equal evaluations
    assert sentence(comparison(alone, at=("evaluations",))) == "No two estimators can be compared."
    with pytest.raises(UsageError, match="--at seconds: an MSE does not average away"):
        comparison(two, at=("seconds",))


def test_exact_moments_alone_are_not_compared(tmp_path: Path) -> None:
    """A run without draws says so, and what to add."""
    benchmark = Benchmark.of({**CONFIG, "methods": ["exact"], "estimators": ["ste"]}, tmp_path / "run")
    for _ in benchmark.run():
        pass
    with pytest.raises(ResultsError, match="add monte_carlo to the methods"):
        entries([read_results(benchmark.folder)])


def test_a_reference_by_its_label(pool: list[Entry], tmp_path: Path) -> None:
    """Of several runs the first that has the label is meant; runs whose folders have one name are told apart."""
    run = pool[0].run
    twins = [type(run)(tmp_path / side / "run", run.manifest, run.plan, run.items) for side in "ab"]
    both = entries(twins)
    assert {entry.name for entry in both if entry.cell.estimator.name == "ste"} == {f"ste @ {t.folder}" for t in twins}
    frame = comparison(both, reference="ste", metric="variance")
    reference = frame[frame["verdict"] == ""]
    assert set(reference["name"]) == {f"ste @ {tmp_path / 'a' / 'run'}"}
    assert len(reference) == len(CONFIG["samples"])


def test_one_sentence(pool: list[Entry]) -> None:
    """The verdict in a sentence counts who ranks first and says whether it is biased."""
    text = sentence(comparison(pool, reference="reinforce", metric="variance"))
    assert text.startswith("Smallest variance: ")
    assert "rankings" in text


def test_fail_on(pool: list[Entry], tmp_path: Path) -> None:
    """`--fail-on` exits 4 when a ratio is surely above the limit, 0 when none is, and 2 when it makes no sense."""
    folder = str(pool[0].run.folder)
    base = ["compare", folder, "--reference", "ste", "--metric", "variance", "--format", "csv", "--fail-on"]
    assert CliRunner().invoke(app, [*base, "variance>1e9"]).exit_code == 0
    assert CliRunner().invoke(app, [*base, "variance>1.05"]).exit_code == 4
    for wrong in ("bias>1", "mse>1", "variance>x", "variance>1.2.3", "variance<1"):
        assert CliRunner().invoke(app, [*base, wrong]).exit_code == 2
    alone = ["compare", folder, "--estimators", "darn,gumbel", "--reference", "ste", "--format", "csv"]
    said = CliRunner().invoke(app, [*alone, "--fail-on", "variance>1.05", "-o", str(tmp_path / "ratios.csv")])
    assert said.exit_code == 4
    frame = pd.read_csv(tmp_path / "ratios.csv")
    assert set(frame["metric"]) == {"variance"}
    assert set(frame["name"]) == {"darn", "gumbel", "ste"}


def test_the_suite_ranks_at_equal_evaluations() -> None:
    """An estimator that costs more a sample is met, at equal evaluations, with fewer samples: rebar takes four."""
    pool = entries([run_suite(["reinforce", "rebar", "arm"])])
    frame = comparison(pool, at=("samples", "evaluations"), samples=N)
    at_samples = frame["basis"].str.startswith("equal samples")
    assert set(frame.loc[at_samples, "samples"]) == {N}
    equal = frame[~at_samples]
    assert set(equal["f_evaluations"] + equal["grad_evaluations"]) == {N}
    assert set(zip(equal["name"], equal["samples"], strict=True)) == {("reinforce", 4), ("arm", 2), ("rebar", 1)}


def test_runs_of_two_seeds_keep_apart(tmp_path: Path) -> None:
    """Their cells have the same keys: each has its own row, its own N within a budget, and is named beyond one."""
    one, two = ({"seed": seed, "timings": False, "estimators": ["reinforce", "arm"]} for seed in (0, 1))
    for name, changes in (("one", one), ("two", {**two, "samples": [4]})):
        pool_of(tmp_path / name, **changes)
    both = entries([read_results(tmp_path / "one"), read_results(tmp_path / "two")])
    frame = comparison(both)
    assert len(frame[["name", "samples"]].drop_duplicates()) == len(frame)
    found = compared(both, at=["samples"], budget=2)
    assert dict(zip(found.frame["name"], found.frame["samples"], strict=True)) == {"reinforce @ one": 2, "arm @ one": 2}
    assert found.left_out == ("Beyond the budget of 2 samples: reinforce @ two (at least 4), arm @ two (at least 4).",)


def test_the_mean_over_problems_counts_each_once(pool: list[Entry]) -> None:
    """Two N on one of two problems are not two problems."""
    paired = ratio(pool[0].shards, pool[1].shards)

    def row(problem: str, entry: Entry) -> dict[str, Any]:
        return {"basis": "b", "name": "ste", "temperature": np.nan, "reference_temperature": np.nan,
                "problem": problem, "entry": entry, "rival": pool[0], "paired": paired}  # fmt: skip

    reference = [row("x", pool[0]), row("y", pool[0])]
    assert overall([*reference, row("x", pool[1]), row("x", pool[2])], 0.95).empty
    means = overall([*reference, row("x", pool[1]), row("y", pool[2])], 0.95)
    assert means["problems"].tolist() == [2]
    assert means["ratio"].item() == pytest.approx(paired.ratio)
