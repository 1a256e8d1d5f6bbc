"""Frames of pandas that print themselves as the command line does, and remember the results they were made of."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import ClassVar

import pandas as pd
from rich.console import Console, RenderableType

from estbench.columns import COMPARISON, names
from estbench.comparison import Compared
from estbench.summary import Results
from estbench.tables.summary import digest, summary

NOTEBOOK = 120
"""Characters in a line of a notebook."""


def _text(shown: Sequence[RenderableType]) -> str:
    console = Console(file=StringIO(), highlight=False, emoji=False, markup=False, color_system=None)
    with console.capture() as captured:
        for each in shown:
            console.print(each)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()).strip("\n")


def _html(shown: Sequence[RenderableType]) -> str:
    console = Console(
        file=StringIO(), record=True, width=NOTEBOOK, highlight=False, emoji=False, markup=False, force_terminal=True
    )
    for each in shown:
        console.print(each)
    return console.export_html(inline_styles=True, code_format='<pre style="line-height: 1.3">{code}</pre>')


class _Shown(pd.DataFrame):
    """A frame that prints itself as a table for readers, where it has all that the table takes."""

    def _shown(self) -> Sequence[RenderableType] | None:
        """What is printed; None: what pandas prints."""
        raise NotImplementedError

    def __repr__(self) -> str:
        shown = self._shown()
        return super().__repr__() if shown is None else _text(shown)

    def _repr_html_(self) -> str | None:
        shown = self._shown()
        if shown is not None:
            return _html(shown)
        plain: str | None = pd.DataFrame(self)._repr_html_()  # type: ignore[operator] # pandas-stubs leaves it out
        return plain


class Measurements(_Shown):
    """What `measure` returns: the columns of results.csv, one row per cell.

    It prints itself as `estbench run` prints a run: every cell, or where there are more rows than pandas would show
    (`display.max_rows`), one line per estimator. Rows can be selected and sorted; `compare` takes what is left. Where
    frames were joined, `compare` refuses: what it needs is not in the columns.
    """

    _metadata: ClassVar[list[str]] = ["_measured"]
    _measured: Results | None = None

    @property
    def _constructor(self) -> type[Measurements]:
        return Measurements

    def _shown(self) -> Sequence[RenderableType] | None:
        if self._measured is None or set(names()) != set(self.columns):
            return None
        limit = pd.get_option("display.max_rows")
        table = summary if limit is None or len(self) <= max(limit, 1) else digest
        return [table(pd.DataFrame(self), self._measured.plan.config.level)]


class Comparison(_Shown):
    """What `compare` returns: the columns of a comparison, one row per ranking and estimator.

    It prints itself as `estbench compare` does. `overall` has the geometric means of the ratios over several problems.
    """

    _metadata: ClassVar[list[str]] = ["_compared"]
    _compared: Compared | None = None

    @property
    def _constructor(self) -> type[Comparison]:
        return Comparison

    @property
    def overall(self) -> pd.DataFrame:
        """The geometric mean of each estimator's ratios over the problems, of the whole comparison."""
        return pd.DataFrame() if self._compared is None else self._compared.overall.copy()

    def _shown(self) -> Sequence[RenderableType] | None:
        compared = self._compared
        if compared is None or set(names(COMPARISON)) != set(self.columns):
            return None
        return compared.shown(pd.DataFrame(self))


def measurements(found: Results, frame: pd.DataFrame) -> Measurements:
    """The frame of some results, which it remembers."""
    made = Measurements(frame)
    made._measured = found
    return made


def comparison_frame(compared: Compared) -> Comparison:
    """The frame of a comparison, which it remembers."""
    made = Comparison(compared.frame)
    made._compared = compared
    return made
