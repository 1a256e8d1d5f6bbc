"""Rows of cells that are measured at the logits of many seeds: means over seeds, with intervals over seeds."""

from __future__ import annotations

from math import nan, sqrt
from typing import Any

from estbench.columns import INTERVALS
from estbench.plan import Cell
from estbench.store import decode

Numbers = dict[str, Any]

NOT_FINITE = {"status": "failed", "reason": "the estimates of every seed are NaN or infinite"}


def student(mean: float, deviation: float, n: int, level: float) -> tuple[float, float]:
    """The interval of Student of the mean of n numbers with that standard deviation; unknown for one number."""
    from scipy.special import stdtrit  # noqa: PLC0415 - takes a tenth of a second, and kept rows are read without

    half = float(stdtrit(n - 1, (1 + level) / 2)) * deviation / sqrt(n) if n > 1 else nan
    return mean - half, mean + half


def of_seeds(cell: Cell, item: Numbers, level: float) -> Numbers:
    """The columns from `replicates` on, from a `seeds` record.

    Every number is a mean over the seeds whose estimates are finite, and every interval is one of Student over seeds:
    it says how well the mean over all seeds there could be is known. Relative bias and signal-to-noise ratio are ratios
    of such means, without intervals. An exact row is *biased* if its mean bias is larger than rounding; one of draws
    has no verdict.
    """
    if "reason" in item:
        return {"status": "skipped", "reason": item["reason"]}
    n, sampled = item["seeds"], cell.method == "monte_carlo"
    if not n:
        return NOT_FINITE
    row: Numbers = {"status": "ok", "reason": "", "bias_verdict": "", "flags": ""}
    for name, text in item["means"].items():
        mean, deviation = map(float, decode(text, (2,)))
        row[name] = mean
        if name in INTERVALS:
            row[f"{name}_low"], row[f"{name}_high"] = student(mean, deviation, n, level)
    if not sampled:
        row["relative_bias"] = row["bias_norm"] / row["true_norm"] if row["true_norm"] else nan
        rounding = 1e-9 * row["true_norm"] + 1e-12 * sqrt(row["mse"])
        row["bias_verdict"] = "biased" if row["bias_norm"] > rounding else "unbiased"
    return row | {
        "replicates": item["estimates"] * (n + item["non_finite"]) if sampled else None,
        "seeds": n,
        "non_finite": item["non_finite"],
        "flags": "non_finite" if item["non_finite"] else "",
        "declared_unbiased": cell.unbiased,
        "f_evaluations": item["f"],
        "grad_evaluations": item["df"],
        "work_normalised_variance": row["variance"] * (item["f"] + item["df"]),
    }
