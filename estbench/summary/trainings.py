"""Losses along trainings as a frame of pandas, and training.csv."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from estbench.columns import ASKED, TRAINING, names
from estbench.moments import Floats
from estbench.plan import Plan, ProblemSpec, Training
from estbench.store import decode
from estbench.summary.cells import Items
from estbench.summary.seeds import student

TRAININGS = "training.csv"
QUANTILES = (0.05, 0.5, 0.95)


def trainings(plan: Plan, items: Items) -> pd.DataFrame:
    """One row for each training, checkpoint and set of data that is there, in the order of the plan.

    Columns of the importance-weighted bound are there where a training has it.
    """
    rows: list[dict[str, Any]] = []
    seen = set()
    for cell in plan.cells:
        spec = plan.problems[cell.problem]
        if spec.at is None or cell.reason is not None:
            continue
        reference = [spec.at.training] if spec.kind == "trajectory" else []
        for training in (*reference, spec.at.training_of(cell.estimator, cell.samples)):
            if (training.id, spec.at.epoch) not in seen:
                seen.add((training.id, spec.at.epoch))
                rows += _rows(spec, training, spec.at.epoch, items, plan.config.level)
    frame = pd.DataFrame(rows, columns=names(TRAINING)).astype({"importance_samples": "Int64"})
    return frame if frame["importance_samples"].notna().any() else frame.drop(columns=names(ASKED))


def _rows(spec: ProblemSpec, training: Training, epoch: int, items: Items, level: float) -> Iterator[dict[str, Any]]:
    found, start = (items.get(("trained", f"{training.id}/{at}", "")) for at in (epoch, 0))
    if found is None:
        return
    trajectory = spec.kind == "trajectory"
    for data in ("train", "valid") if "valid" in found else ("train",):
        losses = decode(found[data], (-1,))
        before = None if start is None else decode(start[data], (-1,))
        yield {
            "kind": spec.kind,
            "problem": training.subject or spec.objective_text,
            "network": None if trajectory else spec.objective_text,
            "distribution": spec.distribution_text,
            "dimensions": spec.dimensions,
            "categories": spec.classes,
            "trained_by": training.trained_by,
            "samples": training.samples,
            "checkpoint": epoch,
            "data": None if trajectory else data,
            "seeds": len(losses),
            **over_seeds(losses, level),
            "true_norm": float(decode(found["gradient"], (-1,)).mean()) if "gradient" in found else np.nan,
            **_where_known("nll", found.get(f"{data}_nll"), level),
            **_where_known("open_share", found.get(f"{data}_open"), level),
            **_where_known("importance_weighted", found.get(f"{data}_weighted"), level),
            "importance_samples": training.importance_samples,
            "open_target": found.get("target", np.nan),
            "share_worse": np.nan if before is None else float((losses > before).mean()),
        }


def _where_known(name: str, array: str | None, level: float) -> dict[str, float]:
    """The mean of one number a seed with its interval over seeds, where the network has it."""
    return {} if array is None else mean_over_seeds(name, decode(array, (-1,)), level)


def over_seeds(x: Floats, level: float) -> dict[str, float]:
    """The mean loss over seeds, its interval, and quantiles."""
    quantiles = dict(zip(("loss_q05", "loss_q50", "loss_q95"), map(float, np.quantile(x, QUANTILES)), strict=True))
    return mean_over_seeds("loss", x, level) | quantiles


def mean_over_seeds(name: str, x: Floats, level: float) -> dict[str, float]:
    """The mean of one number a seed with its Student interval; the interval of one seed is unknown."""
    mean, deviation = float(x.mean()), float(x.std(ddof=1)) if len(x) > 1 else np.nan
    low, high = student(mean, deviation, len(x), level)
    return {name: mean, f"{name}_low": low, f"{name}_high": high}
