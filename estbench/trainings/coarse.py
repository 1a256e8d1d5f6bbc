"""The threshold network with Gaussian inputs: coarse gradients of w by any estimator, exact moments, and descent.

An estimator sees the logits Z w of each example, f(z) = ½ (vᵀz − y*)², and nothing else; its gradients of the logits
are pulled back to w by Zᵀ. They are measured against the gradient of the population loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from estbench import catalog
from estbench.distributions import Bernoulli
from estbench.draws import Draw, TorchStreams
from estbench.errors import UsageError
from estbench.estimate import estimates
from estbench.estimators.base import Estimator
from estbench.estimators.straight_through.ste import Ste
from estbench.exact import Unavailable
from estbench.moments import Floats, moments
from estbench.networks.base import Kind
from estbench.networks.coarse import INDICATORS, TwoLayer
from estbench.networks.coarse_moments import CoarseMoments, coarse_moments
from estbench.networks.threshold import POPULATION, CoarseGradient, Square, Thresholds, of_examples
from estbench.plan import Training
from estbench.problem import Problem
from estbench.trainings.loop import generator, initial, optimizer_of

_NUMBERS = 2**22
"""Numbers in the inputs Z of examples that are made at once."""


@dataclass(frozen=True, eq=False)
class Place:
    """One network, and the number of examples of a batch, whose mean gradient of w it is."""

    net: TwoLayer
    batch: int
    route: ClassVar[str] = "closed form"

    @classmethod
    def of(cls, model: Thresholds, batch: int) -> Place:
        """The first of the networks."""
        all_ = model.two_layer()
        return cls(TwoLayer(all_.v[0], all_.w[0], all_.v_star[0], all_.w_star[0]), batch)

    @property
    def true(self) -> Tensor:
        """The gradient of the population loss, [n]."""
        return self.net.gradient_w()

    def side_by_side(self) -> TwoLayer:
        """The network with an axis of networks before the others."""
        net = self.net
        return TwoLayer(*(t.unsqueeze(0) for t in (net.v, net.w, net.v_star, net.w_star)))


def exact(place: Place, estimator: Estimator) -> CoarseMoments:
    """Mean and variance of the gradient of a batch; `Unavailable` but for a proxy behind a threshold.

    The samples of such an estimator are all the same: their number changes nothing.
    """
    if not (isinstance(estimator, Ste) and estimator.sample == "threshold"):
        raise Unavailable("exact moments of coarse gradients: of ste[sample=threshold] with any proxy")
    found = coarse_moments(place.net, backward_factor(estimator), (1.0, 1 / (estimator.scale or 1.0)))
    closed = estimator.proxy in INDICATORS
    mean = place.net.coarse_gradient_w(estimator.proxy) if closed else found.mean
    return CoarseMoments(mean, found.variance / place.batch, 0.0 if closed else found.mean_error, found.error)


def backward_factor(estimator: Ste) -> Callable[[Tensor], Tensor]:
    """ψ [n] at pre-activations [n], by the estimator's own code: its rows where ∇f = 1."""

    def psi(x: Tensor) -> Tensor:
        logits = x.view(-1, 1)
        one = Square(torch.ones_like(logits).unsqueeze(1), (x > 0).to(x.dtype).view(-1, 1) - 1)
        return estimator.rows(Draw(Problem(Bernoulli(logits), one), len(x), 1)).flatten()

    return psi


def shard(
    place: Place, estimator: Estimator, samples: int, replicates: int, examples: torch.Generator, noise: torch.Generator
) -> Floats:
    """The packed record [1, 8 + 3n] of gradients of so many batches of new examples."""
    net, m, n = place.side_by_side(), *place.net.v.shape, *place.net.w.shape
    step = max(1, _NUMBERS // (place.batch * m * n))
    found = [
        gradient(net, estimator, samples, min(step, replicates - done), place.batch, examples, noise)
        for done in range(0, replicates, step)
    ]
    packed: Floats = moments(torch.cat(found).unsqueeze(0), place.true).numpy()
    return packed


def gradient(
    net: TwoLayer,
    estimator: Estimator,
    samples: int,
    replicates: int,
    batch: int,
    examples: torch.Generator,
    noise: torch.Generator,
) -> Tensor:
    """Gradients of w of new batches of one network [1, …]: [replicates, n]."""
    m, n = net.v.shape[-1], net.w.shape[-1]
    Z = torch.randn(1, replicates * batch, m, n, generator=examples, dtype=torch.float64)
    return _of_batches(of_examples(net, Z), estimator, samples, noise).view(replicates, batch, n).mean(1)


def _of_batches(problem: Problem, estimator: Estimator, samples: int, noise: torch.Generator) -> Tensor:
    logits = problem.distribution.logits
    draw = Draw(problem, len(logits), samples, streams=TorchStreams(logits.device, noise))
    return estimates(estimator, draw, [samples])[0]


def train(
    network: CoarseGradient, kind: Kind, training: Training, checkpoints: Sequence[int], seed: int
) -> Iterator[tuple[int, Thresholds]]:
    """(epoch, the networks) at each checkpoint; an epoch has `network.steps` steps. See `loop.train`.

    `data: gaussian`: each step has new examples, the same for all estimators; `population`: it has the mean gradient.
    """
    model: Thresholds = initial(network, network.images(training.data), kind, training.seeds, seed)
    optimizer = optimizer_of(training, model)
    examples, noise = generator(seed, "examples"), generator(seed, training.id, "noise")
    for epoch in range(max(checkpoints) + 1):
        if epoch in checkpoints:
            yield epoch, model
        if epoch == max(checkpoints):
            return
        estimator = None if training.by is None else catalog.estimator(training.by.at(training.done(epoch)))
        for _ in range(network.steps):
            net = model.two_layer()
            if estimator is None:
                model.v.grad, model.w.grad = net.gradient_v(), net.gradient_w()
            elif training.data == POPULATION:
                model.v.grad, model.w.grad = net.gradient_v(), net.coarse_gradient_w(_proxy(estimator))
            else:
                model.v.grad, model.w.grad = _step(net, estimator, training, examples, noise)
            optimizer.step()


def _proxy(estimator: Estimator) -> str:
    if isinstance(estimator, Ste) and estimator.sample == "threshold" and estimator.proxy in INDICATORS:
        return estimator.proxy
    raise UsageError(
        "data: population has mean gradients in closed form: of ste[sample=threshold] with proxy "
        f"{', '.join(INDICATORS)}; others take data: gaussian"
    )


def _step(
    net: TwoLayer, estimator: Estimator, training: Training, examples: torch.Generator, noise: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Gradients of v and w from one batch of new examples, the same examples for all networks."""
    (S, m), n = net.v.shape, net.w.shape[1]
    Z = torch.randn(1, training.batch, m, n, generator=examples, dtype=torch.float64).expand(S, -1, -1, -1)
    problem = of_examples(net, Z)
    units = problem.distribution.align(problem.distribution.mode)  # [S B, 1, m]
    objective = problem.objective
    assert isinstance(objective, Square)
    error = objective.error(units)
    dv = (error.unsqueeze(-1) * units).view(S, training.batch, m).mean(1)
    dw = _of_batches(problem, estimator, training.samples, noise).view(S, training.batch, n).mean(1)
    return dv, dw
