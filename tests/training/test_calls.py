"""A small step is made of the fixed costs of its calls, so that there are few."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from estbench.draws import Draw
from estbench.errors import UsageError
from estbench.problem import Problem
from estbench.streams import TorchStreams
from estbench.training import expectation, sample
from estbench.training.given import Given
from tests.training.steps import distribution_of, seeded, some_logits


class Calls(TorchFunctionMode):
    """Names the functions of torch that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """One more, unless it reads an attribute."""
        if function.__name__ != "__get__":
            self.names.append(function.__name__)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("estimator", "name", "most"),
    [
        ("ste", "bernoulli", 13),
        ("gumbel", "bernoulli", 15),
        ("reinforce", "bernoulli", 20),
        ("disarm", "bernoulli", 31),
        ("gumbel", "categorical", 27),
    ],
)
def test_calls_of_a_step(estimator: str, name: str, most: int) -> None:
    """A forward pass calls torch no more often than this, with an f of two calls and the sum over the batch."""
    distribution = distribution_of(name, some_logits(name).detach().float().requires_grad_())
    with Calls() as calls:
        expectation(lambda z: z.flatten(2).sum(-1), distribution, estimator).sum().backward()
    assert len(calls.names) <= most, (len(calls.names), calls.names)


def test_a_draw_in_training_keeps_no_versions() -> None:
    """Nobody asks there what was written into; a draw that is watched tells."""
    for watched, said in ((False, []), (True, ["z"])):
        distribution = distribution_of("bernoulli", some_logits("bernoulli").detach())
        problem = Problem(distribution, Given(lambda z: z.sum(-1), distribution, None, None))
        streams = TorchStreams(torch.device("cpu"), seeded())
        draw = Draw(problem, len(distribution.logits), 2, streams=streams, watched=watched)
        draw.z.add_(1)
        assert list(draw.written()) == said


def test_what_is_known_to_be_served_is_no_more() -> None:
    """A number of samples that is none is refused after steps that were right, and so is another distribution."""
    logits = some_logits("bernoulli")
    sample(distribution_of("bernoulli", logits), "ste[proxy=relu]", samples=1)
    with pytest.raises(UsageError, match="whole number of at least 1, got True"):
        sample(distribution_of("bernoulli", logits), "ste[proxy=relu]", samples=True)
    with pytest.raises(UsageError, match="serves bernoulli only"):
        sample(distribution_of("categorical", some_logits("categorical")), "ste[proxy=relu]", samples=1)


def test_sums_over_few_and_many_classes_are_the_same() -> None:
    """Arithmetic along the classes gives the same numbers for a few samples and for many at once."""
    logits = some_logits("categorical").detach()
    draws: list[Tensor] = []
    e = torch.rand(4, 5000, *logits.shape[1:], dtype=torch.float64, generator=seeded())
    d = distribution_of("categorical", logits)
    for part in (e, e[:, :5]):
        noisy: Any = d.noisy(part.clone())
        y = noisy.relax(0.7)
        draws.append(torch.stack((y, noisy.vjp(y, 0.7, part), d.jac_halfway(noisy.hard, part), d.mean_jac(part))))
    assert torch.equal(draws[0][:, :, :5], draws[1])
