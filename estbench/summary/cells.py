"""The records of one cell in a journal: moments, cost, seconds, failure."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

import numpy as np

from estbench.moments import SCALARS, Floats, merge
from estbench.plan import Cell, Plan
from estbench.store import Item, decode

Items = Mapping[Item, Any]


def truth(plan: Plan, cell: Cell, items: Items) -> Floats | None:
    """The gradient that a cell is measured against, [P]; None where it is not known."""
    own = items.get(("cost", cell.key, ""), {}).get("reference")
    text = own or items[("problem", plan.problems[cell.problem].id, "")]["true"]
    return None if text is None else decode(text, (-1,))


def outcome(plan: Plan, cell: Cell, items: Items) -> Floats | dict[str, Any] | None:
    """The packed records of a cell, [S, 8 + 3P]; else its row with `status` and `reason`; None if it is not done."""
    if cell.reason is not None:
        return {"status": "skipped", "reason": cell.reason}
    if (item := items.get(("seeds", cell.key, ""))) is not None:
        from estbench.summary.seeds import of_seeds  # noqa: PLC0415 - intervals alone need scipy

        return of_seeds(cell, item, plan.config.level)
    if prepared(plan, cell, items):
        if cell.method == "monte_carlo":
            packed = packed_shards(plan, cell, items)
            if packed is not None and len(packed) >= plan.layouts[cell.problem].shards:
                return packed
        elif (item := items.get(("exact", cell.key, ""))) is not None:
            if "reason" in item:
                return {"status": "skipped", "reason": item["reason"]}
            return decode(item["moments"], (1, _width(plan, cell)))
    failure = items.get(("failed", cell.key, ""))
    return None if failure is None else {"status": "failed", "reason": failure["reason"]}


def _width(plan: Plan, cell: Cell) -> int:
    """Numbers in one packed record of a cell: 8 + 3P."""
    return len(SCALARS) + 3 * plan.coordinates(cell.problem)


def rank(plan: Plan, cell: Cell, items: Items) -> int | None:
    """P, where the gradients of a cell are recorded in a span of fewer directions; None elsewhere."""
    found: int | None = items[("problem", plan.problems[cell.problem].id, "")].get("parameters")
    return found


def rarest(plan: Plan, cell: Cell, items: Items) -> float:
    """The share of samples that show the rarest class or the rarest effect on f."""
    spec = plan.problems[cell.problem]
    of_effects: float | None = items[("problem", spec.id, "")].get("rarest_event")
    return spec.rarest if of_effects is None else min(spec.rarest, of_effects)


def packed_shards(plan: Plan, cell: Cell, items: Items) -> Floats | None:
    """The packed records of a Monte Carlo cell, shard by shard from the first: [S, 8 + 3P]; None if there are none."""
    spec, layout = plan.problems[cell.problem], plan.layouts[cell.problem]
    found = []
    for first, shards in layout.jobs():
        item = items.get(("job", f"{spec.id}/{first}", cell.key))
        if item is None:
            break
        found.append(decode(item["moments"], (shards, _width(plan, cell))))
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


def seconds(cell: Cell, items: Items) -> float:
    """The seconds of an estimate; NaN where it was not timed. Older runs have them with the cost."""
    timed = items.get(("timing", cell.key, ""), items.get(("cost", cell.key, ""), {})).get("seconds")
    return np.nan if timed is None else float(timed)


def prepared(plan: Plan, cell: Cell, items: Items) -> bool:
    """Whether it is known what a cell is measured against and what it costs; in one part of a run it may not be."""
    return ("cost", cell.key, "") in items and ("problem", plan.problems[cell.problem].id, "") in items
