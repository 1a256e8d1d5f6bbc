"""From the journal of a run to its results: one tidy row per cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from estbench.config import load
from estbench.config.selector import format_value
from estbench.intervals import Shards, adjust, exact_metrics, exact_verdict, metrics, precision, verdict
from estbench.moments import SCALARS, Floats, Moments, merge
from estbench.plan import Cell, Layout, Plan, expand, fit_key
from estbench.store import Item, decode, read

Items = Mapping[Item, Any]

COLUMNS = """
problem distribution objective dimensions categories logits estimator options label temperature samples method
replicates status reason true_norm bias_squared bias_squared_low bias_squared_high bias_norm bias_norm_low
bias_norm_high relative_bias relative_bias_low relative_bias_high bias_p_value bias_verdict variance variance_low
variance_high mse mse_low mse_high cosine cosine_low cosine_high cosine_of_mean snr scaled_bias_squared
scaled_variance zero_fraction non_finite flags f_evaluations grad_evaluations seconds_per_estimate
work_normalised_variance
""".split()

DETAILS = ["true_gradient", "mean_gradient", "coordinate_variance", "fit"]


def truth(plan: Plan, cell: Cell, items: Items) -> Floats | None:
    """The gradient that a cell is measured against, [P]; None where it is not known."""
    own = items.get(("cost", cell.key, ""), {}).get("reference")
    text = own or items[("problem", plan.problems[cell.problem].id, "")]["true"]
    return None if text is None else decode(text, (-1,))


def packed_shards(plan: Plan, cell: Cell, items: Items) -> Floats | None:
    """The packed records of a Monte Carlo cell, shard by shard from the first: [S, 10 + 3P]; None if there are none."""
    spec, layout = plan.problems[cell.problem], plan.layouts[cell.problem]
    P = (spec.categories or 1) * (1 if spec.tie else spec.dimensions)
    found = []
    for first, shards in layout.jobs():
        item = items.get(("job", f"{spec.id}/{first}", cell.key))
        if item is None:
            break
        found.append(decode(item["moments"], (shards, len(SCALARS) + 3 * P)))
    return np.concatenate(found) if found else None


def grouped(packed: Floats) -> Floats:
    """Records of many shards as those of 64 to 127 larger ones, equal where their number allows it.

    The intervals were measured with some 64 shards; more cost S² and gain nothing.
    """
    S = len(packed)
    if S < 128:
        return packed
    equal = [groups for groups in range(64, 128) if S % groups == 0]
    if not equal and S < 1024:
        return packed
    pieces = np.array_split(packed, equal[0] if equal else 64)
    return np.stack([reduce(merge, piece) for piece in pieces])


def results(plan: Plan, items: Items, correction: str = "holm") -> pd.DataFrame:
    """The results of all cells that are done, failed or skipped, in the order of the plan, with the columns `COLUMNS`.

    Bias verdicts rest on p-values adjusted over all Monte Carlo cells of the run.
    """
    rows, shards = [], []
    for cell in plan.cells:
        found = _measured(plan, cell, items)
        if found is not None:
            rows.append(_identity(plan, cell) | found[0])
            shards.append(found[1])
    adjusted = adjust([row.get("bias_p_value", np.nan) for row in rows], correction)
    for row, s, p in zip(rows, shards, adjusted, strict=True):
        if s is not None:
            row["bias_verdict"] = verdict(s, float(p), plan.config.delta)
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.astype(dict.fromkeys(("replicates", "non_finite", "f_evaluations", "grad_evaluations"), "Int64"))


def _identity(plan: Plan, cell: Cell) -> dict[str, Any]:
    spec, estimator = plan.problems[cell.problem], cell.estimator
    return {
        "problem": spec.label,
        "distribution": spec.distribution,
        "objective": _selector(spec.objective, spec.objective_options),
        "dimensions": spec.dimensions,
        "categories": spec.categories or 2,
        "logits": spec.logits_text,
        "estimator": estimator.name,
        "options": ",".join(f"{name}={format_value(value)}" for name, value in estimator.changed),
        "label": estimator.label,
        "temperature": np.nan if cell.temperature is None else cell.temperature,
        "samples": cell.samples,
        "method": cell.method,
    }


def _selector(name: str, options: tuple[tuple[str, Any], ...]) -> str:
    inside = ",".join(f"{option}={format_value(value)}" for option, value in options if value is not None)
    return f"{name}[{inside}]" if inside else name


def _measured(plan: Plan, cell: Cell, items: Items) -> tuple[dict[str, Any], Shards | None] | None:
    """The rest of a row, and the shards that its verdict needs; None for a cell that is not done."""
    if cell.reason is not None:
        return {"status": "skipped", "reason": cell.reason}, None
    found, shards = None, None
    if prepared(plan, cell, items):
        found, shards = (_exact(plan, cell, items), None) if cell.method == "exact" else _sampled(plan, cell, items)
    if found is None:
        failure = items.get(("failed", cell.key, ""))
        return None if failure is None else ({"status": "failed", "reason": failure["reason"]}, None)
    cost = items[("cost", cell.key, "")]
    if found["status"] == "ok":
        work = found["variance"] * (cost["f"] + cost["df"])
        found |= {"f_evaluations": cost["f"], "grad_evaluations": cost["df"], "work_normalised_variance": work}
        found["seconds_per_estimate"] = np.nan if cost["seconds"] is None else cost["seconds"]
    return found, shards


def prepared(plan: Plan, cell: Cell, items: Items) -> bool:
    """Whether it is known what a cell is measured against and what it costs; in one part of a run it may not be."""
    return ("cost", cell.key, "") in items and ("problem", plan.problems[cell.problem].id, "") in items


def _exact(plan: Plan, cell: Cell, items: Items) -> dict[str, Any] | None:
    item = items.get(("exact", cell.key, ""))
    if item is None:
        return None
    if "reason" in item:
        return {"status": "skipped", "reason": item["reason"]}
    true = truth(plan, cell, items)
    assert true is not None
    moments = Moments.unpack(decode(item["moments"], (1, len(SCALARS) + 3 * len(true))), true)
    error = float(decode(item["error"], ()))
    note = "" if error == 0 else f"{item['route']}, relative error {error:.0e}"
    attained = {"status": "ok", "reason": note, "bias_verdict": exact_verdict(moments, max(1e-9, error))}
    return attained | exact_metrics(moments)


def _sampled(plan: Plan, cell: Cell, items: Items) -> tuple[dict[str, Any] | None, Shards | None]:
    packed = packed_shards(plan, cell, items)
    layout = plan.layouts[cell.problem]
    if packed is None or len(packed) < layout.shards:
        return None, None
    moments = Moments.unpack(grouped(packed), truth(plan, cell, items))
    replicates = int(len(packed) * layout.shard_size)
    if not moments.n.sum():
        return {"status": "failed", "reason": "every estimate is NaN or infinite", "replicates": replicates}, None
    level = plan.config.level
    found = {"status": "ok", "reason": "", "replicates": replicates} | metrics(moments, level)
    return found, Shards.of(moments, level)


@dataclass(frozen=True)
class Results:
    """A run as it stands: its folder, what it says of itself, its plan, and what is done."""

    folder: Path
    manifest: dict[str, Any]
    plan: Plan
    items: Items

    @property
    def name(self) -> str:
        """The name of the run."""
        return str(self.plan.config.name)


def read_results(folder: Path) -> Results:
    """Read a run folder; ResultsError if it is none or is damaged."""
    found = read(folder)
    config = load(found.manifest["config"])
    return Results(folder, found.manifest, expand(config, layouts(found.manifest)), found.items)


def layouts(manifest: Mapping[str, Any]) -> dict[str, Layout]:
    """The recorded layouts of a run's problems, by problem id."""
    return {key: Layout.of_record(record) for key, record in manifest["layout"].items()}


