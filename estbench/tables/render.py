"""A frame as text: CSV and JSON for programs, with every digit; Markdown and LaTeX for readers, rounded."""

from __future__ import annotations

import json
import math
import re
from typing import Literal

import pandas as pd

from estbench.tables.numbers import UNKNOWN, as_given, between, number
from estbench.views import ends, plain

Format = Literal["csv", "json", "markdown", "latex"]

LATEX = {c: "\\" + c for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", UNKNOWN: "--", "∞": r"$\infty$",
    "τ": r"$\tau$", "∇": r"$\nabla$", "²": r"\textsuperscript{2}", "±": r"$\pm$", "·": r"$\cdot$", "…": r"\dots{}",
}  # fmt: skip


def render(frame: pd.DataFrame, format: Format) -> str:  # noqa: A002 - the option is called so everywhere
    """The frame as csv, json (a list of records; NaN is null, ∞ is "Infinity"), markdown or latex (booktabs).

    In markdown and latex x, x_low, x_high become one column, `value [low, high]`, and unknown is –.
    """
    writers = {"csv": _csv, "json": _json, "markdown": _markdown, "latex": _latex}
    return writers[format](frame)


def _csv(frame: pd.DataFrame) -> str:
    return frame.to_csv(index=False, lineterminator="\n")


def _json(frame: pd.DataFrame) -> str:
    records = [{str(name): _bare(value) for name, value in record.items()} for record in frame.to_dict("records")]
    return json.dumps(records, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _bare(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_bare(v) for v in value]
    if value is None or value is pd.NA:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value


def _markdown(frame: pd.DataFrame) -> str:
    heads, rows, right = _written(frame)
    lines = [heads, [("---:" if r else "---") for r in right], *rows]
    escaped = [[cell if i == 1 else _escape_markdown(cell) for cell in line] for i, line in enumerate(lines)]
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)


def _latex(frame: pd.DataFrame) -> str:
    heads, rows, right = _written(frame)
    escapes = [_latex_number if r else _escape_latex for r in right]
    lines = [[_escape_latex(head) for head in heads]]
    lines += [[escape(cell) for escape, cell in zip(escapes, row, strict=True)] for row in rows]
    first, *others = [" & ".join(line) + r" \\" for line in lines]
    begin = rf"\begin{{tabular}}{{{''.join('r' if r else 'l' for r in right)}}}"
    return "\n".join([begin, r"\toprule", first, r"\midrule", *others, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _escape_latex(cell: str) -> str:
    return "".join(LATEX.get(c, c) for c in cell)


def _latex_number(cell: str) -> str:
    """Numbers as formulas: -1.2e-5 is written $-1.2\\times10^{-5}$."""
    powers = re.sub(r"e(-?\d+)", r"\\times10^{\1}", cell)
    return re.sub(r"-?\d[^\s,\]]*", r"$\g<0>$", powers).replace("∞", r"$\infty$").replace(UNKNOWN, "--")


def _escape_markdown(cell: str) -> str:
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>|#~$!&" else c for c in cell)


def _written(frame: pd.DataFrame) -> tuple[list[str], list[list[str]], list[bool]]:
    """(heads, rows, whether a column is of numbers), intervals joined to their values."""
    heads, columns, right = [], [], []
    for name in frame.columns:
        base = name.removesuffix("_low").removesuffix("_high")
        if base != name and base in frame:
            continue
        column = frame[name]
        numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
        if f"{name}_low" in frame and f"{name}_high" in frame:
            cells = [f"{number(value)} {between(low, high)}".strip() for value, low, high in ends(frame, name)]
        elif numeric:
            cells = [as_given(value) for value in column.astype(float)]
        else:
            cells = [plain(value) or UNKNOWN for value in column]
        heads.append(plain(name))
        columns.append(cells)
        right.append(bool(numeric))
    return heads, [list(row) for row in zip(*columns, strict=True)], right
