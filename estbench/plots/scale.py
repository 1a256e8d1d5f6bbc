"""Log axes that can show 0: values at or below 0 stand on a line of their own, below a break."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from estbench.plots.ticks import add_ticks

SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Scale:
    """A log axis from `low` to `high`; with `zero`, the place below them where 0 and less is drawn."""

    low: float
    high: float
    zero: float | None = None

    def place(self, values: ArrayLike) -> NDArray[np.float64]:
        """Where values are drawn: themselves, but not below the axis; 0 and less at its zero."""
        given = np.asarray(values, dtype=np.float64)
        return np.where(given <= 0, self.low if self.zero is None else self.zero, np.maximum(given, self.low))

    def apply(self, ax: Axes, axis: Literal["x", "y"] = "y") -> None:
        """Give the axis this scale: limits, ticks in decades (or 1, 2, 5), and 0 with a break above it."""
        ticks = decades(self.low, self.high, 8 if axis == "y" else 4)
        labels = tick_labels(ticks)
        (ax.set_yscale if axis == "y" else ax.set_xscale)("log")
        margin = (self.high / (self.zero or self.low)) ** 0.02
        (ax.set_ylim if axis == "y" else ax.set_xlim)((self.zero or self.low) / margin, self.high)
        if self.zero is None:
            add_ticks(ax, axis, ticks, labels)
        else:
            add_ticks(ax, axis, [self.zero, *ticks], ["0", *labels])
            _break(ax, axis, math.sqrt(self.zero * self.low))


def scale(ends: Sequence[tuple[float, float, float]]) -> Scale:
    """The scale for (value, low, high) of what is drawn.

    From the smallest value (or upper end, where the interval reaches 0) to the largest upper end, with lower ends down
    to a thirtieth of their value; from .1 to 1 if nothing is positive.
    """
    known = [(value, low, high) for value, low, high in ends if math.isfinite(value)]
    smallest = [high if low <= 0 else value if math.isnan(low) else max(low, value / 30) for value, low, high in known]
    largest = [end for value, _, high in known for end in (value, high)]
    shown = [end for end in smallest if 0 < end < math.inf] or [0.1, 1.0]
    low, high = min(shown), max(shown + [end for end in largest if math.isfinite(end)])
    spare = max(1.25, (high / low) ** 0.06)
    low, high = low / spare, high * spare
    beneath = any(value <= 0 or end <= 0 for value, end, _ in known)
    return Scale(low, high, low / (high / low) ** 0.12 if beneath else None)


def decades(low: float, high: float, most: int) -> list[float]:
    """At most `most` ticks: at 1, 2, 5 times powers of ten; if these are too many, at powers of ten, or some of them.

    Evenly spaced ones where fewer than two of these lie between low and high.
    """
    first, last = math.floor(math.log10(low)), math.floor(math.log10(high))
    fine = [m * 10.0**n for n in range(first, last + 1) for m in (1, 2, 5)]
    powers = [10.0**n for n in range(first, last + 1)]
    within = [[tick for tick in ticks if low <= tick <= high] for ticks in (fine, powers)]
    if len(within[0]) < 2:
        even = MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(low, high)
        return _thinned([float(tick) for tick in even if low <= tick <= high], most)
    for ticks in within:
        if len(ticks) <= most and (ticks is within[0] or len(ticks) > 1):
            return ticks
    return _thinned(within[1] if len(within[1]) > 1 else within[0], most)


def _thinned(ticks: list[float], most: int) -> list[float]:
    """All ticks, or every second, third, … of them: at most so many."""
    return ticks[:: -(-len(ticks) // most)]


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """As decimals if all are of handy size (0.002, 20), else as powers of ten (10⁻⁶, 2×10⁻⁶)."""
    if all(1e-4 <= tick <= 1e4 for tick in ticks) and (len(ticks) < 4 or ticks[-1] / ticks[0] < 2e3):
        return [f"{tick:.8f}".rstrip("0").rstrip(".") for tick in ticks]
    exponents = [math.floor(math.log10(tick) + 1e-9) for tick in ticks]
    mantissas = [f"{tick / 10.0**exponent:.4g}" for tick, exponent in zip(ticks, exponents, strict=True)]
    powers = ["10" + str(exponent).translate(SUPERSCRIPT) for exponent in exponents]
    return [p if m == "1" else f"{m}×{p}" for m, p in zip(mantissas, powers, strict=True)]


def _break(ax: Axes, axis: str, at: float) -> None:
    """A gap in the axis, with a stroke on either side of it."""
    strokes = [(-1.0, -0.9), (1.0, -0.1), (-1.0, 0.1), (1.0, 0.9)]
    point, transform = ((0.0, at), ax.get_yaxis_transform()) if axis == "y" else ((at, 0.0), ax.get_xaxis_transform())
    if axis == "x":
        strokes = [(y, x) for x, y in strokes]
    path = Path(strokes, [Path.MOVETO, Path.LINETO, Path.MOVETO, Path.LINETO])
    for marker, colour, size in (("s", "white", 4.5), (path, "#666666", 7.0)):
        ax.add_artist(
            Line2D([point[0]], [point[1]], transform=transform, clip_on=False, zorder=5, linestyle="none",
                   marker=marker, color=colour, markersize=size, markeredgewidth=0.8)
        )  # fmt: skip