def details(plan: Plan, items: Items) -> pd.DataFrame:
    """What does not fit into a cell of a table, for each row of `results`; None where there is nothing.

    true_gradient, mean_gradient, coordinate_variance: lists. fit: for a fitted estimator, `fields` (the numbers found)
    and what finding them cost: `f_evaluations`, `grad_evaluations`, `seconds`.
    """
    rows = []
    for cell in plan.cells:
        measured = _measured(plan, cell, items)
        if measured is None:
            continue
        row: dict[str, Any] = dict.fromkeys(DETAILS)
        if measured[0]["status"] == "ok":
            true = truth(plan, cell, items)
            row = _vectors(_moments(plan, cell, items, true), true) | {"fit": fit(plan, cell, items)}
        rows.append(row)
    return pd.DataFrame(rows, columns=DETAILS, dtype=object)


def fit(plan: Plan, cell: Cell, items: Items) -> dict[str, Any] | None:
    """What the fit of a cell's estimator found and cost; None where nothing was fitted."""
    item = items.get(("fit", fit_key(plan.problems[cell.problem], cell.variant), ""))
    if item is None or not (item["fields"] or item["f"] or item["df"]):  # options that leave nothing to fit
        return None
    cost = {"f_evaluations": item["f"], "grad_evaluations": item["df"], "seconds": item["seconds"]}
    return {"fields": item["fields"], **cost}


