"""The style of all figures: colours, marks and fonts that are distinct in grey and for the colour-blind."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path

RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titley": 1.0,  # given, it need not be searched for
    "axes.titlepad": 7.0,
    "axes.labelsize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.linewidth": 0.8,
    "text.hinting": "none",  # a tenth faster, and as clear at this resolution
    "text.parse_math": False,  # a label with $ in it is shown as it is
    "savefig.dpi": 160.0,
    "svg.hashsalt": "estbench",
    "pdf.fonttype": 42,
}

GREY = "#8a8a8a"  # guides, remarks
FAINT = "#d5d5d5"  # the others, for comparison
DASH = (5.0, 1.6)
DOT = (1.2, 1.4)


@dataclass(frozen=True)
class Look:
    """How one estimator is drawn: colour, marker, and dashes of its line (() is solid)."""

    colour: str
    marker: str
    dashes: tuple[float, ...]

    @property
    def line(self) -> tuple[float, tuple[float, ...] | None]:
        """The dashes as matplotlib takes them."""
        return 0.0, self.dashes or None


LOOKS = (  # colours of Okabe and Ito (2008), their yellow, too light on white, replaced by a wine red
    Look("#0072B2", "o", ()),
    Look("#D55E00", "s", DASH),
    Look("#009E73", "^", DOT),
    Look("#CC79A7", "D", (*DASH, *DOT)),
    Look("#E69F00", "v", (9.0, 2.0)),
    Look("#56B4E9", "P", (*DASH, *DOT, *DOT)),
    Look("#000000", "X", (2.5, 1.2)),
    Look("#882255", "*", (9.0, 2.0, *DOT)),
)


def looks(names: Sequence[str]) -> list[dict[str, Look]]:
    """The names in groups of like size, small enough for every name of a group to have a look of its own.

    No names are one group of none.
    """
    groups = max(1, -(-len(names) // len(LOOKS)))
    ends = [round(i * len(names) / groups) for i in range(groups + 1)]
    return [dict(zip(names[a:b], LOOKS, strict=False)) for a, b in itertools.pairwise(ends)]


@cache
def width(text: str, size: float) -> float:
    """Width of a line of text in inches."""
    font = FontProperties(family="DejaVu Sans", size=size)
    points, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(points) / 72


def key(colour: str = GREY, **line: Any) -> Line2D:
    """A sample of a line or a marker for a legend."""
    settings: dict[str, Any] = {"color": colour, "linestyle": "none", "markersize": 5.5, "markeredgewidth": 1.0}
    return Line2D([], [], **(settings | line))
