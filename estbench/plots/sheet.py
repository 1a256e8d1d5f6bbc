"""Panels of curves side by side, in as many rows as it takes for every estimator to have its own colour and dash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from estbench.plots.curves import curves
from estbench.plots.page import beside, page
from estbench.plots.style import FAINT, Look, key, looks
from estbench.tables.adaptive import broken
from estbench.views import describe

METHODS = ("exact", "monte_carlo")


@dataclass(frozen=True)
class Panel:
    """What one panel shows: a metric of these rows against a column."""

    rows: pd.DataFrame
    x: str
    metric: str


def sheet(panels: Sequence[Panel], rows: pd.DataFrame, remark: str, labels: Mapping[str, str], level: float) -> Figure:
    """The panels side by side for the rows of one problem; `labels` says which names have a look, and what text.

    All other names are faint lines.
    """
    groups = looks(list(labels))
    texts = [[broken(labels[name], 30) for name in group] for group in groups]
    keys, meanings = marks(panels, rows["name"].nunique() > len(groups[0]), level)
    texts[0] += meanings
    figure, axes = page(str(rows["problem"].iloc[0]), f"{describe(rows)} · {remark}", len(panels), texts)
    for group, text, line in zip(groups, texts, axes, strict=True):
        for panel, ax in zip(panels, line, strict=True):
            curves(ax, panel.rows, panel.x, panel.metric, group)
        beside(figure, line[-1], samples(group, panels) + (keys if group is groups[0] else []), text)
    return figure


def samples(group: Mapping[str, Look], panels: Sequence[Panel]) -> list[Line2D]:
    """One key per name: a line if some of it is exact, a marker if some of it is Monte Carlo."""
    methods = pd.concat([panel.rows for panel in panels]).groupby("name")["method"].agg(set)
    return [
        key(
            look.colour,
            marker=look.marker if "monte_carlo" in methods[name] else "",
            linestyle=look.line if "exact" in methods[name] else "none",
            linewidth=1.8,
        )
        for name, look in group.items()
    ]


def marks(panels: Sequence[Panel], others: bool, level: float) -> tuple[list[Line2D], list[str]]:
    """Keys for what the marks mean, of those that occur."""
    rows = pd.concat([panel.rows for panel in panels])
    exact, sampled = rows["method"] == "exact", rows["method"] == "monte_carlo"
    reaches = any((panel.rows[f"{panel.metric}_low"] <= 0).any() for panel in panels if panel.metric != "cosine")
    counts = rows.groupby(["name", "method"]).size().unstack(fill_value=0).reindex(columns=list(METHODS), fill_value=0)
    lonely = bool((counts["monte_carlo"] > counts["exact"]).any())
    sloped = any(panel.x == "samples" and panel.metric != "cosine" for panel in panels)
    made = [
        (True, key(), ""),
        (exact.any(), key(linestyle="-", linewidth=1.8), "exact"),
        (sampled.any(), key(marker="o"), f"Monte Carlo,\n{100 * level:g} % interval"),
        (lonely, key(linestyle="-", linewidth=0.8), "joins the points"),
        (sampled.any() and reaches, key(marker="o", markerfacecolor="white"), "interval reaches 0"),
        (sloped, key(linestyle=":", linewidth=0.9), "slope of 1/N"),
        (others, key(FAINT, linestyle="-", linewidth=1.2), "the others"),
    ]
    return [line for wanted, line, _ in made if wanted], [text for wanted, _, text in made if wanted]
