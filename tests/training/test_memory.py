"""Nothing keeps a step alive once it is over."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import Tensor

from estbench import catalogue
from estbench.training import Online, expectation, sample
from tests.training.steps import SHAPES, distribution_of

MEMBERS = [
    pytest.param(estimator, name, id=f"{estimator}-{name}")
    for estimator, kind in catalogue.ESTIMATORS.items()
    for name in sorted(kind().facts.distributions)
]


@pytest.mark.parametrize(("estimator", "name"), MEMBERS)
def test_a_step_leaves_nothing_behind(estimator: str, name: str) -> None:
    """After the backward pass no minibatch, no samples and no f are alive, without waiting for the garbage collector.

    The value of the loss may be kept, as training curves do.
    """
    born: list[weakref.ref[Tensor]] = []
    kept = []
    gc.disable()
    try:
        for _ in range(2):

            def f(z: Tensor) -> Tensor:
                born.append(weakref.ref(z))  # noqa: B023 - called here and now
                return torch.sin(z.flatten(2).sum(-1))

            logits = torch.zeros(3, *SHAPES[name], requires_grad=True)
            distribution = distribution_of(name, logits)
            loss = expectation(f, distribution, estimator, 3).sum()
            loss.backward()
            kept.append(loss.detach())
            born += [weakref.ref(logits), weakref.ref(distribution.logits)]
            function = weakref.ref(f)
            del logits, distribution, loss, f
            assert function() is None
            assert not [of for of in born if of() is not None]
    finally:
        gc.enable()


@pytest.mark.parametrize(("estimator", "name"), MEMBERS)
def test_a_step_leaves_no_garbage(estimator: str, name: str) -> None:
    """After the backward pass the garbage collector has nothing to do: no object refers to itself."""
    logits = torch.zeros(3, *SHAPES[name], requires_grad=True)

    def step() -> None:
        distribution = distribution_of(name, logits)
        loss = expectation(lambda z: torch.sin(z.flatten(2).sum(-1)), distribution, estimator, 3).sum()
        if catalogue.ESTIMATORS[estimator]().facts.node:
            loss = loss + sample(distribution, estimator).sum()
        loss.backward()

    step()  # modules are imported
    gc.freeze()  # what has been made by now is not looked through
    gc.disable()
    try:
        step()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_online_keeps_sums_alone() -> None:
    """An `Online` keeps a few numbers of all steps, and no graph."""
    online = Online("rebar")
    logits = torch.zeros(3, 4, requires_grad=True)
    seen = weakref.ref(logits)
    for _ in range(5):
        expectation(lambda z: z.sum(-1) ** 2, distribution_of("bernoulli", logits), online).sum().backward()
    del logits
    gc.collect()
    assert seen() is None
    assert online.state_dict()["sums"].numel() == 2


def test_a_sample_may_be_added_to_its_logits() -> None:
    """In place, as a residual connection does: the step is gone once it is over, and the gradient is right."""
    parameters = torch.zeros(3, 4, requires_grad=True)
    logits = parameters * 1
    seen = weakref.ref(logits)
    z = sample(distribution_of("bernoulli", logits), "ste")
    logits += z
    (g,) = torch.autograd.grad(logits.sum(), parameters)
    assert torch.equal(g, torch.full((3, 4), 1.25))
    del logits, z
    assert seen() is None


def test_a_node_that_is_never_used_backward() -> None:
    """A sample and its graph go when the sample goes."""
    logits = torch.zeros(3, 4, requires_grad=True)
    seen = weakref.ref(logits)
    z = sample(distribution_of("bernoulli", logits), "gumbel")
    del logits, z
    assert seen() is None
