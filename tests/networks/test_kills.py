"""Runs with trainings that are killed on the way, and go on."""

from __future__ import annotations

import json
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.forked import Forks
from tests.sizes import SMALL

CONFIG: dict[str, Any] = {
    "name": "small",
    "replicates": 48,
    "problems": [
        {
            "kind": "network",
            "network": {"name": "vae", "hidden": 4},
            "distribution": "bernoulli",
            "dimensions": 3,
            "training": {
                "estimator": ["exact", "own", "ste"],
                "epochs": 4,
                "batch": 200,
                "seeds": 2,
                "importance_samples": 5,
            },
            "checkpoints": [0, 1, 2, 4],
        },
        {
            "kind": "trajectory",
            "objective": "quadratic",
            "distribution": "bernoulli",
            "training": {"steps": 100, "seeds": 10},
            "logits": 0.0,
            "checkpoints": [0, 50, 100],
        },
    ],
    "estimators": ["ste", "relax", "gumbel[temperature=0.5]"],
}
TABLES = ("results.csv", "training.csv")


@pytest.mark.slow
def test_a_run_that_is_killed_while_it_trains_ends_with_the_same_bytes(forks: Forks, tmp_path: Path) -> None:
    """Killed at random moments, again and again, and taken up: both tables are those of a run that was left alone."""
    (tmp_path / "c.json").write_text(json.dumps(CONFIG))
    command = ("run", "c.json", "-qj1", "-o")
    begin = time.monotonic()
    assert forks.run(tmp_path, *command, "whole").code == 0
    life, rng, kills = time.monotonic() - begin, random.Random(3), 0  # noqa: S311 - no secret
    while kills < (2 if SMALL else 8):
        killed = forks.begin(tmp_path, *command, "run")
        time.sleep(rng.uniform(0.05, 0.6) * life)
        killed.send(signal.SIGKILL)
        if killed.wait().code != -signal.SIGKILL:  # it was done before
            break
        kills += 1
    assert kills
    assert forks.run(tmp_path, *command, "run").code == 0
    assert all((tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes() for name in TABLES)
