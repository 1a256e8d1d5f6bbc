"""Networks of users whose examples are drawn: by the members of the contract alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from estbench.config import load
from estbench.engine.benchmark import Benchmark
from estbench.engine.executors import Execution
from estbench.errors import UsageError

NETWORK: dict[str, Any] = {
    "kind": "network",
    "network": "tests.networks.coins:Coins",
    "data": "signs",
    "distribution": "bernoulli",
    "dimensions": 1,
    "parameters": "w",
    "training": {
        "estimator": ["exact", "own"], "epochs": 2, "batch": 50, "seeds": 2, "optimiser": "sgd", "learning_rate": 0.5
    },
    "checkpoints": [0, 2],
}  # fmt: skip
CONFIG: dict[str, Any] = {"name": "coins", "replicates": 512, "problems": [NETWORK], "estimators": ["reinforce", "ste"]}


def wrong(**faults: object) -> dict[str, Any]:
    """A network with a fault."""
    return {"network": {"name": "tests.networks.coins:Wrong", "options": {name: str(v) for name, v in faults.items()}}}


def slope(w: float) -> float:
    """σ′(w)."""
    return 1 / (2 + math.exp(w) + math.exp(-w))


@pytest.mark.slow
def test_it_is_trained_and_measured(tmp_path: Path) -> None:
    """‖g‖ and the exact descent are those by hand; reinforce is unbiased; what is not known exactly is said."""
    for _ in Benchmark.of(CONFIG, tmp_path / "run").run(Execution(workers=1)):
        pass
    rows, training = (pd.read_csv(tmp_path / "run" / f"{name}.csv") for name in ("results", "training"))
    exact = rows[rows.method == "exact"]
    assert set(exact.status) == {"skipped"}
    assert exact.reason.str.contains("this network knows no exact moments").all()
    sampled = rows[rows.method == "monte_carlo"]
    assert set(sampled.status) == {"ok"}
    assert not sampled.declared_unbiased.any()
    begin = sampled[sampled.checkpoint == 0]
    assert begin.true_norm.to_numpy() == pytest.approx(slope(0.5), rel=1e-12)
    reinforce = begin[begin.label == "reinforce"]
    assert (reinforce.bias_p_value > 1e-4).all()  # of four rows of an unbiased estimator one is lower in 2 500 runs
    w, c = 0.5, 1.0
    for _ in range(2 * 3):
        w, c = w - 0.5 * slope(w), c - 0.5 * c
    end = training[(training.trained_by == "exact") & (training.checkpoint == 2)]
    assert float(end.loss.iloc[0]) == pytest.approx(1 / (1 + math.exp(-w)) - 0.5 + c * c / 2, rel=1e-12)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": "digits"}, "data: signs"),
        ({"parameters": "c"}, "its gradients are those of w: parameters: w, got c"),
        ({"network": "tests.networks.coins:Signless"}, "its model is no `Drawn`"),
        ({"network": "tests.networks.coins:Stepless"}, "has no field `steps`"),
        (wrong(part="v"), r"Wrong: part is the name of a parameter: w, c; got 'v'"),
        (wrong(mean_loss=0), r"Wrong: mean_loss must have the shape \[2\], and has \[3\]"),
        (wrong(gradients=0), r"Wrong: gradients lacks c"),
        (wrong(gradients=1), r"Wrong: gradients: c must have the shape \[2, 1\], and has \[3, 1\]"),
        (wrong(examples=0), r"Wrong: examples must give an estbench.problem.Problem with a Jacobian"),
        (wrong(examples=1), r"Wrong: examples: logits of 3 examples of 2 networks are \[6, 1\], got \[3, 1\]"),
        (wrong(others=0), r"Wrong: others: c must have the shape \[6, 1\], and has \[2, 1\]"),
    ],
)
def test_what_does_not_keep_the_contract_is_refused(change: dict[str, Any], said: str) -> None:
    """With what is missing, before anything is run."""
    with pytest.raises(UsageError, match=said):
        load({**CONFIG, "problems": [{**NETWORK, **change}]})
