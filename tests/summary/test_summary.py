"""From packed records to rows: thresholds, denominators, and which records are merged."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import reduce

import numpy as np
import pytest
import torch

from estbench.intervals import Shards, flags, precision
from estbench.moments import SCALARS, Moments, merge, moments, record
from estbench.plan import Plan
from estbench.store import encode
from estbench.summary import findings, grouped, precision_reached
from estbench.summary.table import details, results
from tests.summary.records import RNG, Floats, G, job, known, plan_of

UMAX = SCALARS.index("umax")


def packed_of(raw: Floats) -> Floats:
    """Packed records [S, 8 + 3P] of raw estimates [S, n, P] about G."""
    records: Floats = moments(torch.from_numpy(raw), torch.from_numpy(G)).numpy()
    return records


@pytest.mark.parametrize(
    ("size", "mean_error", "delta", "said"),
    [
        (0.9e-9, 0.0, 0.01, "unbiased"),
        (1.1e-9, 0.0, 0.01, "biased"),
        (0.9e-9, 1e-13, 0.01, "unbiased"),  # an error that happens to be small proves nothing
        (2.9e-6, 1e-6, 0.01, "unbiased"),
        (3.1e-6, 1e-6, 0.01, "biased"),
        (0.0, 1e-3, 0.0031, "unbiased"),
        (0.0, 1e-3, 0.0029, "inconclusive"),
    ],
)
def test_an_exact_bias_of_rounding_or_error_is_none(size: float, mean_error: float, delta: float, said: str) -> None:
    """‖E ĝ − g‖ = size·‖g‖ is a bias above 1e-9 and thrice the error of the mean, which is to be less than δ.

    The error of bias and variance, which is given as the reason, has no part in it.
    """
    plan = plan_of(methods=["exact"], delta=delta)
    moment = record((1 + size) * G[None], np.full((1, 2), 1e-4))  # rounding adds 1e-12·√2e-4: nothing
    found = {"moments": encode(moment), "error": encode(0.3), "mean_error": encode(mean_error), "route": "quadrature"}
    frame = results(plan, known(plan) | {("exact", plan.cells[0].key, ""): found})
    assert frame["bias_verdict"].tolist() == [said]
    assert frame["reason"].item().startswith("quadrature, relative error 3e-01: kinks in several axes")
    assert frame["relative_bias"].item() == pytest.approx(size, rel=1e-12)


def test_the_variance_of_a_coordinate_has_n_minus_one() -> None:
    """From R estimates it is Σ(ĝ − m)²/(R − 1) of each coordinate, over all shards; exact moments are left alone."""
    plan = plan_of(replicates=32)
    layout = plan.layouts[0]
    assert layout.replicates == 32  # so few that a missing factor R/(R − 1) changes it by 3 %
    raw = RNG(0).exponential(size=(layout.shards, layout.shard_size, 2)) @ np.array([[1.0, 0.4], [0.0, 2.0]])
    exact, sampled = (next(c for c in plan.cells if c.method == m) for m in ("exact", "monte_carlo"))
    moment = record(np.array([[0.1, 0.2]]), np.array([[3.0, 5.0]]))
    items = known(plan) | job(plan, sampled, packed_of(raw))
    found = {"moments": encode(moment), "error": encode(0.0), "mean_error": encode(0.0), "route": "enumeration"}
    items["exact", exact.key, ""] = found
    rows = dict(zip([c.method for c in plan.cells], details(plan, items).to_dict("records"), strict=True))
    flat = raw.reshape(-1, 2)
    np.testing.assert_allclose(rows["monte_carlo"]["coordinate_variance"], flat.var(0, ddof=1), rtol=1e-12)
    np.testing.assert_allclose(rows["monte_carlo"]["mean_gradient"], flat.mean(0), rtol=1e-12)
    np.testing.assert_allclose(rows["exact"]["coordinate_variance"], [3.0, 5.0], rtol=1e-12)
    np.testing.assert_allclose(rows["exact"]["mean_gradient"], [0.1, 0.2], rtol=1e-12)


def test_vectors_stand_beside_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is one entry of `details` for each row, with vectors where it is ok, and no metric is computed for it."""
    plan = plan_of(estimators=["rloo"], samples=[1, 2, 3, 4, 5], replicates=512, methods=["monte_carlo"])
    skipped, fine, failed, unknown, undone = plan.cells
    layout = plan.layouts[0]
    raw = RNG(0).normal(size=(layout.shards, layout.shard_size, 2))
    items = known(plan) | job(plan, fine, packed_of(raw)) | job(plan, unknown, packed_of(np.full_like(raw, np.nan)))
    items["failed", failed.key, ""] = {"reason": "it failed"}
    frame = results(plan, items)
    assert frame["status"].tolist() == ["skipped", "ok", "failed", "failed"]
    assert undone.samples not in set(frame["samples"])
    assert skipped.samples == frame["samples"][0]
    monkeypatch.setattr("estbench.summary.rows.metrics_of", None)
    found = details(plan, items)
    assert found["mean_gradient"].notna().tolist() == [False, True, False, False]
    np.testing.assert_allclose(found["mean_gradient"][1], raw.mean((0, 1)), rtol=1e-9)


