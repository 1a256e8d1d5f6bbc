"""Checks of the arrays in a journal against the plan: lengths, counts, finite true gradients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from estbench.errors import ResultsError
from estbench.moments import SCALARS, Floats
from estbench.plan import Plan, Training
from estbench.store.records import Item, decode, named

_COUNTS = [SCALARS.index(name) for name in ("n", "non_finite", "zeros")]
_MEANS = ("true_norm", "bias_squared", "variance", "mse", "cosine")  # of every cell that is measured at seeds
_SLACK = 1e-6  # weights of an exact row sum to 1 up to rounding


def check_arrays(items: Mapping[Item, Any], lines: Mapping[Item, int], plan: Plan, journal: str) -> None:
    """ResultsError, with the line, if an array is not as long as the plan says, or counts what there cannot be.

    Items of cells that are not in the plan are left alone.
    """
    cells = {cell.key: plan.coordinates(cell.problem) for cell in plan.cells}
    exact = {cell.key for cell in plan.cells if cell.method == "exact"}
    seeds = {cell.key: at.training.seeds for cell in plan.cells if (at := plan.problems[cell.problem].at) is not None}
    parameters = {spec.id: plan.coordinates(i) for i, spec in enumerate(plan.problems)}
    sizes = {spec.id: layout.shard_size for spec, layout in zip(plan.problems, plan.layouts, strict=True)}
    jobs = {
        f"{spec.id}/{first}": (spec.id, shards)
        for spec, layout in zip(plan.problems, plan.layouts, strict=True)
        for first, shards in layout.jobs()
    }
    for item, result in items.items():
        kind, key, cell = item
        where = f"{journal}, line {lines[item]}"
        if kind == "problem" and key in parameters and result["true"] is not None:
            _gradient(result["true"], parameters[key], where, item)
        elif kind == "cost" and key in cells and result.get("reference") is not None:
            _gradient(result["reference"], cells[key], where, item)
        elif kind == "exact" and key in cells and "reason" not in result:
            counts = _moments(result["moments"], 1, cells[key], where, item)
            bounds = [_decoded(result[name], (), where, item) for name in ("error", "mean_error")]
            _demand(bool((counts[:, 0] <= 1 + _SLACK).all()), "its weights sum to more than 1", where, item)
            _demand(not any(bound < 0 for bound in bounds), "a bound of an error is negative", where, item)
        elif kind == "seeds" and key in cells and "reason" not in result:
            lacks = {*_MEANS, *(["bias_norm"] if key in exact else [])} - result["means"].keys()
            _demand(not lacks, f"it has no {', '.join(sorted(lacks))}", where, item)
            all_ = result["seeds"] + result["non_finite"] == seeds.get(key)
            _demand(all_, f"it is of other seeds than the {seeds.get(key)} of its training", where, item)
            for text in result["means"].values():
                _decoded(text, (2,), where, item)
        elif kind == "job" and key in jobs and cell in cells:
            problem, shards = jobs[key]
            counts = _moments(result["moments"], shards, cells[cell], where, item)
            whole = counts[:, 0] + counts[:, 1] == sizes[problem]
            _demand(bool(whole.all()), f"its shards do not have {sizes[problem]} replicates each", where, item)
    _check_trainings(items, lines, plan, journal)


def _check_trainings(items: Mapping[Item, Any], lines: Mapping[Item, int], plan: Plan, journal: str) -> None:
    """ResultsError unless all epochs of one training have the same arrays, each but `parameters` with one a seed."""
    lengths: dict[str, dict[str, int]] = {}
    trainings = {training.id: training for training in _trainings(plan)}
    for item, result in items.items():
        if item[0] == "trained":
            where = f"{journal}, line {lines[item]}"
            own = {
                name: len(_decoded(result[name], (-1,), where, item))
                for name in ("parameters", *OF_SEEDS)
                if isinstance(result.get(name), str)
            }
            id_ = item[1].rpartition("/")[0]
            training = trainings.get(id_)
            wanted = own["train"] if training is None else training.seeds
            _demand(wanted > 0 and all(own.get(name, wanted) == wanted for name in OF_SEEDS), _LACKS, where, item)
            logits = training is not None and training.kind == "trajectory"
            _demand(not logits or "gradient" in own, "it has no gradient", where, item)
            bounded = training is not None and training.importance_samples is not None
            right = training is None or all((name in own) is bounded for name in WEIGHTED)
            _demand(right, "it has not the importance-weighted bounds of its training", where, item)
            first = lengths.setdefault(id_, own)
            _demand(own == first, "its arrays are not as long as those of another epoch", where, item)


def _trainings(plan: Plan) -> Iterator[Training]:
    """The trainings of a plan."""
    for cell in plan.cells:
        if (at := plan.problems[cell.problem].at) is not None:
            yield at.training
            yield at.training_of(cell.estimator, cell.samples)


WEIGHTED = ("train_weighted", "valid_weighted")
"""The importance-weighted bounds, which a training has where they are asked for."""

OF_SEEDS = ("train", "valid", "gradient", "train_nll", "valid_nll", *WEIGHTED, "train_open", "valid_open")
"""The arrays of a training that have a number for each seed."""

_LACKS = "it has not a loss of each seed"


def _gradient(text: str, length: int, where: str, item: Item) -> None:
    _demand(bool(np.isfinite(_decoded(text, (length,), where, item)).all()), "a gradient is not finite", where, item)


def _moments(text: str, shards: int, parameters: int, where: str, item: Item) -> Floats:
    """The counts in packed moments, [shards, 3]: finite estimates, others, and zeros among the finite ones."""
    packed = _decoded(text, (shards, len(SCALARS) + 3 * parameters), where, item)
    counts: Floats = packed[:, _COUNTS]
    n, others, zeros = counts.T
    zeros = np.where(np.isnan(zeros), 0.0, zeros)  # of integrated rows they are not known
    right = np.isfinite(n + others).all() and (n >= 0).all() and (others >= 0).all()
    right &= (zeros >= 0).all() and (zeros <= n + _SLACK).all()
    _demand(bool(right), "it counts estimates that cannot be", where, item)
    return counts


def _decoded(text: str, shape: tuple[int, ...], where: str, item: Item) -> Floats:
    try:
        return decode(text, shape)
    except ResultsError:
        _demand(False, f"an array has not the shape {shape} of this run", where, item)
        raise


def _demand(right: bool, what: str, where: str, item: Item) -> None:
    if not right:
        raise ResultsError(
            f"{where}: damaged, or of another run: {named(item)}: {what}. Restore the file, or delete that line: "
            "`estbench run` computes again what it had."
        )
