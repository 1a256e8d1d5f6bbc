"""bias² and variance against temperature."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from estbench.plots.sheet import Panel, sheet
from estbench.plots.style import LOOKS
from estbench.views import at_smallest_samples


def temperature(rows: pd.DataFrame, level: float) -> Figure | None:
    """The trade of bias² for variance of one problem, at the smallest N. None if there are not two temperatures.

    Estimators with a temperature come first. Those without are horizontal lines, of which only as many are named as
    there are looks left; the overview names all.
    """
    rows = at_smallest_samples(rows)
    metrics = [metric for metric in ("bias_squared", "variance") if rows[metric].notna().any()]
    if rows["temperature"].nunique() < 2 or not metrics:
        return None
    fewest = int(rows["samples"].min())
    samples, heated = (rows.groupby("name", sort=False)[column].min() for column in ("samples", "temperature"))
    count = int(heated.notna().sum())
    shown = [*heated.index[heated.notna()], *heated.index[heated.isna()]][: count + -count % len(LOOKS)]
    labels = {name: name if samples[name] == fewest else f"{name} (N = {samples[name]:.0f})" for name in shown}
    unnamed = len(heated) - len(shown)
    remark = f"N = {fewest}" + (f" · {unnamed} more without a temperature are named in the overview" if unnamed else "")
    panels = [Panel(rows, "temperature", metric) for metric in metrics]
    return sheet(panels, rows, remark, labels, level)
