"""One page per problem: every estimator on a line of its own, its four metrics beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from estbench.columns import PANELS
from estbench.plots.curves import entitle, value_axis
from estbench.plots.marks import Cells, add_marks, points
from estbench.plots.page import beside, page
from estbench.plots.style import LOOKS, Look, key, width
from estbench.plots.ticks import add_ticks
from estbench.tables.adaptive import broken
from estbench.views import at_middle_temperature, at_smallest_samples, best_known, describe

LINE, EACH = 0.27, 0.075  # inches of a line, and more of it for every temperature after the first
UNHEATED = Look("#333333", "o", ())


def overview(rows: pd.DataFrame, level: float) -> Figure | None:
    """bias², variance, MSE and cosine of every estimator of one problem, smallest MSE on top. None if unknown."""
    rows = at_smallest_samples(rows)
    metrics = [metric for metric in PANELS if rows[metric].notna().any()]
    if not metrics:
        return None
    order = best_known(at_middle_temperature(rows)).sort_values(["mse", "variance"], kind="stable")["name"].unique()
    count = rows.groupby("name")["temperature"].nunique()[order].clip(lower=1)
    fewest, samples = rows["samples"].min(), rows.groupby("name")["samples"].min()
    labels = [broken(name if samples[name] == fewest else f"{name} (N = {samples[name]:.0f})", 30) for name in order]
    lines_of = np.array([len(label.split("\n")) for label in labels])
    heights = np.maximum(LINE + EACH * (count - 1), 0.1 + 0.14 * lines_of)
    looks = shades(rows["temperature"].unique())
    keys, texts = _legend(rows, looks, metrics, level)
    figure, [axes] = page(
        str(rows["problem"].iloc[0]),
        f"{describe(rows)} · N = {fewest:.0f} · smallest {'MSE' if 'mse' in metrics else 'variance'} on top",
        columns=len(metrics),
        legends=[texts],
        panel=(2.15, heights.sum()),
        left=0.3 + max(width(line, 8.5) for label in labels for line in label.split("\n")),
        across=0.3,
        bottom=0.35,
    )
    for ax, metric in zip(axes, metrics, strict=True):
        lines(ax, rows, metric, dict(zip(order, heights, strict=True)), looks, labels if ax is axes[0] else ())
    beside(figure, axes[-1], keys, texts)
    return figure


def lines(
    ax: Axes,
    rows: pd.DataFrame,
    metric: str,
    heights: Mapping[str, float],
    looks: Mapping[float | None, Look],
    labels: Sequence[str] = (),
) -> Axes:
    """Draw one metric: a line of the given height per name, from the top down, and a place on it per temperature.

    `labels` are written at the left of the lines.
    """
    found = value_axis(ax, rows, metric, "x")
    bottom = np.cumsum(list(heights.values()))
    middle = dict(zip(heights, bottom - np.array(list(heights.values())) / 2, strict=True))
    own = rows.groupby("name")["temperature"]
    rank, count = own.rank("dense").fillna(1), own.transform("nunique").clip(lower=1)
    known = rows[metric].notna()
    at = (rows["name"].map(middle) + EACH * (rank - (count + 1) / 2))[known].to_numpy()
    heat, cells = rows.loc[known, "temperature"].to_numpy(), Cells.of(rows[known], metric, found)
    for tau, look in looks.items():
        exact = (np.isnan(heat) if tau is None else heat == tau) & cells.exact
        tick = {"marker": "|", "markersize": 10, "markeredgewidth": 1.8, "color": look.colour, "zorder": 4}
        add_marks(ax, [cells.drawn[exact, 0], at[exact]], **tick)
    heated = [looks[None if np.isnan(tau) else tau] for tau in heat]
    points(ax, cells, at, heated, along="x", reaches=found is not None)
    for i in range(1, len(heights), 2):
        ax.axhspan(bottom[i - 1], bottom[i], color="#f6f6f6", zorder=0, linewidth=0)
    ax.set_ylim(bottom[-1], 0)
    add_ticks(ax, "y", list(middle.values()) if labels else [], labels, lines=False)
    entitle(ax, metric)
    return ax


def _legend(
    rows: pd.DataFrame, looks: Mapping[float | None, Look], metrics: Sequence[str], level: float
) -> tuple[list[Line2D], list[str]]:
    """Keys for temperatures and for what the marks mean, of those that occur."""
    heated = bool(rows["temperature"].notna().any())
    exact, sampled = ((rows["method"] == method).any() for method in ("exact", "monte_carlo"))
    reaches = (rows[[f"{metric}_low" for metric in metrics if metric != "cosine"]] <= 0).any(axis=None)
    made = [
        (heated, key(look.colour, marker=look.marker), "no temperature" if tau is None else f"τ = {tau:g}")
        for tau, look in looks.items()
    ] + [
        (heated, key(), ""),
        (bool(exact), key(marker="|", markersize=10, markeredgewidth=1.8), "exact"),
        (bool(sampled), key(marker="o"), f"Monte Carlo,\n{100 * level:g} % interval"),
        (bool(sampled and reaches), key(marker="o", markerfacecolor="white"), "interval reaches 0"),
    ]
    return [line for wanted, line, _ in made if wanted], [text for wanted, _, text in made if wanted]


def shades(temperatures: Iterable[float]) -> dict[float | None, Look]:
    """A look for every temperature, from dark and cold to light and hot, and one for none (None) where that occurs."""
    given = list(temperatures)
    known = sorted(tau for tau in given if not np.isnan(tau))
    colours = colormaps["viridis"](np.linspace(0.08, 0.85, max(1, len(known))))
    marked = {tau: Look(to_hex(colours[i]), LOOKS[(i + 1) % len(LOOKS)].marker, ()) for i, tau in enumerate(known)}
    unheated: dict[float | None, Look] = {None: UNHEATED} if len(known) < len(given) else {}
    return unheated | marked
