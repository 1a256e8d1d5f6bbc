"""bias² and variance against temperature."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from estbench.plots.sheet import Panel, sheet
from estbench.views import at_smallest_samples


def temperature(rows: pd.DataFrame, level: float = 0.95) -> Figure | None:
    """The trade of bias² for variance of one problem, at the smallest N. None if there are not two temperatures."""
    rows = at_smallest_samples(rows)
    metrics = [metric for metric in ("bias_squared", "variance") if rows[metric].notna().any()]
    if rows["temperature"].nunique() < 2 or not metrics:
        return None
    fewest = int(rows["samples"].min())
    labels = {
        str(name): f"{name}" if n == fewest else f"{name} (N = {n:.0f})"
        for name, n in rows.groupby("name", sort=False)["samples"].min().items()
    }
    panels = [Panel(rows, "temperature", metric) for metric in metrics]
    return sheet(panels, rows, f"N = {fewest}", labels, level)
