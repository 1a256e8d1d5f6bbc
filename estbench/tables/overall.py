"""The table of a comparison over several problems."""

from __future__ import annotations

import pandas as pd

from estbench.columns import COMPARISON, heads
from estbench.printable import plain
from estbench.tables.adaptive import AdaptiveTable, Column, Section, broken
from estbench.tables.numbers import aligned, as_given, between, number


def overall_table(frame: pd.DataFrame, reference: str, level: float) -> AdaptiveTable:
    """The geometric means that `estbench.overall` finds: one section per basis, rows in the order given."""
    head, sections, start = heads(COMPARISON), [], 0
    for (basis, problems), part in frame.groupby(["basis", "problems"], sort=False):
        sections.append(Section(f"All {problems} problems", plain(basis), range(start, start + len(part))))
        start += len(part)
    names = [plain(name) for name in frame["name"]]
    columns = [
        Column(head["name"], [broken(name, 28) for name in names], right=False, short=[broken(n, 18) for n in names]),
        *_temperatures(frame, "temperature", head),
        *_temperatures(frame, "reference_temperature", head),
        Column("mean ratio", aligned([number(ratio) for ratio in frame["ratio"]])),
        Column(f"{100 * level:g} % interval", [between(*ends) for ends in _ends(frame)], right=False),
    ]
    notes = [f"mean ratio: the geometric mean over the problems of the ratio to {plain(reference)}."]
    return AdaptiveTable(columns, sections, notes)


def _temperatures(frame: pd.DataFrame, name: str, head: dict[str, str]) -> list[Column]:
    """The column of a temperature, where any row has one."""
    shown = aligned([as_given(value) for value in frame[name]])
    return [Column(head[name], shown)] if frame[name].notna().any() else []


def _ends(frame: pd.DataFrame) -> list[tuple[float, float]]:
    pairs: list[tuple[float, float]] = list(zip(frame["ratio_low"], frame["ratio_high"], strict=True))
    return pairs
