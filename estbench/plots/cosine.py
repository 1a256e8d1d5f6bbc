"""The cosine between estimate and true gradient, against temperature and against N."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.figure import Figure

from estbench.plots.sheet import Panel, sheet
from estbench.views import are_bernoulli, at_middle_temperature, at_smallest_samples, middle_temperature


def cosine(rows: pd.DataFrame, level: float) -> Figure | None:
    """How well single estimates point along the true gradient. None if neither temperature nor N has two values."""
    rows = rows[rows["cosine"].notna()]
    hot, many = at_smallest_samples(rows), at_middle_temperature(rows)
    middle, panels, remarks = middle_temperature(rows), [], []
    if hot["temperature"].nunique() > 1:
        panels.append(Panel(hot, "temperature", "cosine"))
        fewest = hot["samples"].unique()
        remarks.append("against τ at " + (f"N = {fewest[0]:.0f}" if len(fewest) == 1 else "the smallest N of each"))
    if many["samples"].nunique() > 1:
        panels.append(Panel(many, "samples", "cosine"))
        remarks.append("against N" + ("" if math.isnan(middle) else f" at τ = {middle:g} or nearest"))
    if not panels:
        return None
    remark = ", ".join(remarks)
    if (rows["dimensions"] == 1).all() and are_bernoulli(rows):
        remark += " · one parameter: sign agreement"
    return sheet(panels, rows, remark, {str(name): str(name) for name in rows["name"].unique()}, level)
