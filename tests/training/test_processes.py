"""Under torch.compile and in several processes."""

from __future__ import annotations

import os
import shutil
import socket
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from estbench.distributions import Bernoulli, Categorical
from estbench.training import expectation, sample
from tests.sizes import SMALL, at_whole_size
from tests.training.steps import seeded

COMPILED = ["disarm"] if SMALL else ["ste", "gumbel", "gumbel_rao", "reinmax", "disarm", "rloo", "rebar[eta=1]"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch's compiler itself
def test_a_compiled_value() -> None:
    """What estimates keep in their draw does not leave a function that is traced: a compiled step runs."""
    logits = torch.zeros(4, 3, requires_grad=True)
    torch._dynamo.reset()

    @torch.compile(backend="eager")
    def step() -> Tensor:
        return expectation(lambda z: z.sum(-1).square(), Bernoulli(logits), "rloo", 2).sum()

    step().backward()
    assert logits.grad is not None


@at_whole_size
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", COMPILED)
def test_compiled_steps(estimator: str) -> None:
    """A compiled step, and an eager step with a compiled f, give the numbers of the eager step."""
    encoder, decoder = nn.Linear(5, 6), nn.Linear(6, 5)
    x = torch.randn(4, 5, generator=seeded())

    def f(z: Tensor) -> Tensor:
        value: Tensor = (decoder(z) - x.unsqueeze(1)).square().sum(-1)
        return value

    def step(f: Any = f) -> Tensor:
        return expectation(f, Bernoulli(encoder(x)), estimator, 2).mean()

    def run(step: Any) -> list[Tensor]:
        torch.manual_seed(3)
        loss = step()
        return [loss.detach(), *torch.autograd.grad(loss, [encoder.weight, decoder.weight])]

    torch._dynamo.reset()
    compiled, within = torch.compile(step, backend="eager"), torch.compile(f, backend="eager")
    wanted = run(step)
    steps = [compiled, lambda: step(within)]
    if shutil.which("g++"):  # the default compiler would replace torch's random numbers, where they have no generator
        steps.append(torch.compile(step))
    for found in map(run, steps):
        for a, b in zip(found, wanted, strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", ["gumbel", "gumbel_st", "reinmax"])
def test_compiled_nodes(estimator: str) -> None:
    """A compiled network with a stochastic node gives the numbers of the eager one."""
    first, second = nn.Linear(5, 6), nn.Linear(6, 3)
    x = torch.randn(4, 5, generator=seeded())

    def network() -> Tensor:
        z = sample(Categorical(first(x).unflatten(-1, (2, 3))), estimator)
        value: Tensor = second(z.flatten(1)).square().sum()
        return value

    torch._dynamo.reset()
    found = []
    for step in (network, torch.compile(network, backend="eager")):
        torch.manual_seed(3)
        found.append(torch.autograd.grad(step(), first.weight)[0])
    torch.testing.assert_close(*found)


class Model(nn.Module):
    """A whole step in one forward pass."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.decoder = nn.Linear(5, 6), nn.Linear(6, 5)

    def forward(self, x: Tensor, estimator: str) -> Tensor:
        """The mean loss."""

        def f(z: Tensor) -> Tensor:
            value: Tensor = (self.decoder(z) - x.unsqueeze(1)).square().sum(-1)
            return value

        return expectation(f, Bernoulli(self.encoder(x)), estimator, 2).mean()


ESTIMATORS = ["ste", "disarm", "rebar[eta=1]", "double_cv[a=-1]", "leg"]


def _gradients(model: nn.Module, rank: int, estimator: str) -> list[Tensor]:
    model.zero_grad()
    x = torch.randn(4, 5, generator=seeded(rank))
    torch.manual_seed(10 + rank)
    model(x, estimator).backward()
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def _worker(rank: int, port: int, folder: str) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    model = nn.parallel.DistributedDataParallel(Model())
    found = {estimator: _gradients(model, rank, estimator) for estimator in ESTIMATORS}
    if rank == 0:
        torch.save(found, os.path.join(folder, "found.pt"))  # noqa: PTH118 - a text crossed the process
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_several_processes(tmp_path: Any) -> None:
    """In DistributedDataParallel the gradient is the mean of those of the processes, each with its own data."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn(_worker, (port, str(tmp_path)), nprocs=2)
    found = torch.load(tmp_path / "found.pt", weights_only=True)
    for estimator in ESTIMATORS:
        alone = [_gradients(Model(), rank, estimator) for rank in (0, 1)]
        for mean, one, two in zip(found[estimator], *alone, strict=True):
            torch.testing.assert_close(mean, (one + two) / 2)
