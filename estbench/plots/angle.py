"""The cosine between coarse gradients and the true gradient against the angle of w and w*."""

from __future__ import annotations

import math
import re

import pandas as pd
from matplotlib.figure import Figure

from estbench.plots.curves import curves
from estbench.plots.page import beside, page
from estbench.plots.sheet import Panel, marks, samples
from estbench.plots.style import GREY, looks
from estbench.tables.adaptive import broken
from estbench.views import at_middle_temperature, at_smallest_samples, describe

_THETA = re.compile(r"theta=([0-9.eE+-]+),?")


def theta_of(network: object) -> float:
    """The angle that a network of thresholds is given; NaN if it is another network, or has an angle of its own."""
    text = str(network)
    found = _THETA.search(text) if text.startswith("coarse_gradient[") and "start=given" in text else None
    return float(found[1]) if found else math.nan


def of_angles(problem: str) -> str:
    """What problems that differ in the angle alone share of their labels."""
    return _THETA.sub("", problem).replace(",]", "]").replace(", trained by exact, epoch 0", "")


def angle(rows: pd.DataFrame, level: float) -> Figure | None:
    """The cosine of the mean, and the mean cosine, against θ; None if there are not two angles at the start.

    Cosine of the mean: exact values as lines; of estimators without them, the cosine of the mean of all replicates, as
    points without an interval. Mean cosine: sampled values with their intervals.
    """
    if "network" not in rows or "checkpoint" not in rows:
        return None
    rows = rows.assign(theta=rows["network"].map(theta_of))
    rows = at_middle_temperature(at_smallest_samples(rows[rows["theta"].notna() & (rows["checkpoint"] == 0)]))
    rows = rows[rows["cosine_of_mean"].notna()]
    thetas = sorted(rows["theta"].unique())
    if len(thetas) < 2:
        return None
    places = {theta: math.exp(2 * theta) for theta in thetas}  # the axis is in logarithms: evenly spaced in θ
    labels = {place: f"{theta:g}" for theta, place in places.items()}
    placed = rows.assign(checkpoint=rows["theta"].map(places))  # x is a column with a label, which is replaced below
    alone = {"cosine_low": math.nan, "cosine_high": math.nan}
    known = placed["name"].isin(placed.loc[placed["method"] == "exact", "name"])
    means = placed[(placed["method"] == "exact") | ~known]
    panels = {
        "cos(E ĝ, g)": Panel(means.assign(cosine=means["cosine_of_mean"], **alone), "checkpoint", "cosine"),
        "E cos(ĝ, g)": Panel(placed[placed["cosine"].notna()], "checkpoint", "cosine"),
    }
    panels = {formula: panel for formula, panel in panels.items() if len(panel.rows)}
    names = {str(name): str(name) for name in rows["name"].unique()}
    groups = looks(list(names))
    texts = [[broken(names[name], 30) for name in group] for group in groups]
    keys, meanings = marks(list(panels.values()), rows["name"].nunique() > len(groups[0]), level)
    texts[0] += meanings
    details = re.sub(r" · ‖g‖ = [^·]*(?= ·|$)", "", describe(rows)) + f" · batch = {rows['batch'].iloc[0]:.0f}"
    figure, axes = page(of_angles(str(rows["problem"].iloc[0])), details, len(panels), texts)
    for group, text, line in zip(groups, texts, axes, strict=True):
        for (formula, panel), ax in zip(panels.items(), line, strict=True):
            curves(ax, panel.rows, panel.x, panel.metric, group, labels)
            ax.set_title("cosine of the mean" if formula == "cos(E ĝ, g)" else "mean cosine", weight="bold")
            ax.set_title(formula, loc="right", color=GREY)
            ax.set_xlabel("angle θ between w and w*")
        beside(figure, line[-1], samples(group, list(panels.values())) + (keys if group is groups[0] else []), text)
    return figure
