"""What a config may say of a network that is trained, and of where in the training its gradients are measured."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import (
    Field,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.dataclasses import dataclass

from estbench import catalogue
from estbench.config.choice import EstimatorChoice, Listed, ObjectiveChoice, Sorted, read_estimator, read_network
from estbench.config.complaint import Path
from estbench.config.explain import explain, faults
from estbench.config.logits import STRICT
from estbench.config.problem import NO_CATEGORIES, one_hot
from estbench.errors import UsageError
from estbench.isolation import Isolated, reason
from estbench.networks.base import Kind, Network, WithBound, draws_examples, joint_states, unserved
from estbench.networks.contract import tried, tried_drawn
from estbench.networks.data import Images, Stamp, stamp
from estbench.networks.gradients import demand
from estbench.plan import classes_of

MAX_STATES = 2**16
"""Joint states of one layer over which the loss is summed for every example."""

EXACT, OWN = "exact", "own"
Trainer = EstimatorChoice | Literal["exact", "own"]


def read_trainer(value: Any) -> Trainer:
    """`exact`, `own`, or an estimator; raises pydantic's ValidationError."""
    return value if value in (EXACT, OWN) else read_estimator(value)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrainingConfig:
    """How a network is trained.

    estimator      by what: `exact`, the exact gradient; `own`, each estimator of the config by itself; or an estimator.
                   Of a list every one trains networks of its own
    samples        N of an estimator that is named here; those that train by themselves have the N of their cells
    epochs, batch  passes through the training data; examples of a batch
    optimiser      adam, or sgd without momentum; `learning_rate` is its
    seeds          networks side by side
    importance_samples  samples K of the importance-weighted bound of −log p, for each example at each checkpoint; by
                   default it is not found. The training does not depend on it
    """

    estimator: Annotated[
        tuple[Annotated[Trainer, PlainValidator(read_trainer), WithJsonSchema({})], ...], Listed, Field(min_length=1)
    ] = ("exact",)
    samples: Annotated[int, Field(ge=1, le=10**6)] = 1
    epochs: Annotated[int, Field(ge=0, le=10**6)] = 60
    batch: Annotated[int, Field(ge=1, le=10**7)] = 100
    optimiser: Literal["adam", "sgd"] = "adam"
    learning_rate: Annotated[float, Field(gt=0, le=1e6)] = 3e-3
    seeds: Annotated[int, Field(ge=1, le=10_000)] = 30
    importance_samples: Annotated[int, Field(ge=1, le=10**6)] | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NetworkConfig:
    """A network with discrete variables, looked at while it is trained."""

    kind: Literal["network"]
    network: Annotated[ObjectiveChoice, PlainValidator(read_network), WithJsonSchema({})]
    data: str = "digits"
    distribution: Literal["bernoulli", "categorical"]
    dimensions: Annotated[int, Field(ge=1, le=10_000)]
    categories: Annotated[Annotated[int, Field(ge=2, le=10_000)] | None, Field(validate_default=True)] = None
    training: TrainingConfig = TrainingConfig()
    checkpoints: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Listed, Sorted] = ()
    parameters: str = "encoder"

    @field_validator("categories")
    @classmethod
    def _categories(cls, K: int | None, info: ValidationInfo) -> int | None:
        distribution = info.data.get("distribution")
        if distribution is not None and one_hot(distribution) is (K is None):
            wrong = "need categories: K" if K is None else NO_CATEGORIES
            raise faults(((), f"{distribution} variables {wrong}"))
        if "network" in info.data and draws_examples(catalogue.network_class(info.data["network"].name)):
            return K  # it sums over no states
        classes = classes_of(K)
        if "dimensions" in info.data and (D := info.data["dimensions"]) * math.log2(classes) > math.log2(MAX_STATES):
            what = f"{classes}^{D} joint states of a layer are more than {MAX_STATES}"
            raise faults(((), f"{what}, over which the loss is summed"))
        return K

    @field_validator("checkpoints")
    @classmethod
    def _checkpoints(cls, found: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        training = info.data.get("training")
        if training is not None and (late := [epoch for epoch in found if epoch > training.epochs]):
            raise faults(((), f"epoch {late[0]} is after the end of the training; epochs: {training.epochs}"))
        return found

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if wrong := _misfit(self.network, self.data, self.layer, self.parameters, self.training):
            raise faults(wrong)
        return self

    @property
    def epochs(self) -> tuple[int, ...]:
        """The checkpoints; where none are given, the beginning and the end of the training."""
        return self.checkpoints or tuple(sorted({0, self.training.epochs}))

    @property
    def layer(self) -> Kind:
        """The variables of a layer."""
        return Kind(self.distribution, self.dimensions, classes_of(self.categories))

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one sample: (D,), or (D, K) where it is one-hot."""
        return self.layer.event


NETWORK_KEYS = {
    (): [f.name for f in fields(NetworkConfig)],
    ("training",): [f.name for f in fields(TrainingConfig)],
}


def read_network_config(value: Any) -> NetworkConfig:
    """A problem of kind `network` from plain data; raises pydantic's ValidationError."""
    try:
        return _NETWORK.validate_json(json.dumps(value))
    except ValidationError as error:
        raise faults(*explain(error, value, NETWORK_KEYS)) from None


_NETWORK = TypeAdapter(NetworkConfig)


def _misfit(
    network: ObjectiveChoice, data: str, kind: Kind, part: str, training: TrainingConfig
) -> tuple[Path, str] | None:
    """What does not fit together, found by building the network once: (path, message)."""
    of: Any = catalogue.network_class(network.name)  # which mypy does not know to be hashable
    now, batch, bounded = stamp(data), training.batch, training.importance_samples is not None
    if not catalogue.is_plugin(network.name):
        return _found(of, network, data, now, kind, part, batch, bounded)
    try:
        with Isolated("network", network.name, network.options):
            return _found(of, network, data, now, kind, part, batch, bounded, own=True)
    except Exception as error:  # code of users may raise anything
        return ("network",), f"{network.name} cannot be built and called: {reason(error)}"


@lru_cache(maxsize=256)
def _found(
    of: catalogue.NetworkClass,
    network: ObjectiveChoice,
    data: str,
    now: Stamp,
    kind: Kind,
    part: str,
    batch: int,
    bounded: bool,
    *,
    own: bool = False,
) -> tuple[Path, str] | None:
    del now  # a file that has changed is read anew
    made: Network = catalogue.build(of, dict(network.options))
    if why := unserved(made, kind.distribution):
        return ("distribution",), f"{network.name}: {why}"
    if draws_examples(made):
        if bounded:
            return _BOUND, f"{network.name}: its examples are drawn, so no data have a bound; leave the key away"
        return _of_drawn(made, data, kind, part, own=own)
    try:
        images = made.images(data)
    except UsageError as error:
        return ("data",), str(error)
    if not isinstance(images, Images):
        return ("network",), f"{network.name}: images must give estbench.networks.data.Images"
    if batch > len(images.train):
        return ("training", "batch"), f"{batch} examples, but {data} has {len(images.train)} to train on"
    try:
        if own:
            tried(made, images, kind)
        model: Any = made.build(images, kind, [torch.Generator()])
    except UsageError as error:
        return ("network",), str(error)
    if (M := joint_states(model, kind)) > MAX_STATES:
        return (
            "dimensions",
        ), f"{M} joint states of all layers are more than {MAX_STATES}, over which the loss is summed"
    if bounded and not isinstance(model, WithBound):
        return _BOUND, f"{network.name} has no importance-weighted bound; its model has no `importance_weighted`"
    try:
        demand(model, part)
    except UsageError as error:
        return ("parameters",), str(error)
    return None


_BOUND = ("training", "importance_samples")


def _of_drawn(made: Network, data: str, kind: Kind, part: str, *, own: bool) -> tuple[Path, str] | None:
    """The same of a network whose examples are drawn: it has no table of them, and sums over no states."""
    try:
        images = made.images(data)
    except UsageError as error:
        return ("data",), str(error)
    try:
        if own:
            tried_drawn(made, images, kind)
        model: Any = made.build(images, kind, [torch.Generator()])
    except UsageError as error:
        return ("network",), str(error)
    if not isinstance(getattr(made, "steps", None), int):
        return ("network",), "it says draws_examples, and has no field `steps`, those of an epoch"
    if part != model.part:
        return ("parameters",), f"its gradients are those of {model.part}: parameters: {model.part}, got {part}"
    return None
