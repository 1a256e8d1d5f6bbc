"""A small run for tests of what is read from its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from estbench.engine.benchmark import Benchmark

CONFIG: dict[str, Any] = {
    "name": "read",
    "replicates": 64,
    "samples": [1, 2],
    "temperatures": [0.5, 1.0],
    "problems": [
        {"objective": "quadratic", "distribution": "bernoulli", "logits": [1, -1]},
        {"objective": "sine", "distribution": "categorical", "categories": 3, "logits": {"normal": {}}},
    ],
    "estimators": ["reinforce[baseline=optimal]", "gumbel", "rloo", {"name": "ste", "label": "mine"}],
}


def run(folder: Path, **changes: Any) -> Path:
    """A finished run in this folder."""
    for _ in Benchmark.of(CONFIG | changes, folder).run():
        pass
    return folder
