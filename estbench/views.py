"""What a reader is shown of a results frame: safe names, and the slice that stands for the whole."""

from __future__ import annotations

import math
import unicodedata

import pandas as pd


def plain(text: object) -> str:
    """Text on one line without control, format or surrogate characters (terminal escapes, bidi marks); unknown is ""."""
    if text is None or text is pd.NA or text != text:
        return ""
    kept = (c for c in str(text) if c.isspace() or unicodedata.category(c)[0] != "C")
    return " ".join("".join(kept).split())


def named(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with a column `name`: the label, else estimator[options]; both, where one label is given to two of them."""
    frame = frame.reset_index(drop=True)
    full = pd.Series([_full(e, o) for e, o in zip(frame["estimator"], frame["options"], strict=True)], dtype=object)
    label = pd.Series([plain(v) for v in frame["label"]], dtype=object)
    label = label.where(label != "", full)
    shared = full.groupby(label).transform("nunique") > 1
    return frame.assign(name=label.where(~shared | (label == full), label + " · " + full))


def _full(estimator: object, options: object) -> str:
    return plain(estimator) + (f"[{plain(options)}]" if plain(options) else "")


def finished(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with numbers in them: status `ok`."""
    return rows[rows["status"] == "ok"]


def best_known(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per (problem, name, temperature, samples): the exact one where there is one."""
    first = rows.sort_values("method", key=lambda method: method != "exact", kind="stable")
    return first.drop_duplicates(["problem", "name", "temperature", "samples"]).sort_index()


def at_smallest_samples(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of each name at its smallest number of samples N."""
    return rows[rows["samples"] == rows.groupby("name")["samples"].transform("min")]


def at_middle_temperature(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of each name at its temperature nearest (in log) to the middle one of all; names without one are kept."""
    given = rows.dropna(subset=["temperature"])
    if given.empty:
        return rows
    every = sorted(given["temperature"].unique())
    middle = every[(len(every) - 1) // 2]
    nearest = {
        name: min(sorted(own.unique()), key=lambda tau: round(abs(math.log(tau / middle)), 9))
        for name, own in given.groupby("name")["temperature"]
    }
    return rows[rows["temperature"].isna() | (rows["temperature"] == rows["name"].map(nearest))]


def describe(rows: pd.DataFrame) -> str:
    """What the rows of one problem share: family, size, length of the true gradient, replicates."""
    one = rows.iloc[0]
    size = (
        "" if pd.isna(one["dimensions"]) else f", {one['dimensions']:.0f} variable" + "s" * int(one["dimensions"] != 1)
    )
    classes = "" if pd.isna(one["categories"]) else f" of {one['categories']:.0f} categories"
    truth = "true gradient unknown" if pd.isna(one["true_norm"]) else f"‖g‖ = {one['true_norm']:.3g}"
    replicates = rows.loc[rows["method"] == "monte_carlo", "replicates"].dropna().unique()
    count = (
        f"{min(replicates):,.0f}" + (f" to {max(replicates):,.0f}" if len(replicates) > 1 else "")
        if len(replicates)
        else ""
    )
    parts = [
        plain(one["distribution"]).capitalize() + size + classes,
        truth,
        *([f"{count} replicates"] if count else []),
    ]
    return " · ".join(parts)
