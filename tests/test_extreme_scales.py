"""Objectives of size 1e78 and 1e-90, and logits of 30: fits stay finite, and a cell that cannot be told fails alone."""

from __future__ import annotations

from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch import Tensor
from typer.testing import CliRunner

from estbench.cli.app import app
from estbench.estimators.shared.least_squares import least_squares
from tests.sizes import thinned


@pytest.mark.parametrize("scale", [1e-150, 1e-90, 1.0, 1e78, 1e150])
def test_coefficients_do_not_depend_on_the_scale(scale: float) -> None:
    """g₀ + c₁ g₁ + c₂ g₂ is best at c = (2, −1) at any scale; a column that is 0 or rounding gets 0."""
    rng = np.random.default_rng(0)
    g = torch.from_numpy(rng.normal(size=(3, 500, 2)))
    g0 = -2 * g[0] + g[1]

    def estimate(c: Any) -> Tensor:
        nothing: Tensor = 1e-18 * c[2] * g[2]
        found: Tensor = scale * (g0 + c[0] * g[0] + c[1] * g[1] + nothing)
        return found

    np.testing.assert_allclose(least_squares(estimate, 3), [2.0, -1.0, 0.0], rtol=1e-9, atol=1e-12)


def test_columns_of_zero_get_zero() -> None:
    """Where a control variate is 0 throughout, or all estimates are, its coefficient is 0."""
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(50, 1)))
    assert least_squares(lambda c: x + 0 * c[0] * x, 1) == (0.0,)
    assert least_squares(lambda c: 0 * x + c[0] * x, 1) == (0.0,)


def linear(weight: float) -> dict[str, Any]:
    """E f = weight · p at p = σ(0.5)."""
    return {"objective": {"name": "linear", "weights": [weight]}, "distribution": "bernoulli", "logits": [0.5]}


GOOD = {"objective": "quadratic", "distribution": "bernoulli", "logits": [0.5]}
EXTREMES = {
    "1e78": linear(1e78),
    "1e-90": linear(1e-90),
    "logits of 30": {"objective": "quadratic", "distribution": "bernoulli", "logits": [30.0]},
    "1e-90, two variables": {
        "objective": {"name": "linear", "weights": [1e-90, 2e-90]},
        "distribution": "bernoulli",
        "logits": [0.5, -0.3],
    },
}


def measured(folder: Path, name: str, amount: dict[str, Any], problems: list[dict[str, Any]]) -> tuple[int, Any]:
    """The exit code of `run` for these problems, and its results."""
    config = {"name": name, "samples": [2], "temperatures": [0.1], **amount, "problems": problems}
    config["estimators"] = ["reinforce", "gumbel", {"name": "relax", "n_fit": 1000, "steps": 10}]
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config))
    said = CliRunner().invoke(app, ["run", str(path), "-o", str(folder / name), "-q", "-j", "1"])
    assert said.exit_code in {0, 3}, said.output
    return said.exit_code, pd.read_csv(folder / name / "results.csv")


AMOUNTS: dict[str, dict[str, Any]] = {
    "fixed": {"replicates": 256},
    "precision": {"precision": {"relative": 0.3, "max_replicates": 20000}},
}


@pytest.mark.parametrize("amount", thinned(2, AMOUNTS))
def test_a_cell_beyond_the_range_of_floats_fails_alone(amount: str, tmp_path: Path) -> None:
    """At weights of 1e78 and 1e-90 and logits of 30, cells fail or work; the others, and every command, do not care."""
    code, found = measured(tmp_path, "extreme", AMOUNTS[amount], [*EXTREMES.values(), GOOD])
    failed = found[found["status"] == "failed"]
    assert code == 3
    assert set(failed["reason"].str.partition(" (")[0]) == {"its metrics are beyond the range of float64"}
    assert not failed["objective"].str.startswith("quadratic").any()
    alone, good = measured(tmp_path, "good", AMOUNTS[amount], [GOOD])
    assert alone == 0
    same = found[found["problem"] == good["problem"].iloc[0]].reset_index(drop=True)
    judged = ["bias_verdict", "seconds_per_estimate"]  # a verdict rests on all p-values of a run
    pd.testing.assert_frame_equal(same.drop(columns=judged), good.drop(columns=judged), check_dtype=False)
    small = found["problem"].str.contains("e-90]") & (found["estimator"] == "reinforce") & (found["dimensions"] == 1)
    p = 1 / (1 + exp(-0.5))
    assert set(found[small]["method"]) == {"exact", "monte_carlo"}
    np.testing.assert_allclose(found[small]["true_norm"], 1e-90 * p * (1 - p), rtol=1e-12)
    np.testing.assert_allclose(found[small]["variance"] * 1e180, p * (1 - p) * ((1 - p) - p * (1 - p)) / 2, rtol=0.3)
    folder = str(tmp_path / "extreme")
    for command in (["status", folder], ["compare", folder], ["export", folder, "--format", "json"]):
        said = CliRunner().invoke(app, command)
        assert said.exit_code == 0, (command, said.output)
