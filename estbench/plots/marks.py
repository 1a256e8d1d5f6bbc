"""Points with intervals, and the cells they come from as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from estbench.plots.scale import Scale
from estbench.plots.style import Look
from estbench.views import ends

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class Cells:
    """The known values of a metric, cell by cell, and where they are drawn on an axis.

    name    [n]     names
    exact   [n]     whether the value is exact
    given   [n, 3]  value, low, high
    drawn   [n, 3]  the same on the axis: not below its 0
    """

    name: NDArray[np.object_]
    exact: Booleans
    given: Floats
    drawn: Floats

    @classmethod
    def of(cls, rows: pd.DataFrame, metric: str, scale: Scale | None) -> Cells:
        """The cells of rows in all of which the metric is known; on a linear axis if there is no scale."""
        given = np.array(ends(rows, metric)).reshape(-1, 3)
        exact = (rows["method"] == "exact").to_numpy(dtype=bool)
        return cls(rows["name"].to_numpy(), exact, given, given if scale is None else scale.place(given))

    def best(self, at: Floats) -> Booleans:
        """The exact cells, and those without an exact one at the same place (NaN is one place)."""
        places = list(zip(self.name, np.nan_to_num(at, nan=-1.0), strict=True))
        known = {place for place, exact in zip(places, self.exact, strict=True) if exact}
        return np.array([e or place not in known for place, e in zip(places, self.exact, strict=True)], dtype=bool)


def points(
    ax: Axes, cells: Cells, at: Floats, looks: Sequence[Look | None], along: Literal["x", "y"], reaches: bool
) -> None:
    """Draw the Monte Carlo cells that have a look: their intervals along an axis, at these places on the other.

    Hollow where the interval reaches 0, if a value that does so is worth a remark.
    """
    value, low, high = cells.drawn.T
    turn = slice(None) if along == "y" else slice(None, None, -1)
    bars = np.stack([np.column_stack([at, end][turn]) for end in (low, high)], axis=1)
    hollow = reaches & (cells.given[:, 1] <= 0)
    drawn: dict[tuple[Look, bool], list[int]] = {}
    for i, look in enumerate(looks):
        if look is not None and not cells.exact[i]:
            drawn.setdefault((look, bool(hollow[i])), []).append(i)
    strokes(ax, [(bars[i], look) for (look, _), own in drawn.items() for i in own], linewidths=1.1, zorder=4)
    for (look, empty), own in drawn.items():
        face = "white" if empty else look.colour
        xy = [at[own], value[own]][turn]
        add_marks(ax, xy, marker=look.marker, color=look.colour, markerfacecolor=face, markersize=5.0, zorder=5)


def strokes(ax: Axes, lines: Sequence[tuple[Floats, Look]], *, dashed: bool = False, **style: Any) -> None:
    """Lines [points, 2] in the colours of their looks, all in one artist; the limits of the axes stay as they are."""
    if lines:
        colours, dashes = [look.colour for _, look in lines], [look.line if dashed else "-" for _, look in lines]
        made = LineCollection([line for line, _ in lines], colors=colours, linestyles=dashes, **style)
        ax.add_collection(made, autolim=False)


def add_marks(ax: Axes, xy: list[Floats], **style: Any) -> None:
    """Markers without a line; the limits of the axes stay as they are (which is also several times as fast)."""
    ax.add_artist(Line2D(*xy, linestyle="none", **({"markeredgewidth": 1.0} | style)))
