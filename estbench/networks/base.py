"""The contract of a network with discrete variables, trained on batches of examples.

Letters: S seeds side by side, B examples, N samples, D variables, K classes, M = K^D joint states. All tensors have the
seeds first. A network may have several layers of discrete variables, each drawn given the ones before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from estbench.distributions import Bernoulli, Categorical
from estbench.networks.data import Images

Variables = Bernoulli | Categorical


class Function(Protocol):
    """f of a batch of examples: samples [S, B, N, D(, K)] to [S, B, N]."""

    def __call__(self, z: Tensor, /) -> Tensor:
        """f at these samples."""
        ...


@runtime_checkable
class OfStates(Protocol):
    """A function whose costly part does not depend on the example, so that it need see each joint state only once."""

    def of_states(self, states: Tensor) -> Tensor:
        """f of each example at each of M states [M, D(, K)]: [S, B, M]."""
        ...


Expect = Callable[[Function, Variables], Tensor]
"""E f(z), [S, B], of variables with batch shape [S, B]: by enumeration, or by an estimator."""


class Model(Protocol):
    """S networks, each initialised from a generator of its own: a `torch.nn.Module`.

    All parameters have the seeds as first axis. Examples must not influence each other in f: no batch normalisation.
    """

    def loss(self, x: Tensor, y: Tensor | None, expect: Expect) -> Tensor:
        """The loss of examples x [S, B, pixels] with labels y [S, B]: [S, B], with `expect` for each layer."""
        ...


@runtime_checkable
class OneLayer(Protocol):
    """A model with one layer of discrete variables: its loss is E f(z) + rest(logits)."""

    def logits(self, x: Tensor) -> Tensor:
        """The logits of examples x [S, B, pixels]: [S, B, D(, K)]."""
        ...

    def f(self, x: Tensor, y: Tensor | None) -> Function:
        """The function of these examples with labels y [S, B]."""
        ...

    def rest(self, logits: Tensor) -> Tensor:
        """What the loss has besides E f, in closed form in the logits: [S, B]."""
        ...


class Network(Protocol):
    """A kind of network: a frozen dataclass whose fields are its options."""

    def images(self, source: str) -> Images:
        """The data as the network takes them."""
        ...

    def build(self, images: Images, kind: Kind, generators: Sequence[torch.Generator]) -> Model:
        """The networks, one for each generator, with variables of that kind in each layer."""
        ...


@dataclass(frozen=True)
class Kind:
    """The variables of a layer: D Bernoulli variables, or D categorical ones with K classes."""

    distribution: str
    dimensions: int
    categories: int = 2

    @property
    def event(self) -> tuple[int, ...]:
        """The shape of one sample, (D,) or (D, K)."""
        return (self.dimensions,) if self.distribution == "bernoulli" else (self.dimensions, self.categories)

    @property
    def numbers(self) -> int:
        """The numbers in one sample, D or D K."""
        return math.prod(self.event)

    @property
    def states(self) -> int:
        """The number of joint states of one layer, K^D."""
        return int((2 if self.distribution == "bernoulli" else self.categories) ** self.dimensions)

    def of(self, flat: Tensor) -> Variables:
        """The variables whose logits are [..., D] or, flat, [..., D K]."""
        logits = flat.view(*flat.shape[:-1], *self.event)
        return Bernoulli(logits) if self.distribution == "bernoulli" else Categorical(logits)

    def flatten(self, z: Tensor) -> Tensor:
        """Samples [..., D] or [..., D, K] as inputs of a layer: [..., D] or [..., D K]."""
        return z.flatten(-len(self.event)) if len(self.event) > 1 else z


def exactly(f: Function, variables: Variables) -> Tensor:
    """E f(z) = Σ_z P(z) f(z) over all joint states: [S, B], differentiable in the logits and in the parameters of f."""
    batch = variables.batch_shape
    states = variables.states().to(variables.logits)
    values = f.of_states(states) if isinstance(f, OfStates) else f(states.expand(*batch, *states.shape))
    expected: Tensor = torch.linalg.vecdot(variables.log_prob(states).exp(), values)
    return expected
