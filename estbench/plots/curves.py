"""One metric against temperature or N: exact values as lines, Monte Carlo as points with their intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from estbench.columns import column
from estbench.plots.marks import Booleans, Cells, Floats, points, strokes
from estbench.plots.scale import Scale, scale
from estbench.plots.style import FAINT, GREY, Look
from estbench.plots.ticks import add_ticks
from estbench.tables.numbers import as_given
from estbench.views import ends


def curves(
    ax: Axes,
    rows: pd.DataFrame,
    x: str,
    metric: str,
    looks: Mapping[str, Look],
    labels: Mapping[float, str] | None = None,
) -> Axes:
    """Draw `metric` of the rows of one problem against the column `x`; names without a look are faint, as context.

    `labels` stand at the values of x in place of the values themselves. Estimators without a temperature are horizontal
    lines, with their points in a place of their own at the right.
    """
    values = rows[x].dropna().unique()
    rows = rows[rows[metric].notna()].sort_values(x)
    step = max(1.6, (values.max() / values.min()) ** 0.11)
    aside = values.max() * step**2 if rows[x].isna().any() else None  # where points without a temperature stand
    limits = (values.min() / step**0.5, aside * step if aside else values.max() * step**0.5)
    found = value_axis(ax, rows, metric, "y")
    cells, at = Cells.of(rows, metric, found), rows[x].to_numpy(dtype=np.float64)

    def lines(chosen: Booleans) -> list[Floats]:  # [points, 2] through the chosen cells
        y, free = cells.drawn[chosen, 0], np.isnan(at[chosen])
        sloped = [np.column_stack([at[chosen], y])[~free]] if not free.all() else []
        return sloped + [np.array([(end, level) for end in limits]) for level in y[free]]

    best = cells.best(at)
    others = [name for name in dict.fromkeys(cells.name) if name not in looks]
    context = [line for name in others for line in lines(best & (cells.name == name))]
    ax.add_collection(LineCollection(context, colors=FAINT, linewidths=0.9, zorder=1), autolim=False)
    own = {name: cells.name == name for name in looks}
    exact = [(line, look) for name, look in looks.items() for line in lines(own[name] & cells.exact)]
    partly = {name: look for name, look in looks.items() if (best & own[name] & ~cells.exact).any()}
    joined = [(line, look) for name, look in partly.items() for line in lines(best & own[name])]
    strokes(ax, exact, dashed=True, linewidths=1.8, zorder=3)
    strokes(ax, joined, dashed=True, linewidths=0.8, zorder=2, alpha=0.6)
    shifts = dict(zip(looks, (np.arange(len(looks)) + 0.5) / len(looks) - 0.5, strict=True))
    shift = np.array([shifts.get(name, 0.0) for name in cells.name])
    place = np.where(np.isnan(at), (aside or 1.0) * step ** (1.6 * shift), at * step ** (0.15 * shift))
    points(ax, cells, place, [looks.get(name) for name in cells.name], along="y", reaches=found is not None)
    _across(ax, x, sorted(values), aside, limits, labels or {})
    if x == "samples" and found is not None:
        _slopes(ax, found, limits)
    entitle(ax, metric)
    return ax


def value_axis(ax: Axes, rows: pd.DataFrame, metric: str, axis: Literal["x", "y"]) -> Scale | None:
    """The axis of a metric for all rows: linear for the cosine (None), else logarithmic; with lines at 0 and at 1."""
    line, set_limits = (ax.axvline, ax.set_xlim) if axis == "x" else (ax.axhline, ax.set_ylim)
    if metric == "cosine":
        lowest = min(0.0, float(rows[["cosine", "cosine_low"]].min().min()))
        margin = 0.04 * (1 - lowest)
        set_limits(lowest - margin, 1 + margin)
        step = 0.25 if lowest > -0.3 else 0.5
        ticks = [i * step for i in range(math.ceil((lowest - margin) / step), round(1 / step) + 1)]
        add_ticks(ax, axis, ticks, [f"{tick:g}".replace("-", "−") for tick in ticks])
        line(0.0, color=GREY, linewidth=0.8, zorder=1.5)
        line(1.0, color=GREY, linewidth=0.8, zorder=1.5)
        return None
    found = scale(ends(rows, metric))
    found.apply(ax, axis)
    if found.zero is not None:
        line(found.zero, color=GREY, linewidth=0.8, zorder=1.5)
    return found


def entitle(ax: Axes, metric: str) -> None:
    """Name the metric above a panel, and its formula at the right."""
    ax.set_title(column(metric).label, weight="bold")
    ax.set_title(column(metric).formula, loc="right", color=GREY)


def _across(
    ax: Axes,
    x: str,
    values: list[float],
    aside: float | None,
    limits: tuple[float, float],
    labels: Mapping[float, str],
) -> None:
    """The axis of temperature or N: ticks at the values themselves, and the place for those without."""
    shown = values[:: -(-len(values) // 8)]
    ax.set_xscale("log")
    ax.set_xlim(limits)
    texts = [labels.get(v) or as_given(v) for v in shown]
    add_ticks(ax, "x", shown + ([aside] if aside else []), texts + (["none"] if aside else []))
    ax.set_xlabel(column(x).label)
    if aside:
        ax.axvspan(aside**2 / limits[1], limits[1], color="#f4f4f4", zorder=0, linewidth=0)


def _slopes(ax: Axes, scale: Scale, limits: tuple[float, float]) -> None:
    """Guides that fall like 1/N, a factor of ten apart."""
    first, last = np.ceil(np.log10(scale.low)), np.log10(scale.high * limits[1] / limits[0])
    guides = []
    for level in 10.0 ** np.arange(first, last):
        values = np.maximum(level * limits[0] / np.array(limits), scale.low)
        guides.append(np.column_stack([level * limits[0] / values, values]))
    ax.add_collection(LineCollection(guides, colors=GREY, linewidths=0.8, linestyles=":", zorder=1), autolim=False)
