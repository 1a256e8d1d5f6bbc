"""Variance and MSE against the number of samples per estimate."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.figure import Figure

from estbench.plots.sheet import Panel, sheet
from estbench.views import at_middle_temperature, middle_temperature


def samples(rows: pd.DataFrame, level: float) -> Figure | None:
    """How variance falls with N, and MSE only down to bias², of one problem. None if there are not two N."""
    middle, rows = middle_temperature(rows), at_middle_temperature(rows)
    panels = [Panel(rows, "samples", metric) for metric in ("variance", "mse") if rows[metric].notna().any()]
    if rows["samples"].nunique() < 2 or not panels:
        return None
    labels = {
        str(name): f"{name}" if pd.isna(tau) else f"{name}, τ = {tau:g}"
        for name, tau in rows.groupby("name", sort=False)["temperature"].min().items()
    }
    return sheet(panels, rows, "no temperature" if math.isnan(middle) else f"τ = {middle:g} or nearest", labels, level)
