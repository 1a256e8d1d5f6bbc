"""Training of several seeds of one network side by side, by the exact gradient or by any estimator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

import torch
from torch import Tensor, nn

from estbench.networks.base import Expect, Kind, Network, exactly
from estbench.networks.data import Images
from estbench.training import expectation
from estbench.trainings.schedule import Schedule

EXACT = "exact"
_ROWS = 2**20  # examples times joint states, over all seeds, of which the loss is found at once


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    schedule       the estimator; `exact` is the exact gradient by enumeration
    samples        N, for each example
    epochs, batch  passes through the training data, and examples of a batch; the rest of a pass is left out
    optimizer      adam, or sgd without momentum
    learning_rate  of the optimizer
    seeds          networks side by side; each has its own initial parameters and its own order of the examples
    """

    schedule: Schedule
    samples: int = 1
    epochs: int = 60
    batch: int = 100
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 3e-3
    seeds: int = 30

    def expect(self, epoch: int, generator: torch.Generator) -> Expect:
        """How E f(z) is found in an epoch."""
        if self.schedule.selector == EXACT:
            return exactly
        return by(self.schedule.at(epoch, self.epochs), self.samples, generator=generator)


def by(estimator: str, samples: int = 1, *, generator: torch.Generator) -> Expect:
    """E f(z) by an estimator, given by its name and options, with N samples."""
    return lambda f, variables: expectation(f, variables, estimator, samples, generator=generator)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The networks after so many epochs."""

    epoch: int
    model: Any


def generator(*entropy: object) -> torch.Generator:
    """A generator whose seed is a hash of numbers and texts."""
    number = int.from_bytes(sha256(repr(entropy).encode()).digest()[:8], "big")
    return torch.Generator().manual_seed(number >> 1)


def initial(network: Network, images: Images, kind: Kind, seeds: int, seed: int) -> Any:
    """The untrained networks: the parameters of each depend on `seed` and its own number alone."""
    return network.build(images, kind, [generator(seed, s, "parameters") for s in range(seeds)])


def train(
    network: Network, images: Images, kind: Kind, training: Training, checkpoints: tuple[int, ...], seed: int
) -> Iterator[Checkpoint]:
    """The networks at each checkpoint, an epoch from 0 to `epochs`; they are trained on while the caller looks on.

    Every estimator begins from the same parameters and sees the same batches in the same order. The numbers are float32.
    """
    model = initial(network, images, kind, training.seeds, seed)
    optimizer = _optimizer(training, model)
    orders = [generator(seed, s, "order") for s in range(training.seeds)]
    noise = generator(seed, training.schedule, training.samples, "noise")
    for epoch in range(max(checkpoints) + 1):
        if epoch in checkpoints:
            yield Checkpoint(epoch, model)
        if epoch == max(checkpoints):
            return
        expect = training.expect(epoch, noise)
        for x, y in batches(images, training.batch, orders):
            optimizer.zero_grad()
            model.loss(x, y, expect).mean(1).sum().backward()
            optimizer.step()


def batches(images: Images, batch: int, orders: list[torch.Generator]) -> Iterator[tuple[Tensor, Tensor | None]]:
    """One pass: x [S, B, pixels] and y [S, B], in another order for each seed."""
    n, y = len(images.train), images.train_labels
    order = torch.stack([torch.randperm(n, generator=g) for g in orders])
    for i in range(0, n - batch + 1, batch):
        at = order[:, i : i + batch]
        yield images.train[at], None if y is None else y[at]


def _optimizer(training: Training, model: nn.Module) -> torch.optim.Optimizer:
    kinds = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
    return kinds[training.optimizer](model.parameters(), lr=training.learning_rate)


def losses(model: Any, x: Tensor, y: Tensor | None, states: int, expect: Expect = exactly) -> Tensor:
    """The exact loss, the mean over all examples x [n, pixels] with labels y [n], of each seed: [S]."""
    S = len(next(iter(model.parameters())))
    step = max(1, _ROWS // (S * states))
    total = torch.zeros(S, dtype=torch.float64)
    with torch.no_grad():
        for i in range(0, len(x), step):
            some = x[i : i + step]
            labels = None if y is None else y[i : i + step].expand(S, -1)
            total += model.loss(some.expand(S, -1, -1), labels, expect).double().sum(1)
    return total / len(x)
