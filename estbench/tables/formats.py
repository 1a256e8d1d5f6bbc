"""A frame in the formats of files, each by one writer: frame → bytes.

CSV, JSON and Parquet are for programs and have every digit; Markdown and LaTeX are for readers and are rounded.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from estbench.columns import COLUMNS, Column, heads
from estbench.errors import UsageError
from estbench.outputs import TableFormat
from estbench.printable import escaped, plain
from estbench.tables.numbers import UNKNOWN, as_given, between, number
from estbench.views import ends, names

LATEX = {c: "\\" + c for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", UNKNOWN: "--", "∞": r"$\infty$",
    "τ": r"$\tau$", "∇": r"$\nabla$", "²": r"\textsuperscript{2}", "±": r"$\pm$", "·": r"$\cdot$", "…": r"\dots{}",
}  # fmt: skip


def encode(
    frame: pd.DataFrame,
    format: TableFormat,  # noqa: A002 - the option is called so everywhere
    columns: Sequence[Column] = COLUMNS,
) -> bytes:
    """The frame as a file of this format; KeyError for `table`, which is for a console. Half a character is escaped.

    In Markdown and LaTeX the heads of `columns` stand in place of their names.
    """
    made = FOR_READERS[format](frame, columns) if format in FOR_READERS else FOR_PROGRAMS[format](frame)
    return made if isinstance(made, bytes) else made.encode("utf-8", "backslashreplace")


def for_readers(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns of a results frame that tables for readers have: those with a rank, if some row has a value.

    Status and reason are there if a cell was skipped or failed, the run if there are several.
    """
    shown = {"problem"} | {
        c.name for c in COLUMNS if c.rank is not None and not (c.optional and _unknown(frame[c.name]))
    }
    wanted = [name for column in COLUMNS if column.name in shown for name in column.names]
    wanted += ["status", "reason"] if (frame["status"] != "ok").any() else []
    wanted += ["run"] if "run" in frame else []
    return frame.assign(label=names(frame))[wanted]


def _with_interval(value: float, low: float, high: float) -> str:
    """value [low, high], or the value alone where it is exact or nothing is known of its error."""
    return number(value, 4) if low == high == value else f"{number(value)} {between(low, high)}".strip()


def _unknown(values: pd.Series[Any]) -> bool:
    return not any(plain(value) for value in values)


def csv(frame: pd.DataFrame) -> str:
    """Comma-separated values (RFC 4180 with \\n): what is unknown is empty, and every text stands as it is.

    Control and bidirectional characters alone are escapes: no label has any, but the name of a folder may.
    A label such as NA is that text: read it with keep_default_na=False, na_values=[""] (pandas). Numbers have all their
    digits, but pandas before 3.1 reads them exactly only with float_precision="round_trip".
    """
    return escaped(frame.to_csv(index=False, lineterminator="\n"))


def json_records(frame: pd.DataFrame) -> str:
    """A list of objects, one per row: what is unknown is null, ∞ is "Infinity"."""
    records = [{str(name): _bare(value) for name, value in record.items()} for record in frame.to_dict("records")]
    text = json.dumps(records, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return escaped(text.replace("\x7f", r"\u007f"))  # the one below 0x80 that JSON leaves, and has no \x for


def parquet(frame: pd.DataFrame) -> bytes:
    """Apache Parquet; a mapping, such as a fit, is a JSON text, as each has fields of its own.

    UsageError without pyarrow.
    """
    mappings = [str(name) for name in frame if any(isinstance(value, dict) for value in frame[name])]
    whole = frame.assign(**{name: frame[name].map(json.dumps, na_action="ignore") for name in mappings})
    file = io.BytesIO()
    try:
        whole.to_parquet(file, index=False)
    except ImportError as error:
        raise UsageError("--format parquet needs pyarrow: pip install 'estbench[parquet]'") from error
    return file.getvalue()


def _bare(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_bare(v) for v in value]
    if value is None or value is pd.NA:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value


def markdown(frame: pd.DataFrame, columns: Sequence[Column] = COLUMNS) -> str:
    """A table of Markdown (GitHub's): x, x_low, x_high become one column, `value [low, high]`, and unknown is –."""
    above, rows, right = _written(frame, columns)
    lines = [above, [("---:" if r else "---") for r in right], *rows]
    escaped = [[cell if i == 1 else _escape_markdown(cell) for cell in line] for i, line in enumerate(lines)]
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)


def latex(frame: pd.DataFrame, columns: Sequence[Column] = COLUMNS) -> str:
    """A tabular of LaTeX with the rules of booktabs, its columns as those of `markdown`."""
    above, rows, right = _written(frame, columns)
    escapes = [_latex_number if r else _escape_latex for r in right]
    lines = [[_escape_latex(head) for head in above]]
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


def _written(frame: pd.DataFrame, columns: Sequence[Column]) -> tuple[list[str], list[list[str]], list[bool]]:
    """(heads, rows, whether a column is of numbers), intervals joined to their values."""
    above, written, right, known = [], [], [], heads(columns)
    when_true = {c.name: c.when_true for c in columns if c.dtype == "boolean"}
    for name in frame.columns:
        base = name.removesuffix("_low").removesuffix("_high")
        if base != name and base in frame:
            continue
        column = frame[name]
        numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
        if f"{name}_low" in frame and f"{name}_high" in frame:
            cells = [_with_interval(*end) for end in ends(frame, name)]
        elif numeric:
            cells = [as_given(value) for value in column.astype(float)]
        elif name in when_true:
            cells = [when_true[str(name)] if true else UNKNOWN for true in column.eq(True).fillna(False)]
        else:
            cells = [plain(value) or UNKNOWN for value in column]
        above.append(known.get(str(name)) or plain(name))
        written.append(cells)
        right.append(bool(numeric))
    return above, [list(row) for row in zip(*written, strict=True)], right


FOR_PROGRAMS: Mapping[str, Callable[[pd.DataFrame], str | bytes]] = {
    "csv": csv,
    "json": json_records,
    "parquet": parquet,
}
FOR_READERS: Mapping[str, Callable[[pd.DataFrame, Sequence[Column]], str]] = {"markdown": markdown, "latex": latex}
"""The writers of each `TableFormat` but `table`."""
