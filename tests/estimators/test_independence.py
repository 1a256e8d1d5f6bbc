"""The numbers of an estimator do not depend on which others are evaluated on the same draw, nor in what order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from estbench import catalogue
from estbench.distributions import Bernoulli
from estbench.draws import Draw
from estbench.estimate import estimates
from estbench.estimators.base import Estimator, Fitted
from estbench.problem import Problem, make
from estbench.streams import Streams
from tests.estimators.members import BERNOULLI, CATEGORICAL, build, draw, objective, variants
from tests.sizes import slow

Named = tuple[str, Estimator]


def kind(logits: Any) -> str:
    """The distribution that has such logits."""
    return "bernoulli" if isinstance(logits[0], float) else "categorical"


def members(problem: Problem) -> list[Named]:
    """All of the catalogue that serve the problem, with their options at two values and more; fitted where they are."""
    found = []
    for name in catalogue.ESTIMATORS:
        for options in variants(name):
            estimator = build(name, options)
            facts = estimator.facts
            serves = problem.distribution.name in facts.distributions
            if not serves or (facts.max_variables or problem.D) < problem.D or facts.min_samples > 4:
                continue
            if isinstance(estimator, Fitted):
                estimator = estimator.fit(problem, draw(problem, 64, max(1, facts.min_samples), seed=1))
            found.append((f"{name} {options}", estimator))
    return found


def measured(problem: Problem, those: Sequence[Named]) -> dict[str, Tensor]:
    """The estimates of these estimators, in this order, from two blocks of two shards of one stream."""
    fresh = make(problem.objective, problem.distribution.logits.clone(), problem.distribution.name)
    streams, found = Streams(0, "company", range(2)), []
    for _ in range(2):
        shared = Draw(fresh, 8, 4, streams=streams, shard=4)
        found.append({name: estimates(estimator, shared, [4]) for name, estimator in those})
        assert not list(shared.written())
    return {name: torch.cat([block[name] for block in found], 1) for name, _ in those}


@pytest.mark.parametrize(
    "logits",
    [BERNOULLI, *(slow((logits,)) for logits in (CATEGORICAL, CATEGORICAL[:1]))],
    ids=["bernoulli", "categorical", "one"],
)
def test_forward_reversed_and_alone(logits: Any) -> None:
    """All of the catalogue, each with two option sets and more: the same bytes in any order and alone."""
    problem = make(objective("mlp", seed=3), torch.tensor(logits, dtype=torch.float64), kind(logits))
    those = members(problem)
    forward, reverse = measured(problem, those), measured(problem, those[::-1])
    for name, estimator in those:
        alone = measured(problem, [(name, estimator)])[name]
        assert torch.equal(forward[name], alone), name
        assert torch.equal(reverse[name], alone), name


def test_a_stream_is_its_name_and_its_shape() -> None:
    """Streams of one name that differ in shape, or in being one per replicate, are independent and have their own."""
    problem = make(objective("sine"), torch.tensor(CATEGORICAL, dtype=torch.float64), "categorical")

    def read(order: Sequence[int]) -> list[Tensor]:
        streams, blocks = Streams(0, "shapes", range(1)), []
        for _ in range(2):
            of = Draw(problem, 5, 2, streams=streams)
            asked = [
                lambda of=of: of.uniform("own", 2),
                lambda of=of: of.uniform("own", 3),
                lambda of=of: of.uniform("own", 2, 3),
                lambda of=of: of.uniform("own", 2, 3, per_replicate=True),
                lambda of=of: of.uniform("own"),
                lambda of=of: of.noise("own"),
            ]
            found = {i: asked[i]() for i in order}
            blocks.append(found)
        return [torch.stack([block[i] for block in blocks]) for i in range(len(order))]

    forward, reverse = read(range(6)), read(range(5, -1, -1))
    assert all(map(torch.equal, forward, reverse))
    assert [list(t.shape[1:]) for t in forward] == [[5, 2, 2], [5, 2, 3], [5, 2, 2, 3], [5, 2, 3], [5, 2], [5, 2, 2, 3]]
    for i, a in enumerate(forward[:5]):
        for b in forward[:i]:
            assert not torch.isin(a, b).any()
    torch.testing.assert_close(forward[5], -forward[2].log())  # exponentials of the very uniforms of that name


def test_the_distributions_own_noise_keeps_its_seed() -> None:
    """Of the shape of a sample, a stream has the seed of its name alone: Streams gives the same by that name."""
    for logits in (BERNOULLI, CATEGORICAL):
        problem = make(objective("sine"), torch.tensor(logits, dtype=torch.float64), kind(logits))
        noise = Draw(problem, 6, 2, streams=Streams(0, "p", range(1))).noise("redraw/1")
        u = Streams(0, "p", range(1)).uniform("redraw/1", 6, 2, *problem.distribution.event_shape)
        torch.testing.assert_close(noise, u if isinstance(problem.distribution, Bernoulli) else -u.log())


@pytest.mark.parametrize("k", [2, 3])
def test_unordered_sets_of_two_sizes(k: int) -> None:
    """Beside sets of another size, `unordered_set` keeps the variance that it has alone."""
    problem = make(objective("sine"), torch.tensor([0.83, -1.9], dtype=torch.float64), "bernoulli")
    own, other = build("unordered_set", {"k": k}), build("unordered_set", {"k": 5 - k})
    beside = Draw(problem, 2000, 1, streams=Streams(1, "sets", range(1)))
    estimates(other, beside, [1])
    alone = Draw(problem, 2000, 1, streams=Streams(1, "sets", range(1)))
    assert torch.equal(estimates(own, beside, [1]), estimates(own, alone, [1]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_uniforms_of_any_precision_are_inside(dtype: torch.dtype) -> None:
    """Uniforms are in (0, 1) whatever their precision, half precision included."""
    u = Streams(0, "half", range(1)).uniform("main", 100_000, dtype=dtype)
    assert u.dtype == dtype
    assert bool(((u > 0) & (u < 1)).all())
