"""Bias², variance and cosine of gradients in a network against the epoch of its training."""

from __future__ import annotations

import re

import pandas as pd
from matplotlib.figure import Figure

from estbench.columns import column
from estbench.plots.curves import curves
from estbench.plots.page import beside, page
from estbench.plots.sheet import Panel, marks, samples
from estbench.plots.style import GREY, looks
from estbench.tables.adaptive import broken
from estbench.views import at_middle_temperature, at_smallest_samples, describe

RELATIVE = {"bias_squared": "bias²/‖g‖²", "variance": "variance/‖g‖²", "cosine": "cosine"}


def of_training(problem: str) -> str:
    """What the problems of all checkpoints of a training share of their labels."""
    return re.sub(r", (epoch|step) \d+", "", problem)


def checkpoints(rows: pd.DataFrame, level: float) -> Figure | None:
    """Metrics against the checkpoint, of the rows of all checkpoints of a training. None if there are not two."""
    rows = at_middle_temperature(at_smallest_samples(rows[rows["checkpoint"].notna()]))
    epochs = sorted(int(epoch) for epoch in rows["checkpoint"].dropna().unique())
    panels_of = [metric for metric in RELATIVE if rows[metric].notna().any()]
    if len(epochs) < 2 or not panels_of:
        return None
    places = {epoch: 2.0**i for i, epoch in enumerate(epochs)}  # evenly spaced on an axis in logarithms
    labels = {place: str(epoch) for epoch, place in places.items()}
    placed = relative(rows).assign(checkpoint=rows["checkpoint"].astype(float).map(places))
    names = {str(name): str(name) for name in rows["name"].unique()}
    groups = looks(list(names))
    panels = [Panel(placed, "checkpoint", metric) for metric in panels_of]
    texts = [[broken(names[name], 30) for name in group] for group in groups]
    keys, meanings = marks(panels, rows["name"].nunique() > len(groups[0]), level)
    texts[0] += meanings
    fewest = rows["samples"].unique()
    remark = f"N = {fewest[0]:.0f}" if len(fewest) == 1 else "the smallest N of each"
    figure, axes = page(of_training(str(rows["problem"].iloc[0])), f"{describe(rows)} · {remark}", len(panels), texts)
    for group, text, line in zip(groups, texts, axes, strict=True):
        for panel, ax in zip(panels, line, strict=True):
            curves(ax, panel.rows, panel.x, panel.metric, group, labels)
            ax.set_title(RELATIVE[panel.metric], weight="bold")
            ax.set_title("" if panel.metric != "cosine" else column("cosine").formula, loc="right", color=GREY)
            ax.set_xlabel("epoch" if "epoch" in str(rows["problem"].iloc[0]) else "step")
        beside(figure, line[-1], samples(group, panels) + (keys if group is groups[0] else []), text)
    return figure


def relative(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with bias² and variance, and the ends of their intervals, over the square of the exact gradient."""
    scaled = [metric + end for metric in ("bias_squared", "variance") for end in ("", "_low", "_high")]
    square = rows["true_norm"] ** 2
    return rows.assign(**{name: rows[name] / square for name in scaled})
