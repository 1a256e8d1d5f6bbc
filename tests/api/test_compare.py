"""`estbench.compare`: what the command line computes, from frames and from estimators, refusing what it cannot know."""

from __future__ import annotations

from io import StringIO
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from estbench import Bernoulli, Categorical, compare, measure
from estbench.api.frames import Measurements
from estbench.columns import COMPARISON, names
from estbench.comparison import compared, entries, selected
from estbench.errors import EstbenchError, UsageError
from estbench.intervals import ratio
from tests.api.estimators import Scaled, with_torch
from tests.api.functions import LOGITS, ROWS, coupled

SMALL = Bernoulli(LOGITS)


@pytest.fixture(scope="module")
def frame() -> Measurements:
    """Estimators of one, two and no evaluations of f a sample, one of them at two temperatures."""
    return measure(
        ["rloo", "reinforce", "ste", "arm", "gumbel", Scaled(2.0)],
        coupled, SMALL, samples=[1, 2, 4], temperatures=[0.5, 1.0], replicates=1024, methods="monte_carlo",
    )  # fmt: skip


def test_columns(frame: Measurements) -> None:
    """The columns of the command line, the reference first by default, MSE at equal samples."""
    found = compare(frame)
    assert list(found.columns) == names(COMPARISON)
    assert (found.loc[found["name"] == "rloo", "ratio"] == 1).all()
    assert found["metric"].unique() == ["mse"]
    assert set(found["basis"]) == {"equal samples, N = 2", "equal samples, N = 4"}


def test_ratios_are_paired(frame: Measurements) -> None:
    """Each ratio and its interval is that of the two cells on shared draws."""
    found = compare(frame, reference="reinforce", metric="variance")
    assert frame._measured is not None
    pool = {(e.name, e.cell.temperature, e.cell.samples): e for e in entries([frame._measured])}
    for row in found.to_dict("records"):
        tau = None if np.isnan(row["temperature"]) else row["temperature"]
        own = pool[row["name"], tau, row["samples"]]
        expected = ratio(own.shards, pool["reinforce", None, row["samples"]].shards)
        assert (row["ratio"], row["ratio_low"], row["ratio_high"]) == (expected.ratio, expected.low, expected.high)
    scaled = found[found["name"] == "Scaled[scale=2]"]
    assert scaled["ratio"].to_numpy() == pytest.approx(4.0)


