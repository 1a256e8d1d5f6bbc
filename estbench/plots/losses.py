"""Losses of networks and of logits in training: against the epoch or step, and at the end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from estbench.plots.page import beside, page
from estbench.plots.style import GREY, Look, key, looks, width
from estbench.plots.ticks import add_ticks
from estbench.tables.adaptive import broken
from estbench.views import variables

EXACT = "exact"
LINE = 0.24  # inches of height for each estimator in the panels of final values


def losses(rows: pd.DataFrame, level: float) -> Figure | None:
    """The loss of each training of one network, on data kept back, or of the logits of one trajectory.

    On the left the median and a band over seeds, on the right the final mean; further, the importance-weighted bound
    where there is one, for logits the share of seeds that end worse than they began, for gates the share of open gates
    beside its target. Where no data are kept back it is the loss on all data. None if there are not two checkpoints.
    """
    logits = bool((rows["kind"] == "trajectory").any())
    kept_back = rows["data"] == "valid"
    rows, shared = (rows[kept_back], " · data kept back") if kept_back.any() else (rows, "")
    if rows["checkpoint"].nunique() < 2:
        return None
    final = rows[rows["checkpoint"] == rows["checkpoint"].max()].sort_values("loss")
    names = [EXACT] * bool((final["trained_by"] == EXACT).any())
    names += [name for name in final["trained_by"] if name != EXACT]
    groups = looks([name for name in names if name != EXACT])
    texts = [[broken(name, 30) for name in group] for group in groups]
    seeds, target = int(rows["seeds"].max()), float(final["open_target"].iloc[0])
    bounded = "importance_weighted" in final and bool(final["importance_weighted"].notna().all())
    more = ["importance_weighted"] * bounded
    more += ["share_worse"] * logits + ["open_share"] * (not math.isnan(target))
    texts[0] += ["", "exact gradient", f"5 to 95 % of {seeds} seeds"]
    first = rows.iloc[0]
    said = f" {first['distribution']} " in f"{first['problem']} "  # of runs of earlier versions it is not
    described = "" if said else f"{variables(rows)} · "
    figure, axes = page(
        f"{first['problem']}: loss while training",
        f"{described}{seeds} seeds{shared} · at the end: mean and {100 * level:g} % interval",
        2 + len(more),
        texts,
        panel=(3.9, max(2.9, LINE * len(names))),
        across=0.9 + max(width(broken(name, 30).split("\n")[0], 8.5) for name in names),
    )
    unit = "step" if logits else "epoch"
    for group, text, (curve, end, *more_of_end) in zip(groups, texts, axes, strict=True):
        _curves(curve, rows, group, unit)
        _end(end, final, names, group)
        end.set_title(f"loss after {unit} {int(final['checkpoint'].iloc[0])}", weight="bold")
        for of, ax in zip(more, more_of_end, strict=True):
            _end(ax, final, names, group, of)
            if of == "importance_weighted":
                ax.set_title("importance-weighted bound", weight="bold")
                ax.set_title(f"K = {int(final['importance_samples'].iloc[0])}", loc="right", color=GREY)
            elif of == "open_share":
                ax.axvline(target, color=GREY, linewidth=0.9, zorder=0, linestyle="--")
                ax.set_title("share of open gates", weight="bold")
                ax.set_title(f"target {target:g}", loc="right", color=GREY)
            else:
                ax.set_title("seeds worse than at the start", weight="bold")
                ax.set_xlim(-0.02, max(0.52, 1.05 * float(final["share_worse"].max())))
        keys = [key(look.colour, linestyle=look.line, linewidth=1.6) for look in group.values()]
        bands = [key(), key("#000000", linestyle="-", linewidth=1.8), key(GREY, linestyle="-", linewidth=6, alpha=0.3)]
        beside(figure, ([end, *more_of_end])[-1], keys + (bands if group is groups[0] else []), text)
    return figure


def _curves(ax: Axes, rows: pd.DataFrame, group: Mapping[str, Look], unit: str) -> None:
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
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    ax.set_xlabel(unit)
    ax.set_title("loss", weight="bold")


def _end(
    ax: Axes,
    final: pd.DataFrame,
    names: list[str],
    group: Mapping[str, Look],
    of: str = "loss",
) -> None:
    """A final value of each training, with its interval where it has one, beside the name of the training."""
    own: dict[str, dict[Any, float]] = {row["trained_by"]: row for row in final.to_dict("records")}
    ax.xaxis.set_major_locator(MaxNLocator(4))
    for i, name in enumerate(reversed(names)):
        row, drawn = own[name], name in group or name == EXACT
        colour = "#000000" if name == EXACT else group[name].colour if drawn else "#bbbbbb"
        marker = "|" if name == EXACT else group[name].marker if drawn else "o"
        if f"{of}_low" in row:
            ax.plot([row[f"{of}_low"], row[f"{of}_high"]], [i, i], color=colour, linewidth=1.2)
        ax.plot([row[of]], [i], color=colour, marker=marker, markersize=6 if name != EXACT else 11)
        if name == EXACT and of != "open_share":
            ax.axvline(row[of], color=GREY, linewidth=0.9, zorder=0)
    add_ticks(ax, "y", np.arange(len(names)).tolist(), [broken(name, 30) for name in reversed(names)], lines=False)
    ax.set_ylim(-0.6, len(names) - 0.4)
