"""The progress of a run: cells done, failed, skipped and left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from estbench.printable import distinct, plain
from estbench.tables.adaptive import AdaptiveTable, Column, Remark, Section, broken
from estbench.tables.numbers import aligned, seconds

STYLES = {"failed": "bold red", "skipped": "dim"}


def status(rows: Sequence[Mapping[str, Any]], planned: Mapping[str, int]) -> AdaptiveTable:
    """How far a run has come: of the cells `planned` per problem, those done, skipped or failed in its rows.

    Of a row the problem, status, reason, estimator, options and label are read.
    """
    counts = []
    for problem, cells in planned.items():
        of = [row["status"] for row in rows if row["problem"] == problem]
        ended = [of.count(word) for word in ("ok", "skipped", "failed")]
        counts.append([*ended, cells - sum(ended), cells])
    problems = [plain(problem) for problem in planned]
    if len(counts) > 1:
        counts.append([sum(column) for column in zip(*counts, strict=True)])
        problems.append("all")
    columns = [Column("problem", problems, right=False, short=[broken(name, 40) for name in problems])]
    for i, head in enumerate(("done", "skipped", "failed", "to come", "cells")):
        columns.append(Column(head, [str(count[i]) for count in counts]))
    called = distinct(*([row[key] for row in rows] for key in ("estimator", "options", "label")))
    remarks = left_out((name, row["status"], row.get("reason")) for name, row in zip(called, rows, strict=True))
    return AdaptiveTable(columns, [Section("", "", range(len(problems)), remarks)])


def left_out(cells: Iterable[tuple[str, str, object]]) -> list[Remark]:
    """Which cells were skipped or failed, and why: a line for all estimators with the same reasons, failures first.

    A cell is (name, status, reason).
    """
    reasons: dict[tuple[str, str], list[str]] = {}  # of a name with a status, cell by cell
    for name, ended, reason in cells:
        if ended in STYLES:
            reasons.setdefault((ended, name), []).append(plain(reason) or "no reason recorded")
    same: dict[tuple[str, str], list[str]] = {}
    for (ended, name), own in reasons.items():
        same.setdefault((ended, _joined(own)), []).append(name)
    lines = []
    for wanted, style in STYLES.items():
        for (ended, why), names in same.items():
            if ended == wanted:
                count = sum(len(reasons[ended, name]) for name in names)
                text = f"{', '.join(names)}: {why} ({count} cell{'s' * (count > 1)})"
                lines.append(Remark(f"{ended:<7}", text, style))
    return lines


def fitting(costs: Sequence[Mapping[str, Any]]) -> AdaptiveTable:
    """What fitting cost: per estimator the number of fits, evaluations of f and ∇f, and seconds, of all together."""
    columns = [
        Column("fitted", [plain(cost["label"]) for cost in costs], right=False),
        Column("fits", [f"{cost['fits']:,}" for cost in costs]),
        Column("f", [f"{cost['f_evaluations']:,}" for cost in costs]),
        Column("∇f", [f"{cost['grad_evaluations']:,}" for cost in costs]),
        Column("time", aligned([seconds(cost["seconds"]) for cost in costs])),
    ]
    return AdaptiveTable(columns, [Section("", "", range(len(costs)), [])])


def _joined(reasons: Sequence[str]) -> str:
    different = list(dict.fromkeys(reasons))
    return "; ".join(different[:2]) + ("; …" if len(different) > 2 else "")
