"""Logits with batch axes: every estimator gives, entry by entry, what it gives without a batch."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from estbench import catalogue
from estbench.draws import Draw
from estbench.errors import UsageError
from estbench.estimators.base import Estimator, Fitted
from estbench.objectives.base import Objective
from estbench.problem import Problem, make
from estbench.streams import Streams
from tests.coupled import Chain
from tests.estimators.members import ALL, build, gradients, objective, where

R = 5
SHAPES = {"bernoulli": (3,), "categorical": (2, 3)}


def logits(distribution: str, D: int | None = None) -> Tensor:
    """One set for each replicate; one of them extreme, one of equal numbers."""
    shape = SHAPES[distribution] if D is None else (D, *SHAPES[distribution][1:])
    made = torch.randn(R, *shape, generator=torch.Generator().manual_seed(4)).double() * 1.5
    made[1] = 0.3
    made[2, 0] = 9.0 if distribution == "bernoulli" else torch.tensor([7.0, -1.0, 0.5]).double()
    return made


class Row(Streams):
    """The streams of one replicate of several: the row that it has in a draw of all of them."""

    def __init__(self, of: int) -> None:
        super().__init__(0, "batched", range(1))
        self._of = of

    def uniform(
        self, name: str, rows: int, *shape: int, dtype: torch.dtype = torch.float64, reader: str = ""
    ) -> Tensor:
        """Its row of R."""
        assert rows == 1
        self.reads += 1
        return Streams(0, "batched", range(1)).uniform(name, R, *shape, dtype=dtype, reader=reader)[
            self._of : self._of + 1
        ]


def serves(distribution: str, estimator: Estimator) -> bool:
    """Whether it is for such variables."""
    return distribution in estimator.facts.distributions


def fitted(estimator: Estimator, problem: Problem) -> list[Estimator]:
    """The estimator, and as it is after a fit that is shared by the batch."""
    if not isinstance(estimator, Fitted):
        return [estimator]
    n_fit = getattr(type(estimator), "n_fit", 512)
    quick: Any = estimator if estimator.n_fit == n_fit < 5000 else replace(estimator, n_fit=512)  # type: ignore[type-var]
    quick = replace(quick, steps=3) if hasattr(quick, "steps") else quick
    one = quick.fit(problem, Draw(problem, quick.n_fit, 1, streams=Streams(1, "fit", range(1))))
    return [estimator] if one == quick else [estimator, one]


LONG = {"rebar", "relax", "lax", "rodeo", "double_cv"}
"""Control variates whose fit takes a while: their options are slow cases."""


@pytest.mark.parametrize(
    ("name", "options", "distribution"),
    [
        pytest.param(
            *case.values,
            distribution,
            id=f"{distribution}-{case.id}",
            marks=[pytest.mark.slow] * bool(case.values[0] in LONG and case.values[1]),
        )
        for distribution in SHAPES
        for case in where(partial(serves, distribution), ALL)
    ],
)
def test_batched_equals_unbatched(name: str, options: dict[str, Any], distribution: str) -> None:
    """With the same noise the estimates of a batch are those of each of its problems alone, to 1e-12."""
    estimator = build(name, options)
    facts = estimator.facts
    every, N = logits(distribution, facts.max_variables), max(3, facts.min_samples)
    if facts.unbatchable:
        with pytest.raises(UsageError, match=facts.unbatchable):
            gradients(
                estimator, Draw(make(objective("sine"), every, distribution), R, N, streams=Streams(0, "", range(1)))
            )
        return
    for f in (objective("mlp", seed=3), objective("quadratic_form", seed=1)):
        problems = [make(f, one, distribution) for one in every]
        for one in fitted(estimator, problems[0]):
            draw = Draw(make(f, every, distribution), R, N, streams=Streams(0, "batched", range(1)))
            found = gradients(one, draw)
            for r, problem in enumerate(problems):
                alone = gradients(one, Draw(problem, 1, N, streams=Row(r)))[0]
                torch.testing.assert_close(found[r], alone, rtol=1e-12, atol=1e-12 * float(alone.abs().max() + 1e-3))


@pytest.mark.parametrize(
    ("name", "distribution"),
    [
        (name, distribution)
        for name in ("rebar", "rloo", "carms", "arms", "disarm_iw", "unordered_set", "enumerate", "mve")
        for distribution in SHAPES
        if serves(distribution, build(name, {}))
    ],
)
def test_several_batch_axes_are_one_for_a_draw(name: str, distribution: str) -> None:
    """Logits [2, 3, …] make six replicates, in order."""
    estimator = build(name, {})
    every = torch.randn(6, *SHAPES[distribution], generator=torch.Generator().manual_seed(0)).double()
    shapes = (every, every.view(2, 3, *every.shape[1:]))
    one, two = (
        gradients(estimator, Draw(make(objective("sine"), t, distribution), 6, 2, streams=Streams(0, "x", range(1))))
        for t in shapes
    )
    assert torch.equal(one, two)


def test_a_draw_has_one_replicate_for_each_entry() -> None:
    """Another number of replicates is refused."""
    with pytest.raises(UsageError, match=r"one replicate for each entry of the batch of logits: 5, not 4"):
        Draw(make(objective("sine"), logits("bernoulli"), "bernoulli"), 4, 2)


OBJECTIVES = [
    pytest.param(catalogue.build(kind, {}), distribution, id=f"{name}-{distribution}")
    for name, kind in catalogue.OBJECTIVES.items()
    for distribution in SHAPES
    if distribution in kind().distributions
]


@pytest.mark.parametrize("tie", [False, True])
@pytest.mark.parametrize(("f", "distribution"), OBJECTIVES)
def test_what_is_known_exactly_of_a_batch_is_known_of_each_entry(f: Objective, distribution: str, tie: bool) -> None:
    """The gradient by either route, E f, the optimal baseline, marginals and the size of f, to 1e-12."""
    every = logits(distribution)
    every = every[:, :1].expand(every.shape).contiguous() if tie else every
    batch, each = make(f, every, distribution, tie=tie), [make(f, one, distribution, tie=tie) for one in every]

    def compare(found: Tensor, alone: list[Tensor]) -> None:
        for r, one in enumerate(alone):
            torch.testing.assert_close(found[r], one, rtol=1e-12, atol=1e-12 * float(one.abs().max() + 1e-3))

    assert batch.exact_gradient is not None
    compare(batch.exact_gradient, [p.exact_gradient for p in each if p.exact_gradient is not None])
    compare(batch.by_enumeration(), [p.by_enumeration() for p in each])
    compare(batch.mean_f, [p.mean_f for p in each])
    compare(batch.optimal_baseline, [p.optimal_baseline for p in each])
    compare(batch.marginals, [p.marginals for p in each])
    sizes = batch.size
    assert isinstance(sizes, Tensor)
    compare(sizes.squeeze(-1), [torch.tensor(p.size, dtype=torch.float64) for p in each])


def test_coupled_variables_have_batches_too() -> None:
    """The gradient of a batch of chains, and reinforce on it."""
    every = logits("bernoulli")
    f = objective("mlp", seed=3)
    batch, each = Problem(Chain(every), f), [Problem(Chain(one), f) for one in every]
    assert batch.exact_gradient is not None
    found = gradients(build("reinforce", {}), Draw(batch, R, 2, streams=Streams(0, "batched", range(1))))
    for r, problem in enumerate(each):
        assert problem.exact_gradient is not None
        torch.testing.assert_close(batch.exact_gradient[r], problem.exact_gradient, rtol=1e-12, atol=1e-15)
        torch.testing.assert_close(batch.marginals[r], problem.marginals, rtol=1e-12, atol=1e-15)
        alone = gradients(build("reinforce", {}), Draw(problem, 1, 2, streams=Row(r)))[0]
        torch.testing.assert_close(found[r], alone, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("name", "distribution"),
    [
        ("mve", "categorical"),
        ("carms", "categorical"),
        ("disarm_sb", "categorical"),
        ("disarm_tree", "categorical"),
        ("disarm_iw", "categorical"),
        ("sum_and_sample", "bernoulli"),
        ("unordered_set", "categorical"),
    ],
)
def test_tables_live_no_longer_than_their_distribution(name: str, distribution: str) -> None:
    """Nothing keeps a batch alive once its draw is gone: in training there is a new one at every step."""
    draw = Draw(make(objective("sine"), logits(distribution), distribution), R, 2, streams=Streams(0, "", range(1)))
    gradients(build(name, {}), draw)
    table, of = weakref.ref(draw.distribution.logits), weakref.ref(draw.distribution)
    del draw
    gc.collect()
    assert table() is None
    assert of() is None