def fits(plan: Plan, items: Items) -> pd.DataFrame:
    """What fitting cost, one row per estimator label: label, fits, f_evaluations, grad_evaluations, seconds."""
    found = {(cell.problem, cell.variant): (cell, fit(plan, cell, items)) for cell in plan.cells}
    rows = [{"label": cell.estimator.label, "fits": 1, **cost} for cell, cost in found.values() if cost is not None]
    columns = ["label", "fits", "f_evaluations", "grad_evaluations", "seconds"]
    return pd.DataFrame(rows, columns=columns).groupby("label", sort=False, as_index=False).sum()


def _moments(plan: Plan, cell: Cell, items: Items, true: Floats | None) -> Moments:
    if cell.method == "exact":
        assert true is not None
        item = items[("exact", cell.key, "")]
        return Moments.unpack(decode(item["moments"], (1, len(SCALARS) + 3 * len(true))), true)
    packed = packed_shards(plan, cell, items)
    assert packed is not None
    return Moments.unpack(packed, true)


def _vectors(m: Moments, true: Floats | None) -> dict[str, list[float] | None]:
    n = m.n.sum()
    delta, second = m.s1.sum(0) / n, m.s2.sum(0) / n
    bessel = n / (n - 1) if n > 1 else 1.0
    return {
        "true_gradient": None if true is None else true.tolist(),
        "mean_gradient": (m.shift + delta).tolist(),
        "coordinate_variance": (np.maximum(second - delta**2, 0.0) * bessel).tolist(),
    }


def precision_reached(plan: Plan, items: Items) -> str | None:
    """For a config with a precision: how many cells reached it, and the worst; None without one."""
    wanted = plan.config.precision
    if wanted is None:
        return None
    reached, worst, cells = 0, 0.0, 0
    for cell in plan.cells:
        sampled = cell.method != "exact" and cell.reason is None and prepared(plan, cell, items)
        packed = packed_shards(plan, cell, items) if sampled else None
        if packed is not None:
            r = precision(Shards.of(Moments.unpack(grouped(packed), truth(plan, cell, items))), wanted.metric)
            cells += 1
            reached += bool(r <= wanted.relative)
            worst = max(worst, r)
    return (
        f"precision: {reached} of {cells} cells have a relative standard error of {wanted.metric} of at most "
        f"{wanted.relative:g}; the worst has {worst:.2g}"
    )
