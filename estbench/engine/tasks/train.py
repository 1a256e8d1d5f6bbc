"""Training of a network."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from estbench import catalogue
from estbench.engine.limit import limited
from estbench.engine.tasks.failure import Record, failures, reason
from estbench.engine.tasks.group import has_user_code, is_own, isolated
from estbench.networks.base import Kind, Network, draws_examples
from estbench.networks.data import Images
from estbench.plan import ProblemSpec, Training
from estbench.store import encode
from estbench.trainings.drawn import train as descend
from estbench.trainings.importance import importance_weighted
from estbench.trainings.loop import losses, minus_log_likelihoods, open_shares, parameters_of, train


@dataclass(frozen=True)
class TrainTask:
    """The training of the networks of a problem, up to the last of some epochs.

    `looked` are the cells at its checkpoints: (key, epoch).
    """

    spec: ProblemSpec
    training: Training
    epochs: tuple[int, ...]
    looked: tuple[tuple[str, int], ...]
    seed: int
    timeout: float | None = None

    def pieces(self) -> list[TrainTask]:
        """None: it is one training."""
        return []

    def cells(self) -> list[str]:
        """The keys of the cells that need it."""
        return [key for key, _ in self.looked]

    def perform(self) -> list[Record]:
        """A `trained` record for each epoch: parameters of the first seed, losses of all.

        Where it fails on the way those reached are kept, and the cells at the others have `failed` ones.
        """
        training, start = self.training, time.perf_counter()
        records: list[Record] = []
        try:
            with self._isolated("train"), limited(self.timeout):
                for epoch, model, found in self._course():
                    found["parameters"] = encode(parameters_of(model).double().numpy())
                    found["seconds"] = time.perf_counter() - start
                    records.append({"kind": "trained", "key": f"{training.id}/{epoch}", **found})
        except Exception as error:
            left = self.epochs[len(records) :]
            missed = (key for key, epoch in self.looked if epoch in left)
            return records + failures(missed, f"training: {reason(error)}")
        return records

    def _isolated(self, *where: object) -> AbstractContextManager[object]:
        """The context of the training, or within it of its losses, which do not change it."""
        own = has_user_code(self.spec) or is_own(self.training.by)
        return isolated(own, self.seed, self.training.id, *where)

    def _course(self) -> Iterator[tuple[int, Any, Record]]:
        """(epoch, the networks, their losses) at each checkpoint."""
        network, images, kind = network_of(self.spec)
        if draws_examples(network):
            for epoch, drawn in descend(network, kind, self.training, self.epochs, self.seed):
                yield epoch, drawn, {"train": encode(drawn.mean_loss().numpy())}
            return
        for epoch, model in train(network, images, kind, self.training, self.epochs, self.seed):
            found: Record = {}
            with self._isolated("losses", epoch):
                for data, x, y in images.parts():
                    found[data] = encode(losses(model, kind, x, y).numpy())
                    if (nll := minus_log_likelihoods(model, kind, x, y)) is not None:
                        found[f"{data}_nll"] = encode(nll.numpy())
                    if (K := self.training.importance_samples) is not None:
                        found[f"{data}_weighted"] = encode(importance_weighted(model, x, y, K, self.seed, data).numpy())
                    if (share := open_shares(model, kind, x, y)) is not None:
                        found[f"{data}_open"] = encode(share.numpy())
                        found["target"] = float(model.target)
            yield epoch, model, found


def network_of(spec: ProblemSpec) -> tuple[Network, Images, Kind]:
    """The network of a problem with its options, the images as it takes them, and the variables of its layers."""
    assert spec.at is not None
    network = catalogue.build(catalogue.network_class(spec.objective), dict(spec.objective_options))
    return network, network.images(spec.at.training.data), Kind(spec.distribution, spec.dimensions, spec.classes)
