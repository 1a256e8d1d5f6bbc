"""The columns of results that identify a cell: its problem, estimator, temperature, N and method."""

from __future__ import annotations

from typing import Any

import numpy as np

from estbench.plan import Cell, Plan, ProblemSpec

DONE = {"status": "ok", "reason": ""}


def identity(plan: Plan, cell: Cell) -> dict[str, Any]:
    """These columns of a cell, by name."""
    spec, estimator = plan.problems[cell.problem], cell.estimator
    return {
        "problem": spec.label,
        "distribution": spec.distribution_text,
        "objective": spec.objective_text,
        "dimensions": spec.dimensions,
        "categories": spec.classes,
        "logits": spec.logits_text,
        "estimator": estimator.name,
        "options": estimator.options_text,
        "label": estimator.label,
        "temperature": np.nan if cell.temperature is None else cell.temperature,
        "samples": cell.samples,
        "method": cell.method,
        **_place(spec, cell),
    }


def _place(spec: ProblemSpec, cell: Cell) -> dict[str, Any]:
    """Of what kind the problem is, and where in a training."""
    if spec.at is None:
        return {"kind": spec.kind}
    training = spec.at.training_of(cell.estimator, cell.samples)
    place = {
        "kind": spec.kind,
        "checkpoint": spec.at.epoch,
        "trained_by": training.trained_by,
        "parameters": spec.at.parameters,
    }
    if spec.kind == "network":
        place |= {"network": spec.objective_text, "batch": training.batch}
    return place
