"""Gradients of thousands of parameters inside a network, whose records are kept in the span of their means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np

from benchmarks.coverage_cells import INTERVALS, Tally, too_many
from estbench import catalogue
from estbench.intervals import Shards, bias_p_value, flags
from estbench.moments import Moments, in_span, moments
from estbench.networks.base import Kind
from estbench.networks.gradients import copies, gradients
from estbench.networks.vae import Vae
from estbench.plan import Training
from estbench.training.expected import measured
from estbench.trainings import exact
from estbench.trainings.loop import generator, train

SHARDS, SIZE, EXAMPLES = 64, 5, 50
EPOCHS = (0, 20)
ESTIMATORS = ("ste", "darn", "muprop", "reinforce")
METRICS = ("variance", "mse", "bias_squared", "cosine_of_mean")
NETWORK, KIND = Vae(hidden=32), Kind("bernoulli", 6)


@dataclass
class InNetwork:
    """An estimator at an epoch of the training: a tally for each interval, flags, and how often p is below .05.

    size  ‖b‖ in standard errors √(v/R) of the mean; 0 for what is unbiased
    """

    epoch: int
    estimator: str
    parameters: int
    size: float
    tallies: dict[str, Tally]
    flags: Counter[str] = field(default_factory=Counter)
    low_p: int = 0

    @property
    def trials(self) -> int:
        """The number of repeats."""
        return self.tallies["variance"].trials

    def verdict(self) -> str:
        """*ok*, or what is outside the stated rates by more than chance."""
        found = [f"{metric}: {why}" for metric, tally in self.tallies.items() if (why := tally.verdict()) != "ok"]
        wrong = self.size == 0 and too_many(self.low_p, self.trials, 0.05)
        return "; ".join([*found, *["biased: too often"] * wrong]) or "ok"


def measure_networks(repeats: int, seed: int) -> list[InNetwork]:
    """The coverage of the intervals of every estimator at every epoch, against its exact moments."""
    found = []
    for epoch in EPOCHS:
        batch = batch_at(epoch, seed)
        for name in ESTIMATORS:
            values, cell = exact_values(batch, epoch, name)
            for s in benchmarks(batch, name, repeats, seed, epoch):
                own = flags(s)
                cell.flags.update(own)
                for metric, tally in cell.tallies.items():
                    tally.add(*INTERVALS[metric](s)[1:], values[metric], bool(own))
                cell.low_p += bias_p_value(s) < 0.05
            found.append(cell)
    return found


@cache
def batch_at(epoch: int, seed: int) -> exact.Batch:
    """The first examples of the digits at an epoch of the training by the exact gradient."""
    images = NETWORK.images("digits")
    training = Training(
        id="coverage",
        kind="network",
        data="digits",
        trained_by="exact",
        samples=1,
        epochs=epoch,
        batch=100,
        optimiser="adam",
        learning_rate=0.01,
        seeds=1,
    )
    ((_, model),) = train(NETWORK, images, KIND, training, [epoch], seed)
    return exact.Batch.of(model, KIND, images.train[:EXAMPLES], None, "encoder")


def exact_values(batch: exact.Batch, epoch: int, name: str) -> tuple[dict[str, float], InNetwork]:
    """The exact moments of an estimator of one sample, and its cell without any repeat."""
    estimator: Any = catalogue.ESTIMATORS[name]()
    bias, v = exact.moments(batch, estimator, 1)
    b, g = (0 * bias if estimator.facts.unbiased else bias).numpy(), batch.true.numpy()
    size = float(np.linalg.norm(b))
    values = {
        "variance": v,
        "mse": v + size**2,
        "bias_squared": size**2,
        "cosine_of_mean": float((g + b) @ g / np.linalg.norm(g + b) / np.linalg.norm(g)),
    }
    tallies = {metric: Tally(metric, hardly=False, end=False, one=False) for metric in METRICS}
    return values, InNetwork(epoch, name, len(g), size / (v / (SHARDS * SIZE)) ** 0.5, tallies)


def benchmarks(batch: exact.Batch, name: str, repeats: int, seed: int, epoch: int) -> Iterator[Shards]:
    """Repeats of the sampled gradients of a batch, recorded as a run records them."""
    R, estimator = SHARDS * SIZE, catalogue.ESTIMATORS[name]()
    model, x = copies(batch.model, 0, R), batch.x.expand(R, -1, -1)
    for repeat in range(repeats):
        noise = generator(seed, "coverage", epoch, name, repeat)
        expect = partial(measured, estimator=estimator, samples=1, generator=noise)
        each = gradients(model, KIND, batch.part, x, None, expect)
        kept, g = in_span(moments(each.view(SHARDS, SIZE, -1), batch.true).numpy(), batch.true.numpy())
        yield Shards.of(Moments.unpack(kept, g), rank=len(batch.true))
