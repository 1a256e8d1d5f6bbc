"""Selections of rows of a results frame for tables and figures: printable names, one N, one temperature."""

from __future__ import annotations

import math

import pandas as pd

from estbench.columns import INTERVALS
from estbench.printable import distinct, plain

ROUNDING = 1e-12  # a bias that is surely below this share of ‖g‖ is rounding: it is shown as 0


def readable(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with `name` (see `names`), printable problems, low = value = high in exact rows, and 0 for rounding.

    Rows of trajectories have intervals over seeds, exact ones too.
    """
    frame = frame.reset_index(drop=True)
    numbers = [metric + end for metric in INTERVALS for end in ("", "_low", "_high")]
    numbers += ["temperature", "samples", "true_norm", "non_finite"]
    frame = frame.assign(
        name=names(frame),
        problem=frame["problem"].map(plain).astype(object),
        method=frame["method"].astype(object),
        **{column: pd.to_numeric(frame[column]).astype(float) for column in numbers},
    )
    exact = (frame["method"] == "exact") & (frame["kind"] != "trajectory" if "kind" in frame else True)
    for metric in INTERVALS:
        for end in ("_low", "_high"):
            frame[metric + end] = frame[metric + end].mask(exact, frame[metric])
    largest = frame[["bias_squared", "bias_squared_high"]].max(axis=1)
    unbiased = largest.notna() & (largest <= (ROUNDING * frame["true_norm"]) ** 2)
    constant = unbiased & (frame["variance"] == 0) & (frame["variance_high"] == 0)  # the MSE is the bias² alone
    for rows, metrics in ((unbiased, ("bias_squared", "bias_norm", "relative_bias")), (constant, ("mse",))):
        frame.loc[rows, [metric + end for metric in metrics for end in ("", "_low", "_high")]] = 0.0
    cosines = ["cosine", "cosine_low", "cosine_high"]
    frame[cosines] = frame[cosines].mask(frame[cosines].abs() <= ROUNDING, 0.0)
    return frame.copy()  # in one piece again: selecting rows of it is then several times as fast


def names(frame: pd.DataFrame) -> pd.Series[str]:
    """What each row is called: see `printable.distinct`."""
    called = distinct(frame["estimator"], frame["options"], list(frame["label"]))
    return pd.Series(called, frame.index, dtype=object)


def ends(rows: pd.DataFrame, metric: str) -> list[tuple[float, float, float]]:
    """(value, low, high) of a metric, row by row."""
    triples = rows[[metric, f"{metric}_low", f"{metric}_high"]].to_numpy(dtype=float).tolist()
    return [(value, low, high) for value, low, high in triples]


def finished(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with numbers in them: status `ok`."""
    return rows[rows["status"] == "ok"]


def best_known(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per (problem, name, temperature, samples): the exact one where there is one.

    Where the exact cosine is unknown, as that of means of integrated rows is, the Monte Carlo one stands in its place.
    """
    key, cosine = ["problem", "name", "temperature", "samples"], ["cosine", "cosine_low", "cosine_high"]
    first = rows.sort_values("method", key=lambda method: method != "exact", kind="stable")
    first[cosine] = first[cosine].fillna(first.groupby(key, dropna=False)[cosine].transform("first"))
    return first.drop_duplicates(key).sort_index()


def at_smallest_samples(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows at the smallest number of samples N that every name has; where there is none, of each at its own."""
    by_name = rows.groupby("name")["samples"]
    common = set(rows["samples"]).intersection(*by_name.unique())
    return rows[rows["samples"] == (min(common) if common else by_name.transform("min"))]


def middle_temperature(rows: pd.DataFrame) -> float:
    """The middle one of all temperatures, the lower of two; NaN if there is none."""
    every = sorted(rows["temperature"].dropna().unique())
    return float(every[(len(every) - 1) // 2]) if every else math.nan


def at_middle_temperature(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of each name at its temperature nearest (in log) to the middle one of all, and those without."""
    middle = middle_temperature(rows)
    given = rows.dropna(subset=["temperature"])
    nearest = {
        name: min(sorted(own.unique()), key=lambda tau: round(abs(math.log(tau / middle)), 9))
        for name, own in given.groupby("name")["temperature"]
    }
    return rows[rows["temperature"].isna() | (rows["temperature"] == rows["name"].map(nearest))]


def are_bernoulli(rows: pd.DataFrame) -> bool:
    """Whether all variables are Bernoulli variables."""
    # results have 2 classes of these too, so that the name alone says it
    return bool(rows["distribution"].str.startswith("bernoulli").all())


def variables(rows: pd.DataFrame) -> str:
    """The distribution and the size of the first row, as `Categorical, 3 variables of 4 categories`."""
    one = rows.iloc[0]
    family = plain(one["distribution"]).capitalize()
    if not pd.isna(one["dimensions"]):
        family += f", {one['dimensions']:.0f} variable" + ("" if one["dimensions"] == 1 else "s")
    if not (pd.isna(one["categories"]) or are_bernoulli(rows)):
        family += f" of {one['categories']:.0f} categories"
    return family


def describe(rows: pd.DataFrame) -> str:
    """What the rows of one problem share: family, size, length of the true gradient, replicates."""
    family = variables(rows)
    length = rows["true_norm"].dropna()
    measured = (rows["status"] == "ok").any()  # rows that failed say nothing of the gradient
    lengths = dict.fromkeys(f"{x:.3g}" for x in (length.min(), length.max())) if len(length) else ()
    truth = [f"‖g‖ = {' to '.join(lengths)}"] if lengths else ["true gradient unknown"] * bool(measured)
    if "seeds" in rows and len(seeds := rows["seeds"].dropna()):
        return " · ".join([family, *truth, f"means over {int(seeds.max()):,} seeds"])
    counts = rows.loc[rows["method"] == "monte_carlo", "replicates"].dropna().astype(int)
    ends = " to ".join(f"{count:,}" for count in sorted({counts.min(), counts.max()})) if len(counts) else ""
    return " · ".join([family, *truth] + ([f"R = {ends} replicates"] if ends else []))