@pytest.mark.parametrize(
    ("S", "pieces"),
    [
        (1, 1),
        (127, 127),
        (128, 64),  # the first that are merged
        (129, 129),  # 3 · 43: no number of 64 to 127 divides it
        (189, 189),  # 3 · 63
        (254, 127),
        (256, 64),
        (325, 65),
        (384, 64),  # not 96
        (387, 387),  # 3 · 129
        (1021, 1021),  # a prime
        (1023, 93),
        (1024, 64),
        (1025, 64),  # 5² · 41: from here in unequal ones
        (1031, 64),  # a prime
    ],
)
def test_many_shards_are_merged(S: int, pieces: int) -> None:
    """Shards become the fewest equal ones of 64 to 127; where there are none, 64 unequal ones from 1024 shards on.

    Neighbours are merged, in order: as `merge` does it, and the largest deviation is the largest of theirs.
    """
    packed = RNG(S).integers(1, 1000, (S, len(SCALARS) + 6)).astype(float)
    found = grouped(packed)
    assert len(found) == pieces
    sizes = [S // pieces + (i < S % pieces) for i in range(pieces)]
    ends = np.cumsum(sizes)
    for row, end, size in zip(found, ends, sizes, strict=True):
        part = packed[end - size : end]
        np.testing.assert_allclose(row, reduce(merge, part), rtol=1e-12)
        assert row[UMAX] == part[:, UMAX].max()
        assert row[SCALARS.index("n")] == part[:, SCALARS.index("n")].sum()


def test_a_cell_just_above_the_precision_is_not_counted() -> None:
    """A cell counts if its relative standard error is at most the one asked for, to the last digit."""

    def asking(relative: float) -> Plan:
        precision = {"relative": relative, "max_replicates": 4096}
        return plan_of(methods=["monte_carlo"], samples=[1, 2], precision=precision)

    plan = asking(0.5)
    layout = plan.layouts[0]
    wide, narrow = (packed_of(G + RNG(seed).normal(size=(32, layout.shard_size, 2))) for seed in (1, 2))
    errors = {precision(Shards.of(Moments.unpack(packed, G))): packed for packed in (wide, narrow)}
    least, most = sorted(errors)
    assert 0 < least < most < 1
    items = known(plan) | job(plan, plan.cells[0], errors[most]) | job(plan, plan.cells[1], errors[least])

    for relative, count in (
        (most, 2),
        (math.nextafter(most, 0), 1),
        (least, 1),
        (math.nextafter(least, 0), 0),
    ):
        assert precision_reached(asking(relative), findings(asking(relative), items)) == (
            f"precision: {count} of 2 cells have a relative standard error of variance of at most {relative:g}; "
            f"the worst has {most:.2g}"
        )
    assert precision_reached(plan_of(), []) is None


def test_a_cell_that_failed_is_not_counted_for_the_precision() -> None:
    """One whose variance is precise, and whose other metrics are beyond the numbers there are, has failed."""
    plan = plan_of(methods=["monte_carlo"], samples=[1, 2], precision={"relative": 0.9, "max_replicates": 4096})
    size = plan.layouts[0].shard_size
    fine, large = (packed_of(G + scale * RNG(1).normal(size=(32, size, 2))) for scale in (1.0, 1e76))
    items = known(plan) | job(plan, plan.cells[0], fine) | job(plan, plan.cells[1], large)
    found = findings(plan, items)
    assert [each.row["status"] for each in found] == ["ok", "failed"]
    assert "1 of 1 cells" in str(precision_reached(plan, found))


@pytest.mark.parametrize(("slope", "heavy"), [(0.44, False), (0.46, True), (0.89, True)])
def test_the_threshold_of_heavy_tails(slope: float, heavy: bool) -> None:
    """The largest quarter of the shard maxima exceeds the next by a mean log ratio: a tail is heavy above .45."""
    m = Moments.unpack(packed_of(RNG(3).normal(size=(32, 100, 2))), G)
    logs = np.zeros(32)
    logs[5:13] = slope * np.linspace(0.5, 1.5, 8)  # of mean slope; what follows is e⁰
    made = replace(m, umax=np.exp(logs))
    assert ("heavy_tail" in flags(Shards.of(made))) is heavy
    assert "heavy_tail" not in flags(Shards.of(replace(made, umax=np.ones(32))))
