"""Losses of networks in training: against the epoch, and at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from estbench.plots.page import beside, page
from estbench.plots.style import GREY, Look, key, looks, width
from estbench.plots.ticks import add_ticks
from estbench.tables.adaptive import broken

EXACT = "exact"
LINE = 0.24  # inches of an estimator in the panel of the end


def losses(rows: pd.DataFrame, level: float) -> Figure | None:
    """The loss on data kept back, of each training of one network: median and band over seeds, and mean at the end.

    Where a training has but one checkpoint there is nothing to show: None.
    """
    rows = rows[rows["data"] == "valid"]
    if rows["checkpoint"].nunique() < 2:
        return None
    final = rows[rows["checkpoint"] == rows["checkpoint"].max()].sort_values("loss")
    names = [EXACT] * bool((final["trained_by"] == EXACT).any())
    names += [name for name in final["trained_by"] if name != EXACT]
    groups = looks([name for name in names if name != EXACT]) or [{}]
    texts = [[broken(name, 30) for name in group] for group in groups]
    seeds = int(rows["seeds"].max())
    texts[0] += ["", "exact gradient", f"5 to 95 % of {seeds} seeds"]
    first = rows.iloc[0]
    size = f"{first['dimensions']:.0f} variables" + (
        f" of {first['categories']:.0f} categories" if first["distribution"] == "categorical" else ""
    )
    figure, axes = page(
        f"{first['network']}: loss while training",
        f"{str(first['distribution']).capitalize()}, {size} · data kept back · {seeds} seeds · at the end: mean and "
        f"{100 * level:g} % interval",
        2,
        texts,
        panel=(3.9, max(2.9, LINE * len(names))),
        across=0.9 + max(width(broken(name, 30).split("\n")[0], 8.5) for name in names),
    )
    for group, text, (curve, end) in zip(groups, texts, axes, strict=True):
        _curves(curve, rows, group)
        _end(end, final, names, group)
        keys = [key(look.colour, linestyle=look.line, linewidth=1.6) for look in group.values()]
        more = [key(), key("#000000", linestyle="-", linewidth=1.8), key(GREY, linestyle="-", linewidth=6, alpha=0.3)]
        beside(figure, end, keys + (more if group is groups[0] else []), text)
    return figure


def _curves(ax: Axes, rows: pd.DataFrame, group: Mapping[str, Look]) -> None:
    for name, look in [*group.items(), (EXACT, Look("#000000", "|", ()))]:
        own = rows[rows["trained_by"] == name].sort_values("checkpoint")
        if own.empty:
            continue
        ax.fill_between(own["checkpoint"], own["loss_q05"], own["loss_q95"], color=look.colour, alpha=0.12, linewidth=0)
        ax.plot(own["checkpoint"], own["loss_q50"], color=look.colour, linestyle=look.line, linewidth=1.6)
    low, high = float(rows["loss_q05"].min()), float(rows["loss_q95"].max())
    ax.set_ylim(low - 0.04 * (high - low), high + 0.04 * (high - low))
    epochs = sorted(rows["checkpoint"].unique())
    ax.set_xlim(min(epochs), max(epochs))
    ax.set_xlabel("epoch")
    ax.set_title("loss", weight="bold")


def _end(ax: Axes, final: pd.DataFrame, names: list[str], group: Mapping[str, Look]) -> None:
    own: dict[str, dict[Any, float]] = {row["trained_by"]: row for row in final.to_dict("records")}
    for i, name in enumerate(reversed(names)):
        row, drawn = own[name], name in group or name == EXACT
        colour = "#000000" if name == EXACT else group[name].colour if drawn else "#bbbbbb"
        marker = "|" if name == EXACT else group[name].marker if drawn else "o"
        ax.plot([row["loss_low"], row["loss_high"]], [i, i], color=colour, linewidth=1.2)
        ax.plot([row["loss"]], [i], color=colour, marker=marker, markersize=6 if name != EXACT else 11)
        if name == EXACT:
            ax.axvline(row["loss"], color=GREY, linewidth=0.9, zorder=0)
    add_ticks(ax, "y", np.arange(len(names)).tolist(), [broken(name, 30) for name in reversed(names)], lines=False)
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.set_title(f"loss after epoch {int(final['checkpoint'].iloc[0])}", weight="bold")
