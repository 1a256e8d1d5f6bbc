"""How cells have ended, without metrics: as `findings` says, also where metrics leave the range of float64."""

from __future__ import annotations

import pytest
import torch

from estbench.moments import moments
from estbench.store import encode
from estbench.summary import endings, findings
from tests.summary.records import RNG, Floats, G, job, known, plan_of


def estimates(size: float, shards: int) -> Floats:
    """Skewed estimates [S, n, 2] of that size, one coordinate of which varies by rounding alone."""
    raw = RNG(7).lognormal(size=(shards, 128, 2))
    raw[..., 1] = 1 + 1e-15 * raw[..., 1]
    return size * raw


@pytest.mark.parametrize("of_gradient", [1.0, 1e-6, 1e6])
@pytest.mark.parametrize("size", [10.0**k for k in range(-100, 101, 10)])
def test_a_cell_has_failed_where_its_metrics_have(size: float, of_gradient: float) -> None:
    """Status and reason are those of `findings` at every scale, and most scales are settled without metrics."""
    plan = plan_of(replicates=4096, methods=["monte_carlo"])
    raw = estimates(size, plan.layouts[0].shards)
    g = G * size * of_gradient
    packed = moments(torch.from_numpy(raw), torch.from_numpy(g)).numpy()
    items = known(plan) | job(plan, plan.cells[0], packed)
    items["problem", plan.problems[0].id, ""] = {"true": encode(g)}
    (found,), (ended,) = findings(plan, items), endings(plan, items)
    assert ended["status"] == found.row["status"]
    assert ended["reason"] == found.row["reason"]


def test_no_metrics_are_computed_of_ordinary_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Estimates of ordinary size cannot fail, also where one coordinate is constant and where all are 0."""
    monkeypatch.setattr("estbench.summary.rows.findings", None)
    plan = plan_of(replicates=4096, methods=["monte_carlo"])
    for size in (1e-8, 1.0, 1e8, 0.0):
        packed = moments(torch.from_numpy(estimates(size, plan.layouts[0].shards)), torch.from_numpy(G)).numpy()
        (ended,) = endings(plan, known(plan) | job(plan, plan.cells[0], packed))
        assert ended["status"] == "ok"


def test_estimates_that_are_never_finite_have_failed() -> None:
    """No finite estimate is a failure, as in `findings`."""
    plan = plan_of(replicates=4096, methods=["monte_carlo"])
    raw = torch.full((plan.layouts[0].shards, 128, 2), torch.nan, dtype=torch.float64)
    packed = moments(raw, torch.from_numpy(G)).numpy()
    items = known(plan) | job(plan, plan.cells[0], packed)
    assert endings(plan, items)[0]["status"] == findings(plan, items)[0].row["status"] == "failed"
