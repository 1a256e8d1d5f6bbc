"""The tables of a run: every cell (`summary`), or the row of each estimator at one N and τ (`digest`)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pandas as pd

from estbench.columns import head
from estbench.tables import flags
from estbench.tables.adaptive import SHORT, AdaptiveTable, Column, Remark, Section, broken
from estbench.tables.cells import cells
from estbench.tables.progress import left_out
from estbench.views import at_middle_temperature, at_smallest_samples, best_known, describe, finished, readable

Part = tuple[pd.DataFrame, pd.DataFrame, list[Remark]]  # the rows of a problem, those shown, remarks


def summary(frame: pd.DataFrame, level: float) -> AdaptiveTable:
    """Every cell of a run: one section per problem, estimators in the order of the run, exact beneath Monte Carlo."""
    parts: list[Part] = []
    for _, part in readable(frame).groupby("problem", sort=False):
        place = part["name"].map({name: i for i, name in enumerate(part["name"].unique())})
        order = ["place", "temperature", "samples", "method"]
        ordered = part.assign(place=place).sort_values(order, ascending=[True, True, True, False])
        parts.append((part, finished(ordered), left_out_of(part)))
    return _sections(parts, [], level, repeat=False)


def digest(frame: pd.DataFrame, level: float, limit: int | None = None) -> AdaptiveTable:
    """One line per problem and estimator, smallest MSE first: at the smallest N that all have (else its own), and at
    its temperature nearest the middle.

    Exact values are shown where there are any; at most `limit` lines per problem (default: 12, or fewer for a run of
    many problems). `level` is that of the intervals in the frame. Notes say what is left out.
    """
    shown = readable(frame)
    limit = limit or max(6, min(12, 72 // max(1, shown["problem"].nunique())))
    parts: list[Part] = []
    for _, part in shown.groupby("problem", sort=False):
        every = best_known(at_middle_temperature(at_smallest_samples(finished(part))))
        best = every.sort_values(["mse", "variance"], kind="stable").head(limit)
        more = [Remark(f"… and {len(every) - limit} more further down", "", "dim")] if len(every) > limit else []
        parts.append((part, best, more))
    hidden = len(finished(frame)) - sum(len(best) for _, best, _ in parts)
    least = "MSE" if shown["mse"].notna().any() else "variance"
    notes = [f"Smallest {least} first; every estimator at the smallest N that all have (else its own)."]
    notes += (
        ["Temperatures: of each, that nearest the middle one of all."] if shown["temperature"].notna().any() else []
    )
    notes += [f"Not shown: {hidden} more results (other N, temperatures, methods)."] if hidden else []
    return _sections(parts, notes, level, repeat=True, last=left_out_of(shown))


def left_out_of(rows: pd.DataFrame) -> list[Remark]:
    """Which of the rows were skipped or failed, and why; see `progress.left_out`."""
    return left_out(zip(rows["name"], rows["status"], rows["reason"], strict=True))


def _sections(
    parts: Sequence[Part], notes: Sequence[str], level: float, repeat: bool, last: Sequence[Remark] = ()
) -> AdaptiveTable:
    sections, start = [], 0
    for part, shown, remarks in parts:
        sections.append(Section(part["problem"].iloc[0], describe(part), range(start, start + len(shown)), remarks))
        start += len(shown)
    sections += [Section("", "", range(0), last)] if last else []
    if not start:
        return AdaptiveTable([], sections, ["No results yet."])
    rows = pd.concat([shown for _, shown, _ in parts])
    return AdaptiveTable(_columns(rows, repeat), sections, [*notes, *_legend(rows, level)], SHORT)


def _legend(rows: pd.DataFrame, level: float) -> list[str]:
    return [
        f"± reaches to the farther end of the {100 * level:g} % interval; without it a value is exact or did not vary.",
        "bias² and variance are sums over the parameters; bias² is corrected for noise, which may bring it below 0.",
        *flags.meanings(rows["flags"]),
    ]


def _columns(rows: pd.DataFrame, repeat: bool) -> list[Column]:
    """The columns that have something to say. `repeat` a name that is also in the row above, or not."""
    keys = list(zip(rows["problem"], rows["name"], strict=True))
    first = Column(head("label"), _stacked(keys, 28, repeat), right=False, short=_stacked(keys, 18, repeat))
    columns = [first if column.head == first.head else column for column in cells(rows)]
    methods = set(rows["method"])
    return [c for c in columns if c.head != head("method") or (not repeat and methods != {rows["method"].iloc[0]})]


def _stacked(keys: Sequence[tuple[str, str]], width: int, repeat: bool) -> list[str]:
    """The names of rows, each whole in its row, or (not `repeat`) once per run of equal keys, running down its rows."""
    cells: list[str] = []
    for (_, name), run in itertools.groupby(keys):
        count, lines = len(list(run)), broken(name, width).split("\n")
        if repeat:
            cells += ["\n".join(lines)] * count
        else:
            lines += [""] * (count - len(lines))
            cells += [*lines[: count - 1], "\n".join(lines[count - 1 :])]
    return cells
