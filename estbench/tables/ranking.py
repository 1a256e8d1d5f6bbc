"""The ranked table of a comparison."""

from __future__ import annotations

import pandas as pd

from estbench import columns
from estbench.columns import COMPARISON, head
from estbench.printable import plain
from estbench.tables import flags
from estbench.tables.adaptive import SHORT, AdaptiveTable, Column, Section, broken, interval
from estbench.tables.numbers import UNKNOWN, aligned, as_given, between, number
from estbench.views import ends

BIAS = {"unbiased": "green", "biased": "red", "inconclusive": "yellow"}
COLOURS = {"better": "green", "worse": "red", "inconclusive": "yellow", "equivalent": "cyan", "identical": "cyan"}


def ranking(frame: pd.DataFrame, reference: str, level: float) -> AdaptiveTable:
    """A comparison: one section per problem and basis, rows in the order given.

    The frame has the columns problem, basis (what is held equal), rank, name, temperature, samples, f_evaluations,
    grad_evaluations, metric, value, value_low, value_high, ratio, ratio_low, ratio_high (of the value to that of the
    reference), verdict (better, worse, equivalent, identical, inconclusive, always zero; "" for the reference itself),
    flags, and maybe bias_verdict, declared_unbiased, reference_temperature and run.
    """
    sections, parts, start = [], [frame.iloc[:0]], 0
    for (problem, basis), part in frame.groupby(["problem", "basis"], sort=False):
        sections.append(Section(plain(problem), plain(basis), range(start, start + len(part))))
        parts.append(part)
        start += len(part)
    rows = pd.concat(parts)
    metric = head(" ".join(plain(name) for name in rows["metric"].unique()))
    same = " on the same draws" if rows.get("run", rows["problem"].iloc[:1]).nunique() <= 1 else ""
    several, against = _reference(rows, reference)
    notes = [
        f"ratio: {metric} over that of {against}{same}; below 1 is smaller.",
        *(["τ of ref.: the temperature of the reference that a row is compared with."] if several else []),
        *(["always zero: every estimate was 0, which has no variance and is of no use."] if _zero(rows) else []),
        f"± reaches to the farther end of the {100 * level:g} % interval; without it a value is exact or did not vary.",
        *flags.meanings(rows["flags"]),
    ]
    return AdaptiveTable(_columns(rows, metric, level), sections, notes, SHORT)


def _reference(rows: pd.DataFrame, reference: str) -> tuple[bool, str]:
    """Whether the reference stands at several temperatures, and its name, with the temperature if it is one."""
    known = rows.get("reference_temperature", pd.Series(dtype=float)).dropna().unique()
    several = len(known) > 1
    return several, plain(reference) + (f" at τ = {as_given(known[0])}" if len(known) == 1 else "")


def _zero(rows: pd.DataFrame) -> bool:
    return bool((rows["verdict"] == "always zero").any())


def _columns(rows: pd.DataFrame, metric: str, level: float) -> list[Column]:
    """The columns of COMPARISON that have a rank and that the frame has; the interval of the ratio stands beside it."""
    shown: list[Column] = []
    for column in COMPARISON:
        if column.rank is None or column.name not in rows:
            continue
        if column.name == "reference_temperature" and not _reference(rows, "")[0]:
            continue
        made = _shown(rows, column, metric)
        if not column.optional or any(cell.strip() not in ("", UNKNOWN) for cell in made.cells):
            shown.append(made)
        if column.name == "ratio":
            limits = [between(low, high) for _, low, high in ends(rows, "ratio")]
            shown.append(Column(f"{100 * level:g} % interval", limits, right=False, rank=2))
    return shown


def _shown(rows: pd.DataFrame, column: columns.Column, metric: str) -> Column:
    rank, values = column.rank or 0, rows[column.name]
    if column.name == "value":
        return interval(metric, ends(rows, "value"), rank)
    if column.name == "ratio":
        return Column(column.head, aligned([number(ratio) for ratio in values]), rank)
    if column.name == "rank":
        return Column(column.head, [plain(place).removesuffix(".0") for place in values], rank)
    if column.name == "name":
        labels = [plain(name) for name in values]
        whole, narrow = ([broken(label, width) for label in labels] for width in (28, 18))
        return Column(column.head, whole, rank, right=False, short=narrow)
    if column.name == "flags":
        return Column(column.head, [flags.short(words) for words in values], rank, False, ["yellow"] * len(rows))
    if column.dtype == "boolean":
        is_true = values.eq(True).fillna(False)
        return Column(column.head, [column.when_true if true else "" for true in is_true], rank, right=False)
    if column.notation == "text":
        words = [plain(verdict).partition(":")[0] for verdict in values]
        colours = BIAS if column.name == "bias_verdict" else COLOURS
        return Column(column.head, words, rank, right=False, styles=[colours.get(word, "") for word in words])
    return Column(column.head, aligned([as_given(value) for value in values]), rank)
