"""Runs of the command line in processes of their own, and what they leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from estbench.store import read

CONFIG: dict[str, Any] = {
    "name": "run",
    "seed": 11,
    "replicates": 200_000,
    "samples": [1, 2],
    "temperatures": [0.5],
    "problems": [
        {"objective": {"name": "quadratic", "target": 0.3}, "distribution": "bernoulli", "logits": [0.6]},
        {"objective": "mlp", "distribution": "bernoulli", "logits": [0.6, -0.4, 1.1]},
        {"objective": "sine", "distribution": "categorical", "logits": [[0.2, -0.5, 0.4]]},
    ],
    "estimators": ["reinforce", "gumbel", "rebar"],
}


LESS = {**CONFIG, "replicates": 512, "samples": [1], "problems": CONFIG["problems"][:1]}


def odd(how: str, place: Path | str = "") -> dict[str, Any]:
    """The entry of such an estimator."""
    return {"name": "tests.plugins:Odd", "how": how, "place": str(place), "label": how}


def config(folder: Path, data: dict[str, Any] | None = None, **changes: Any) -> Path:
    """The folder, with run.yaml in it."""
    (folder / "run.yaml").write_text(yaml.safe_dump({**(data or CONFIG), **changes}))
    return folder


def values(run: Path) -> pd.DataFrame:
    """results.csv of a run as text."""
    return pd.read_csv(run / "results.csv", dtype=str)


def statuses(run: Path) -> dict[str, str]:
    """The statuses of the Monte Carlo cells of each label."""
    frame = pd.read_csv(run / "results.csv").query("method == 'monte_carlo'")
    return {str(label): " ".join(sorted(set(part["status"]))) for label, part in frame.groupby("label")}


def once(run: Path) -> None:
    """Every result stands in the journal exactly once."""
    seen = []
    for line in (run / "journal.jsonl").read_text().splitlines():
        for record in json.loads(line)["records"]:
            seen += [(record["kind"], record["key"], cell) for cell in record.get("cells", [""])]
    assert len(seen) == len(set(seen))


def same_as(run: Path, other: Path) -> None:
    """Two runs have the same results, and each of them once."""
    once(run)
    assert read(run).items.keys() == read(other).items.keys()
    assert values(run).equals(values(other))
