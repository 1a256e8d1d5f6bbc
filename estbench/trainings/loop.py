"""Training of several seeds of one network side by side, by the exact gradient or by any estimator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor, nn

from estbench import catalogue
from estbench.estimators.base import Estimator
from estbench.networks.base import (
    Expect,
    Kind,
    Network,
    OneLayer,
    WithGates,
    WithLikelihood,
    exactly,
    joint_states,
    loss,
)
from estbench.networks.data import Images
from estbench.plan import Training
from estbench.training import expectation

_SUMMANDS = 2**20
"""Examples times joint states, over all seeds, of which the loss is found at once."""


def generator(*entropy: object) -> torch.Generator:
    """A generator whose seed is a hash of numbers and texts."""
    number = int.from_bytes(sha256(repr(entropy).encode()).digest()[:8], "big")
    return torch.Generator().manual_seed(number >> 1)


def by(estimator: Estimator, samples: int, noise: torch.Generator) -> Expect:
    """E f(z) by an estimator with N samples, as `expectation` has it: a relaxation trains the decoder at its points."""
    return lambda f, variables: expectation(f, variables, estimator, samples, generator=noise)


def initial(network: Network, images: Images, kind: Kind, seeds: int, seed: int) -> Any:
    """The untrained networks: the parameters of each depend on `seed` and its own number alone."""
    return network.build(images, kind, [generator(seed, s, "parameters") for s in range(seeds)])


def train(
    network: Network, images: Images, kind: Kind, training: Training, checkpoints: Sequence[int], seed: int
) -> Iterator[tuple[int, Any]]:
    """Yield (epoch, networks) at each checkpoint; the same networks are trained further afterwards.

    Whatever trains them, networks begin with the same parameters and see the same batches in the same order. The rest
    of a pass that does not fill a batch is left out. The numbers are float32.
    """
    model = initial(network, images, kind, training.seeds, seed)
    optimiser = optimiser_of(training, model)
    orders = [generator(seed, s, "order") for s in range(training.seeds)]
    noise = generator(seed, training.id, "noise")
    for epoch in range(max(checkpoints) + 1):
        if epoch in checkpoints:
            yield epoch, model
        if epoch == max(checkpoints):
            return
        expect = _expect(training, epoch, noise)
        for x, y in batches(images, training.batch, orders):
            optimiser.zero_grad()
            torch.autograd.backward(loss(model, kind, x, y, expect).mean(1).sum())
            optimiser.step()


def _expect(training: Training, epoch: int, noise: torch.Generator) -> Expect:
    if training.by is None:
        return exactly
    return by(catalogue.estimator(training.by.at(training.done(epoch))), training.samples, noise)


def batches(images: Images, batch: int, orders: Sequence[torch.Generator]) -> Iterator[tuple[Tensor, Tensor | None]]:
    """One pass: x [S, B, pixels] and y [S, B], in another order for each seed."""
    n, y = len(images.train), images.train_labels
    order = torch.stack([torch.randperm(n, generator=g) for g in orders])
    for i in range(0, n - batch + 1, batch):
        at = order[:, i : i + batch]
        yield images.train[at], None if y is None else y[at]


def optimiser_of(training: Training, model: nn.Module) -> torch.optim.Optimizer:
    """Adam, or SGD without momentum, of all parameters."""
    if training.optimiser == "sgd":
        return torch.optim.SGD(model.parameters(), lr=training.learning_rate)
    return torch.optim.Adam(model.parameters(), lr=training.learning_rate)


def losses(model: Any, kind: Kind, x: Tensor, y: Tensor | None) -> Tensor:
    """The exact loss of each seed on all examples x [n, pixels] with labels y [n]: [S] in float64."""
    if not isinstance(model, OneLayer):
        return _mean(lambda x, y: loss(model, kind, x, y, exactly), model, kind, x, y)

    def expected(x: Tensor, y: Tensor | None) -> Tensor:
        return exactly(model.f(x, y), kind.of(model.logits(x).flatten(2)))

    with torch.no_grad():  # in the rest, examples may meet: it is that of all of them
        rest = model.rest(model.logits(x.expand(seeds_of(model), -1, -1)))
    return _mean(expected, model, kind, x, y) + rest.double().mean(1)


def minus_log_likelihoods(model: Any, kind: Kind, x: Tensor, y: Tensor | None) -> Tensor | None:
    """−log p of each seed, the mean over all examples, with all joint states summed: [S]; None if it has none."""
    if not isinstance(model, WithLikelihood):
        return None
    return _mean(model.minus_log_likelihood, model, kind, x, y)


def open_shares(model: Any, kind: Kind, x: Tensor, y: Tensor | None) -> Tensor | None:
    """The share of open gates of each seed, the mean over all examples and gates: [S]; None if it has no gates."""
    if not isinstance(model, WithGates):
        return None
    return _mean(lambda x, _: model.open_share(x), model, kind, x, y)


def _mean(of: Callable[[Tensor, Tensor | None], Tensor], model: Any, kind: Kind, x: Tensor, y: Tensor | None) -> Tensor:
    """The mean of a function of examples, [S, B], over all of them: [S] in float64."""
    S = seeds_of(model)
    step = max(1, _SUMMANDS // (S * joint_states(model, kind)))
    total = torch.zeros(S, dtype=torch.float64)
    with torch.no_grad():
        for i in range(0, len(x), step):
            labels = None if y is None else y[i : i + step].expand(S, -1)
            total += of(x[i : i + step].expand(S, -1, -1), labels).double().sum(1)
    return total / len(x)


def seeds_of(model: Any) -> int:
    """The number of networks side by side."""
    return len(next(model.parameters()))


def parameters_of(model: nn.Module, seed: int = 0) -> Tensor:
    """All parameters of one seed, one after the other, [n]."""
    return torch.cat([p.detach()[seed].flatten() for p in model.parameters()])


def with_parameters(model: Any, values: Tensor) -> Any:
    """The first seed of a network with these parameters, as `parameters_of` gives them."""
    one = deepcopy(model)
    pieces = torch.split(values, [p[0].numel() for p in one.parameters()])
    for parameter, piece in zip(one.parameters(), pieces, strict=True):
        parameter.data = piece.to(parameter.dtype).view_as(parameter[0]).unsqueeze(0).clone()
    return one
