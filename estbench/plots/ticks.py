"""Ticks of an axis: a label each, and a stroke, and a line across the panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.markers import TICKDOWN, TICKLEFT, MarkerStyle
from matplotlib.ticker import NullLocator

STROKE, PAD = 3.5, 3.5  # points: the length of a stroke, and from there (or from the panel) to a label
COLOUR, GRID = "#444444", "#e8e8e8"


def add_ticks(
    ax: Axes, axis: Literal["x", "y"], at: Sequence[float], labels: Sequence[str], *, lines: bool = True
) -> None:
    """Label these places of an axis, with strokes and lines unless told otherwise.

    All strokes are one artist, and so are all lines; matplotlib's own ticks, five artists each, take an eighth of the
    time of a figure.
    """
    pad = PAD + STROKE if lines else PAD
    if axis == "x":
        turn, marker = slice(None), MarkerStyle(TICKDOWN)
        across, (beside, va, ha) = ax.get_xaxis_transform(), ax.get_xaxis_text1_transform(pad)
    else:
        turn, marker = slice(None, None, -1), MarkerStyle(TICKLEFT)
        across, (beside, va, ha) = ax.get_yaxis_transform(), ax.get_yaxis_text1_transform(pad)
    own = ax.xaxis if axis == "x" else ax.yaxis
    own.set_major_locator(NullLocator())
    own.set_minor_locator(NullLocator())
    if lines:
        line = [np.repeat(at, 3), np.tile([0.0, 1.0, np.nan], len(at))][turn]
        ax.add_artist(Line2D(*line, transform=across, color=GRID, linewidth=0.7, zorder=0.5))
        stroke = [np.array(at), np.zeros(len(at))][turn]
        ax.add_artist(
            Line2D(*stroke, transform=across, clip_on=False, zorder=0.5, linestyle="none",
                   marker=marker, color=COLOUR, markersize=STROKE, markeredgewidth=0.8)
        )  # fmt: skip
    for place, label in zip(at, labels, strict=True):
        x, y = [place, 0.0][turn]
        ax.text(x, y, label, transform=beside, va=va, ha=ha, size=8.5, color=COLOUR)
