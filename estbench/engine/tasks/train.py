"""Training of a network."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from estbench import catalog
from estbench.engine.limit import limited
from estbench.engine.tasks.failure import Record, failures, reason
from estbench.engine.tasks.group import isolated
from estbench.networks.base import Kind, Network
from estbench.networks.data import Images
from estbench.networks.threshold import CoarseGradient
from estbench.plan import ProblemSpec, Training
from estbench.store import encode
from estbench.trainings.coarse import train as descend
from estbench.trainings.loop import losses, minus_log_likelihoods, parameters_of, train


@dataclass(frozen=True)
class TrainTask:
    """The training of the networks of a problem, up to the last of some epochs; `keys` are those of all cells there."""

    spec: ProblemSpec
    training: Training
    epochs: tuple[int, ...]
    keys: tuple[str, ...]
    seed: int
    timeout: float | None = None

    def pieces(self) -> list[TrainTask]:
        """None: it is one training."""
        return []

    def cells(self) -> list[str]:
        """The keys of the cells that need it."""
        return list(self.keys)

    def perform(self) -> list[Record]:
        """A `trained` record for each epoch: parameters of the first seed, losses of all; else `failed` ones."""
        training, start = self.training, time.perf_counter()
        user_code = catalog.is_plugin(self.spec.objective) or (
            training.by is not None and catalog.is_plugin(training.by.name)
        )
        records: list[Record] = []
        try:
            with isolated(user_code, self.seed, training.id, "train"), limited(self.timeout):
                for epoch, model, found in self._course():
                    found["parameters"] = encode(parameters_of(model).double().numpy())
                    found["seconds"] = time.perf_counter() - start
                    records.append({"kind": "trained", "key": f"{training.id}/{epoch}", **found})
        except Exception as error:
            return failures(self.cells(), f"training: {reason(error)}")
        return records

    def _course(self) -> Iterator[tuple[int, Any, Record]]:
        """(epoch, the networks, their losses) at each checkpoint."""
        network, images, kind = network_of(self.spec)
        if isinstance(network, CoarseGradient):
            for epoch, coarse in descend(network, kind, self.training, self.epochs, self.seed):
                yield epoch, coarse, {"train": encode(coarse.two_layer().loss().numpy())}
            return
        for epoch, model in train(network, images, kind, self.training, self.epochs, self.seed):
            found: Record = {}
            for data, x, y in images.parts():
                found[data] = encode(losses(model, kind, x, y).numpy())
                if (nll := minus_log_likelihoods(model, kind, x, y)) is not None:
                    found[f"{data}_nll"] = encode(nll.numpy())
            yield epoch, model, found


def network_of(spec: ProblemSpec) -> tuple[Network | CoarseGradient, Images, Kind]:
    """The network of a problem with its options, the images as it takes them, and the variables of its layers."""
    assert spec.at is not None
    network = catalog.build(catalog.network_class(spec.objective), dict(spec.objective_options))
    return network, network.images(spec.at.training.data), Kind(spec.distribution, spec.dimensions, spec.classes)
