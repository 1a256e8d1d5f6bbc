"""A figure with a title, rows and columns of panels, and a legend beside a row."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from estbench.plots.style import width

KEY, SAMPLE = 0.12, 0.38  # inches of a legend: before a key and before its text, of the key itself
EDGE, RIGHT, BOTTOM, DOWN = 0.12, 0.2, 0.55, 0.95  # inches: around texts, beyond the last panel, below, between rows


def page(
    title: str,
    details: str,
    columns: int,
    legends: Sequence[Sequence[str]],
    panel: tuple[float, float] = (3.5, 2.75),
    left: float = 0.7,
    across: float = 0.7,
    bottom: float = BOTTOM,
) -> tuple[Figure, list[list[Axes]]]:
    """(figure, its panels row by row): panels of one size in inches, one row per legend, with room for its labels.

    `left` of the panels, `across` between them and at the `bottom` there are so many inches.
    """
    wide = left + columns * panel[0] + (columns - 1) * across + RIGHT + max(_width(labels) for labels in legends)
    below = [max(DOWN, _height(labels) - panel[1] + 0.3) for labels in legends]  # from a panel to the next
    below[-1] = max(bottom, below[-1] - 0.2)
    heading = textwrap.wrap(title, int(wide / 0.11)) or [""]
    remarks = textwrap.wrap(details, int(wide / 0.072))
    second = EDGE + 0.21 * len(heading)  # where the remarks begin
    top = second + 0.17 * len(remarks) + 0.42
    tall = top + len(legends) * panel[1] + sum(below)
    figure = Figure(figsize=(wide, tall), facecolor="white")
    left_edge = EDGE / wide
    figure.text(left_edge, 1 - EDGE / tall, "\n".join(heading), size=11, weight="bold", va="top", linespacing=1.2)
    figure.text(left_edge, 1 - second / tall, "\n".join(remarks), size=8.5, color="#555555", va="top", linespacing=1.3)

    def add(i: int, j: int) -> Axes:
        x, y = left + j * (panel[0] + across), tall - top - (i + 1) * panel[1] - sum(below[:i])
        made = figure.add_axes((x / wide, y / tall, panel[0] / wide, panel[1] / tall))
        made.xaxis.set_label_coords(0.5, -0.27 / panel[1])  # given, it need not be searched for
        made.yaxis.set_label_coords(0, 0.5)
        return made

    return figure, [[add(i, j) for j in range(columns)] for i in range(len(legends))]


def beside(figure: Figure, ax: Axes, keys: Sequence[Line2D], labels: Sequence[str]) -> None:
    """A legend to the right of a panel, its labels shown exactly as they are given.

    The places are known, so no Legend need search for them: that is several times as fast.
    """
    inches, (right, top) = figure.dpi_scale_trans, ax.get_position().max * figure.get_size_inches()
    x, y = right + KEY, top
    for line, label in zip(keys, labels, strict=True):
        high = _line(label)
        if label:  # else a gap
            line.set_data([x, x + SAMPLE / 2, x + SAMPLE], [y - high / 2] * 3)
            line.set(markevery=[1], transform=inches)
            figure.add_artist(line)
            figure.text(x + SAMPLE + KEY, y - high / 2, label, size=8.5, va="center_baseline", transform=inches)
        y -= high


def _width(labels: Sequence[str]) -> float:
    """Inches that a legend with these labels takes to the right."""
    return 2 * KEY + SAMPLE + max((width(line, 8.5) for label in labels for line in label.split("\n")), default=0.0)


def _height(labels: Sequence[str]) -> float:
    """Inches that it takes downwards."""
    return sum(_line(label) for label in labels)


def _line(label: str) -> float:
    return 0.06 + 0.145 * len(label.split("\n"))
