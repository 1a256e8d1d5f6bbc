"""Gradients of logits as gradients of parameters: one contract for free, tied and linear parameters."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from estbench.draws import Draw
from estbench.errors import UsageError
from estbench.estimate import estimates
from estbench.estimators.score_function.reinforce import Reinforce
from estbench.objectives.sine import Sine
from estbench.parametrisation import FREE, TIED, Jacobian, Parametrisation
from estbench.problem import Problem, make
from estbench.streams import Streams


def logits(distribution: str) -> Tensor:
    """Three variables, for categorical ones with four classes."""
    shape = (3,) if distribution == "bernoulli" else (3, 4)
    return torch.linspace(-1, 1, 12, dtype=torch.float64)[: 3 if len(shape) == 1 else 12].view(shape)


def matrix(problem: Problem) -> Tensor:
    """J of tied variables, [n, P]."""
    P = problem.numbers // problem.D
    return torch.eye(P, dtype=torch.float64).repeat(problem.D, 1)


@pytest.mark.parametrize("distribution", ["bernoulli", "categorical"])
def test_tied_variables_are_one_linear_map(distribution: str) -> None:
    """The exact gradient and estimates of tied variables are those with the Jacobian that repeats the parameters."""
    tied = make(
        Sine(), logits(distribution)[:1].expand(logits(distribution).shape).contiguous(), distribution, tie=True
    )
    linear = Problem(tied.distribution, tied.objective, jacobian=Jacobian(matrix(tied)))
    assert linear.parameters == tied.parameters
    assert tied.exact_gradient is not None
    torch.testing.assert_close(linear.exact_gradient, tied.exact_gradient, rtol=0, atol=1e-15)
    found = [estimates(Reinforce(), Draw(p, 5, 2, streams=Streams(0, "p", range(1))), [1, 2]) for p in (tied, linear)]
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-14)


@pytest.mark.parametrize("distribution", ["bernoulli", "categorical"])
@pytest.mark.parametrize("kind", ["free", "tied", "linear"])
def test_push_is_the_transpose_of_pull(distribution: str, kind: str) -> None:
    """<g, J v> = <Jᵀ g, v> for random g and v."""
    d = make(Sine(), logits(distribution), distribution).distribution
    n = logits(distribution).numel()
    g = torch.Generator().manual_seed(0)
    J = torch.randn(n, 5, generator=g, dtype=torch.float64)
    maps: dict[str, Parametrisation] = {"free": FREE, "tied": TIED, "linear": Jacobian(J)}
    of = maps[kind]
    rows = torch.randn(6, *d.event_shape, generator=g, dtype=torch.float64)
    v = torch.randn(6, of.parameters(d), generator=g, dtype=torch.float64)
    assert of.jvp(v, d).shape == rows.shape
    torch.testing.assert_close((rows * of.jvp(v, d)).flatten(1).sum(1), (of.vjp(rows, d) * v).sum(1))


def test_each_entry_of_a_batch_has_its_own_map() -> None:
    """With logits [2, 3, D], estimates and exact gradients are those of each entry by itself."""
    g = torch.Generator().manual_seed(1)
    every = torch.randn(2, 3, 4, generator=g, dtype=torch.float64)
    J = torch.randn(2, 3, 4, 5, generator=g, dtype=torch.float64)
    batch = Problem(make(Sine(), every, "bernoulli").distribution, Sine(), jacobian=Jacobian(J))
    assert batch.exact_gradient is not None
    found = estimates(Reinforce(), Draw(batch, 6, 2, streams=Streams(0, "p", range(1))), [1, 2])
    logits_alone = estimates(
        Reinforce(), Draw(make(Sine(), every, "bernoulli"), 6, 2, streams=Streams(0, "p", range(1))), [1, 2]
    )
    for i in range(6):
        at = divmod(i, 3)
        torch.testing.assert_close(found[:, i], logits_alone[:, i] @ J[at])
        alone = Problem(make(Sine(), every[at], "bernoulli").distribution, Sine(), jacobian=Jacobian(J[at]))
        assert alone.exact_gradient is not None
        torch.testing.assert_close(batch.exact_gradient[at], alone.exact_gradient)


def test_a_map_that_does_not_fit_is_refused() -> None:
    """Both tie and a Jacobian, and a Jacobian of another shape, are errors that say what is allowed."""
    d = make(Sine(), logits("bernoulli"), "bernoulli").distribution
    J = torch.ones(3, 2, dtype=torch.float64)
    with pytest.raises(UsageError, match="not both"):
        Problem(d, Sine(), tie=True, jacobian=Jacobian(J))
    with pytest.raises(UsageError, match=r"\[3, P\], got \[4, 2\]"):
        Problem(d, Sine(), jacobian=Jacobian(torch.ones(4, 2, dtype=torch.float64)))