@pytest.mark.parametrize("budget", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("metric", ["mse", "variance"])
def test_budget_of_evaluations(frame: Measurements, budget: int, metric: Any) -> None:
    """Each estimator stands at the largest N that costs at most the budget, and its metric is taken as it is."""
    found = compare(frame, reference="reinforce", at="evaluations", budget=budget, metric=metric)
    assert set(found["basis"]) == {f"budget of {budget} evaluations"}
    cost = frame["f_evaluations"] + frame["grad_evaluations"]
    fitting = frame[(frame["status"] == "ok") & (cost <= budget)]
    best = fitting.sort_values("samples").drop_duplicates(["label", "temperature"], keep="last")
    values = {(r["label"], str(r["temperature"])): (r["samples"], r[metric]) for r in best.to_dict("records")}
    rows = {
        (r["name"], str(r["temperature"])): (r["samples"], pytest.approx(r["value"], rel=1e-12))
        for r in found.to_dict("records")
    }
    assert rows == values
    assert (found.loc[found["name"] == "reinforce", "ratio"] == 1).all()


def test_beyond_the_budget_is_named(frame: Measurements) -> None:
    """What costs more at every N is left out, and said so; a reference that does is refused."""
    assert "Beyond the budget of 1 evaluations: rloo (at least 2), arm (at least 2)" in " ".join(
        repr(compare(frame, reference="ste", at="evaluations", budget=1)).split()
    )
    with pytest.raises(UsageError, match="budget 1: no estimate of rloo costs so few evaluations"):
        compare(frame, reference="rloo", at="evaluations", budget=1)


def test_budget_of_samples(frame: Measurements) -> None:
    """A budget of samples is the largest N up to it."""
    found = compare(frame, reference="rloo", at="samples", budget=3)
    assert set(found["samples"]) == {2}


def test_estimators_are_measured_first() -> None:
    """A list is measured: the reference joins it, and each N is looked for, counting what an estimate costs."""
    both: dict[str, Any] = {"f": coupled, "distribution": SMALL, "replicates": 256, "seed": 5}
    found = compare(
        ["arm", "ste", with_torch, Scaled()], reference="rloo", at="evaluations", budget=5, **both
    ).set_index("name")
    assert found["samples"].to_dict() == {"arm": 2, "ste": 5, "with_torch": 5, "Scaled": 5, "rloo": 5}
    assert found.loc["rloo", "ratio"] == 1
    same = measure(["arm", "ste"], coupled, SMALL, samples=[2, 5], replicates=256, seed=5, methods="monte_carlo")
    cell = same[(same["label"] == "arm") & (same["samples"] == 2)]
    assert found.loc["arm", "value"] == pytest.approx(cell["mse"].item(), rel=1e-12)
    explicit = compare(["arm", "rloo"], reference="rloo", at="evaluations", budget=5, samples=[1, 2, 3], **both)
    assert dict(zip(explicit["name"], explicit["samples"], strict=True)) == {"arm": 2, "rloo": 3}
    plain = compare(["reinforce", "rloo"], reference="rloo", samples=[2], **both)
    assert dict(zip(plain["name"], plain["samples"], strict=True)) == {"reinforce": 2, "rloo": 2}


def test_budget_of_the_smallest_n() -> None:
    """What needs more than the budget for its smallest N is measured there, and named."""
    found = compare(["ste", "rloo"], reference="ste", at="evaluations", budget=1, f=coupled, distribution=SMALL,
                    replicates=64)  # fmt: skip
    assert found["name"].tolist() == ["ste"]
    assert "rloo (at least 2)" in repr(found)


def test_several_problems() -> None:
    """The geometric mean of the ratios with its interval, for each temperature, over all problems."""
    frame = measure(
        ["reinforce", "rloo", "gumbel"], [coupled, "sine"], [SMALL, Bernoulli([0.2, -0.3])],
        samples=2, temperatures=[0.5, 1.0], replicates=1024, methods="monte_carlo",
    )  # fmt: skip
    found = compare(frame, reference="reinforce", metric="variance")
    means = found.overall.set_index(["name", "temperature"])
    assert means["problems"].unique() == [2]
    assert len(means) == 3
    for mean in found.overall.to_dict("records"):
        tau = mean["temperature"]
        own = found[(found["name"] == mean["name"]) & (pd.isna(tau) | (found["temperature"] == tau))]
        assert mean["ratio"] == pytest.approx(np.exp(np.log(own["ratio"]).mean()), rel=1e-12)
        widths = np.log(own["ratio_high"] / own["ratio_low"])
        assert np.log(mean["ratio_high"] / mean["ratio_low"]) == pytest.approx(
            float(np.sqrt((widths**2).sum()) / 2), rel=0.03
        )
    text = repr(found)
    assert "All 2 problems" in text
    assert "mean ratio: the geometric mean over the problems of the ratio to reinforce." in text
    assert compare(frame[frame["problem"] == frame["problem"].iloc[0]]).overall.empty


def test_rows_of_a_frame(frame: Measurements) -> None:
    """Rows that are selected and sorted are compared as they are: the first is the reference."""
    some = frame[(frame["samples"] == 4) & frame["label"].isin(["arm", "ste"])].sort_values("variance")
    found = compare(some)
    assert set(found["name"]) == {"arm", "ste"}
    assert found.loc[found["ratio"] == 1, "name"].tolist() == [some["label"].iloc[0]]
    copied = compare(some.reset_index(drop=True).copy())
    pd.testing.assert_frame_equal(pd.DataFrame(found), pd.DataFrame(copied))
    renamed = compare(some[["problem", "label", "temperature", "samples", "method", "status", "variance"]])
    pd.testing.assert_frame_equal(pd.DataFrame(found), pd.DataFrame(renamed))


def _joined(frame: Measurements) -> Any:
    return pd.concat([frame, measure("ste", coupled, SMALL, replicates=64, seed=1)])


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "two frames": (_joined, {}, "joined"),
    "one frame twice": (lambda frame: pd.concat([frame, frame]), {}, "joined"),
    "read from a file": (lambda frame: pd.read_csv(StringIO(frame.to_csv())), {}, "read from a file"),
    "merged": (lambda frame: frame.merge(frame[["label"]].drop_duplicates(), on="label"), {}, "joined"),
    "other numbers": (lambda frame: frame.assign(variance=1.0), {}, "row 0 .* not as it was measured"),
    "another metric": (lambda frame: frame.assign(mse=1.0), {}, "row 0 .* not as it was measured"),
    "other names": (lambda frame: frame.assign(label="mine"), {}, "not as it was measured"),
    "columns": (lambda frame: frame[["variance"]], {}, "lacks the columns problem, label"),
    "reference": (lambda frame: frame, {"reference": "nobody"}, "^reference: no finished cell is of 'nobody'"),
    "at": (lambda frame: frame, {"at": "work"}, "at: expected 'samples', 'evaluations', 'seconds', got 'work'"),
    "metric": (lambda frame: frame, {"metric": "bias"}, "metric: expected 'variance'"),
    "correction": (lambda frame: frame, {"correction": "b"}, "correction: expected 'holm'"),
    "budget": (lambda frame: frame, {"budget": 0}, "budget: expected a number above 0, got 0"),
    "seconds": (lambda frame: frame, {"at": "seconds"}, "not all .* timed; measure with timings=True"),
    "near": (lambda frame: frame, {"reference": "reinforc"}, "'reinforc'. Did you mean 'reinforce'"),
    "f beside a frame": (lambda frame: frame, {"f": coupled}, "not with a frame"),
    "no f": (lambda _: ["rloo"], {}, "give f= and distribution="),
    "seconds ahead": (
        lambda _: ["ste"], {"f": coupled, "distribution": SMALL, "at": "seconds", "budget": 1}, "give samples"
    ),
    "nothing": (lambda frame: frame[frame["status"] == "skipped"], {}, "nothing to compare"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(frame: Measurements, kind: str) -> None:
    """What cannot be compared is refused, with what to do; a wrong number is never given."""
    of, settings, words = REFUSED[kind]
    with pytest.raises(EstbenchError, match=words):
        compare(of(frame), **settings)


def test_exact_rows_alone() -> None:
    """A frame of exact rows has no draws to compare."""
    with pytest.raises(EstbenchError, match="monte_carlo"):
        compare(measure("ste", coupled, SMALL, methods="exact"))


def test_at_equal_seconds() -> None:
    """Timed estimates: the variance at equal seconds, and the largest N within a budget of seconds."""
    frame = measure(["ste", "reinforce"], coupled, SMALL, samples=[1, 4], replicates=64, methods="monte_carlo",
                    timings=True)  # fmt: skip
    found = compare(frame, at="seconds")
    assert found["metric"].unique() == ["variance × seconds"]
    assert set(compare(frame, at="seconds", budget=1.0)["samples"]) == {4}


def test_the_numbers_of_the_command_line(frame: Measurements) -> None:
    """The same cells give the rows that the command line computes."""
    assert frame._measured is not None
    pool = selected(entries([frame._measured]), ["ste", "arm"])
    expected = compared(pool, reference="ste", at=("evaluations",), metric="variance").frame
    found = compare(frame[frame["label"].isin(["ste", "arm"])], reference="ste", at="evaluations", metric="variance")
    pd.testing.assert_frame_equal(pd.DataFrame(found), expected)


def test_categorical_with_a_gumbel_reference() -> None:
    """A selector with a temperature names the reference at that temperature."""
    found = compare(
        ["gumbel", "reinforce"], reference="gumbel[temperature=0.5]", f=lambda z: torch.einsum("ndk->n", z * z[:, :1]),
        distribution=Categorical(ROWS), temperatures=[0.5, 1.0], samples=2, replicates=64,
    )  # fmt: skip
    assert found["reference_temperature"].unique() == [0.5]


@pytest.mark.parametrize("given", [[], {}, 1j, "x", np.array([1, 2]), -1], ids=str)
@pytest.mark.parametrize("name", ["reference", "at", "metric", "correction", "margin", "budget"])
def test_wrong_arguments(frame: Measurements, name: str, given: Any) -> None:
    """Each is refused by its name."""
    with pytest.raises(UsageError, match=f"^{name}: "):
        compare(frame, **{name: given})


@pytest.mark.parametrize(
    ("estimators", "N"), [(["reinforce", "ste"], 1), (["reinforce", "rloo"], 2), (["reinforce", "rloo", "disarm"], 2)]
)
def test_without_samples_all_take_part(estimators: list[str], N: int) -> None:
    """Without `samples` or a budget, N is the smallest that all estimators take."""
    found = compare(estimators, f=coupled, distribution=SMALL, replicates=64)
    assert sorted(found["name"]) == sorted(estimators)
    assert set(found["samples"]) == {N}


def test_skipped_estimators_are_named() -> None:
    """An estimator that needs more samples than are wanted is no row: the comparison says so, and why."""
    options: dict[str, Any] = {"f": coupled, "distribution": SMALL, "samples": 1, "replicates": 64}
    found = compare(["reinforce", "rloo"], **options)
    assert found["name"].to_list() == ["reinforce"]
    assert "Skipped: rloo: needs N ≥ 2" in repr(found)
    with pytest.raises(UsageError, match="reference: rloo was skipped: needs N ≥ 2"):
        compare(["reinforce", "rloo"], reference="rloo", **options)
    with pytest.raises(EstbenchError, match="nothing to compare: rloo: needs N ≥ 2"):
        compare(["rloo"], **options)
