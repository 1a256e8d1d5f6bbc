"""A plan of one estimator, and the records of its cells, made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from estbench.config import load
from estbench.expand import expand
from estbench.plan import Cell, Plan
from estbench.store import Item, encode

Floats = NDArray[np.float64]
RNG = np.random.default_rng
G = np.array([0.6, -0.8])


def plan_of(**changes: Any) -> Plan:
    """The plan of two Bernoulli variables and one estimator."""
    problem = {"objective": "quadratic", "distribution": "bernoulli", "logits": [0.5, -1.0]}
    data = {"name": "made", "problems": [problem], "estimators": ["reinforce"], "samples": [1]}
    return expand(load({**data, **changes}))


def known(plan: Plan) -> dict[Item, Any]:
    """The gradient G, and what each cell costs."""
    items: dict[Item, Any] = {("problem", spec.id, ""): {"true": encode(G)} for spec in plan.problems}
    cost = {"f": 1, "df": 0, "seconds": None}
    return items | {("cost", cell.key, ""): cost for cell in plan.cells}


def job(plan: Plan, cell: Cell, packed: Floats) -> dict[Item, Any]:
    """The items of a cell whose shards are these."""
    spec, layout = plan.problems[cell.problem], plan.layouts[cell.problem]
    made: dict[Item, Any] = {}
    for first, shards in layout.jobs():
        if first + shards <= len(packed):
            made["job", f"{spec.id}/{first}", cell.key] = {"moments": encode(packed[first : first + shards])}
    return made
