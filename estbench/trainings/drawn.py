"""Networks whose examples are drawn: gradients by any estimator, their exact moments where known, and descent.

An estimator sees the logits of each example and f, and nothing else; its gradients of the logits are pulled back to the
parameter that the logits are linear in. They are measured against the gradient of the mean loss (see `base.Drawn`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from estbench import catalogue
from estbench.draws import Draw
from estbench.errors import UsageError
from estbench.estimate import estimates
from estbench.estimators.base import Estimator
from estbench.exact import Unavailable
from estbench.moments import Floats, moments
from estbench.networks.base import POPULATION, Kind, WithMoments
from estbench.networks.coarse_moments import CoarseMoments
from estbench.plan import Training
from estbench.problem import Problem
from estbench.streams import TorchStreams
from estbench.trainings.loop import generator, initial, optimiser_of

_NUMBERS = 2**22
"""Numbers in the Jacobians of examples that are made at once."""


@dataclass(frozen=True, eq=False)
class Place:
    """One network, and the number of examples of a batch, whose mean gradient it is."""

    model: Any
    kind: Kind
    batch: int
    route: ClassVar[str] = "closed form"

    @property
    def true(self) -> Tensor:
        """The gradient of the mean loss, [n]."""
        found: Tensor = self.model.gradients()[self.model.part][0].flatten()
        return found


def exact(place: Place, estimator: Estimator) -> CoarseMoments:
    """Mean and variance of the gradient of a batch; `Unavailable` where the network does not know them."""
    model = place.model
    if not isinstance(model, WithMoments):
        raise Unavailable("this network knows no exact moments")
    found = model.moments(estimator)
    if isinstance(found, str):
        raise Unavailable(f"exact moments in this network: of {found}")
    return replace(found, variance=found.variance / place.batch)


def shard(
    place: Place, estimator: Estimator, samples: int, replicates: int, examples: torch.Generator, noise: torch.Generator
) -> Floats:
    """The packed record [1, 8 + 3n] of gradients of so many batches of new examples."""
    true = place.true
    step = max(1, _NUMBERS // (place.batch * place.kind.numbers * len(true)))
    found = [
        gradient(place, estimator, samples, min(step, replicates - done), examples, noise)
        for done in range(0, replicates, step)
    ]
    packed: Floats = moments(torch.cat(found).unsqueeze(0), true).numpy()
    return packed


def gradient(
    place: Place,
    estimator: Estimator,
    samples: int,
    replicates: int,
    examples: torch.Generator,
    noise: torch.Generator,
) -> Tensor:
    """Gradients of new batches: [replicates, n]."""
    problem = place.model.examples(replicates * place.batch, examples)
    return _of_examples(problem, estimator, samples, noise).view(replicates, place.batch, -1).mean(1)


def _of_examples(problem: Problem, estimator: Estimator, samples: int, noise: torch.Generator) -> Tensor:
    logits = problem.distribution.logits
    draw = Draw(problem, len(logits), samples, streams=TorchStreams(logits.device, noise))
    return estimates(estimator, draw, [samples])[0]


def train(network: Any, kind: Kind, training: Training, checkpoints: Sequence[int], seed: int) -> Iterator[Any]:
    """(epoch, the networks) at each checkpoint; an epoch has `network.steps` steps. See `loop.train`.

    Each step has new examples, the same for all estimators; with `data: population` it has the mean gradient.
    """
    model = initial(network, network.images(training.data), kind, training.seeds, seed)
    optimiser = optimiser_of(training, model)
    examples, noise = generator(seed, "examples"), generator(seed, training.id, "noise")
    for epoch in range(max(checkpoints) + 1):
        if epoch in checkpoints:
            yield epoch, model
        if epoch == max(checkpoints):
            return
        estimator = None if training.by is None else catalogue.estimator(training.by.at(training.done(epoch)))
        for _ in range(network.steps):
            if estimator is None:
                found = model.gradients()
            elif training.data == POPULATION:
                found = model.gradients() | {model.part: _mean(model, estimator)}
            else:
                found = _step(model, estimator, training, examples, noise)
            for name, parameter in model.named_parameters():
                parameter.grad = found[name].view_as(parameter)
            optimiser.step()


def _mean(model: Any, estimator: Estimator) -> Tensor:
    if not isinstance(model, WithMoments):
        raise UsageError("data: population: this network knows no mean gradients by estimators; take data: gaussian")
    found = model.mean_gradient(estimator)
    if isinstance(found, str):
        raise UsageError(f"data: population has mean gradients in closed form: of {found}; others take data: gaussian")
    return found


def _step(
    model: Any, estimator: Estimator, training: Training, examples: torch.Generator, noise: torch.Generator
) -> dict[str, Tensor]:
    """The gradient of each parameter from one batch of new examples, the same examples for all networks."""
    problem = model.examples(training.batch, examples)
    found = model.others(problem) | {model.part: _of_examples(problem, estimator, training.samples, noise)}
    return {name: g.view(-1, training.batch, *g.shape[1:]).mean(1) for name, g in found.items()}
