"""The ranked table of a comparison."""

from __future__ import annotations

import pandas as pd

from estbench.printable import plain
from estbench.tables import flags
from estbench.tables.adaptive import SHORT, AdaptiveTable, Column, Section, broken, interval
from estbench.tables.numbers import UNKNOWN, aligned, as_given, between, number
from estbench.views import ends

METRICS = {"bias_squared": "bias²", "mse": "MSE"}
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
    metric = METRICS.get(key := " ".join(plain(name) for name in rows["metric"].unique()), key)
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
    names = [plain(name) for name in rows["name"]]
    verdicts = [plain(verdict).partition(":")[0] for verdict in rows["verdict"]]
    biases = [plain(verdict).partition(":")[0] for verdict in rows.get("bias_verdict", [""] * len(rows))]
    marks = [flags.short(words) for words in rows["flags"]]
    ratios = ends(rows, "ratio")
    declared = rows.get("declared_unbiased", pd.Series(pd.NA, rows.index)).eq(True).fillna(False)
    claims = ["unbiased" if claim else "" for claim in declared]
    several, _ = _reference(rows, "")
    built = [
        Column("#", [plain(rank).removesuffix(".0") for rank in rows["rank"]]),
        Column("estimator", [broken(n, 28) for n in names], right=False, short=[broken(n, 18) for n in names]),
        Column("τ", aligned([as_given(tau) for tau in rows["temperature"]]), rank=1),
        Column("N", [as_given(n) for n in rows["samples"]], rank=4),
        Column("f", [as_given(f) for f in rows["f_evaluations"]], rank=5),
        Column("∇f", [as_given(df) for df in rows["grad_evaluations"]], rank=6),
        interval(metric, ends(rows, "value")),
        *([Column("τ of ref.", aligned([as_given(tau) for tau in rows["reference_temperature"]]))] if several else []),
        Column("ratio", aligned([number(ratio) for ratio, _, _ in ratios])),
        Column(f"{100 * level:g} % interval", [between(low, high) for _, low, high in ratios], right=False, rank=2),
        Column("verdict", verdicts, right=False, styles=[COLOURS.get(v, "") for v in verdicts]),
        Column("bias", biases, right=False, rank=3, styles=[BIAS.get(bias, "") for bias in biases]),
        Column("declared", claims, right=False, rank=7),
        Column("flags", marks, right=False, styles=["yellow"] * len(marks)),
    ]
    silent = {"τ": UNKNOWN, "bias": "", "declared": "", "flags": ""}
    return [c for c in built if any(cell.strip() != silent.get(c.head) for cell in c.cells)]
