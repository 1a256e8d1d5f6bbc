"""The contract of a network with discrete variables, trained on batches of examples.

Letters: S seeds side by side, B examples, N samples, D variables, K classes, M = K^D joint states. All tensors have the
seeds first. A network may have several layers of discrete variables, each drawn given the ones before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from estbench.distributions import DISTRIBUTIONS, Independent
from estbench.networks.coarse_moments import CoarseMoments
from estbench.networks.data import Images
from estbench.problem import Problem

Variables = Independent

_VALUES = 2**19
"""Values of f, over all seeds and examples, that are found at once."""

_DECODED = 2**24
"""The same of a function that sees each state once."""


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


@runtime_checkable
class OneLayer(Protocol):
    """S networks with one layer of discrete variables: a `torch.nn.Module` with the loss E f(z) + rest(logits).

    All parameters have the seeds as first axis. Examples must not influence each other in f: no batch normalisation.
    In `rest` they may.
    """

    def logits(self, x: Tensor) -> Tensor:
        """The logits of examples x [S, B, pixels]: [S, B, D(, K)]."""
        ...

    def f(self, x: Tensor, y: Tensor | None) -> Function:
        """The function of these examples with labels y [S, B]."""
        ...

    def rest(self, logits: Tensor) -> Tensor:
        """What the loss has besides E f, in closed form in the logits: [S, B]."""
        ...


@runtime_checkable
class Layered(Protocol):
    """S networks with several layers of discrete variables: a `torch.nn.Module`, its parameters as in `OneLayer`.

    layers  their number
    """

    layers: int

    def loss(self, x: Tensor, y: Tensor | None, expect: Expect) -> Tensor:
        """The loss of examples x [S, B, pixels] with labels y [S, B]: [S, B], with `expect` for each layer."""
        ...


@runtime_checkable
class WithLikelihood(Protocol):
    """A model of the data: beside its loss it has a likelihood, with all discrete variables summed out."""

    def minus_log_likelihood(self, x: Tensor, y: Tensor | None) -> Tensor:
        """−log p of each example, by enumeration of joint states: [S, B]."""
        ...


@runtime_checkable
class WithBound(Protocol):
    """A model of the data whose −log p has a bound by K samples of the discrete variables.

    It is the importance-weighted bound of Burda, Grosse & Salakhutdinov (2016, 1509.00519), equation 8, with the sign
    of a loss: −log 1/K Σ_k p(x, z_k)/q(z_k | x), z_k ~ q(z | x).
    """

    def importance_weighted(self, x: Tensor, y: Tensor | None, expect: Expect) -> Tensor:
        """The bound of each example, [S, B]: `expect(f, q)` with f(z) = −log p(x, z)/q(z | x).

        `expect(f, variables)` is −log 1/K Σ_k exp(−f(z_k)), z_k ~ variables. With several layers f calls it again, and
        each of the K samples draws the next layer once. By `minus_log_mean` it is −log p.
        """
        ...


@runtime_checkable
class WithGates(Protocol):
    """A network whose variables are gates, of which a share is to be open.

    target  that share, between 0 and 1
    """

    target: float

    def open_share(self, x: Tensor) -> Tensor:
        """The mean of p over the gates, for each example: [S, B]."""
        ...


GAUSSIAN, POPULATION = "gaussian", "population"
"""Sources of examples that are drawn: in batches, or as their mean gradients, those of a batch without end."""


@runtime_checkable
class Drawn(Protocol):
    """S networks whose examples are drawn, without end: a `torch.nn.Module` that knows its mean loss in closed form.

    Its logits are linear in one of its parameters. Estimators make the gradient of that one, and see the logits and f
    of each example alone; that of all others is exact, example by example. No estimator claims to be unbiased for it.

    part  the name of the parameter
    """

    part: str

    def mean_loss(self) -> Tensor:
        """The loss, the mean over all examples there can be: [S]."""
        ...

    def gradients(self) -> dict[str, Tensor]:
        """Those of the mean loss with respect to each parameter, by its name: [S, …]."""
        ...

    def examples(self, number: int, generator: torch.Generator) -> Problem:
        """`number` new examples, the same for all networks: logits [S number, …], with the Jacobian of `part`."""
        ...

    def others(self, problem: Problem) -> dict[str, Tensor]:
        """The gradient of the loss of each of these examples by the other parameters: [S number, …]."""
        ...


@runtime_checkable
class WithMoments(Protocol):
    """`Drawn` networks that know the gradient by an estimator beside its samples."""

    def mean_gradient(self, estimator: Any) -> Tensor | str:
        """The mean gradient of `part` by an estimator, [S, …]; or of which it is known."""
        ...

    def moments(self, estimator: Any) -> CoarseMoments | str:
        """Its mean and total variance, of one example and the first network; or of which they are known."""
        ...


def draws_examples(network: object) -> bool:
    """Whether a network, or a class of networks, says `draws_examples = True`: its models are `Drawn`."""
    return bool(getattr(network, "draws_examples", False))


def unserved(network: object, distribution: str) -> str | None:
    """Why a network, or a class of networks, cannot have variables of a distribution, by its name; None if it can.

    All serve all distributions, but for those that name some in `distributions`.
    """
    served = getattr(network, "distributions", None)
    if served is None or distribution in served:
        return None
    return f"it has {' or '.join(sorted(served))} variables alone; give distribution: {' or '.join(sorted(served))}"


class Network(Protocol):
    """A kind of network: a frozen dataclass whose fields are its options.

    One that does not serve all distributions names those it does: `distributions: ClassVar[frozenset[str]]`.
    One whose examples are drawn has `draws_examples: ClassVar[bool] = True`, and a field `steps`: those of an epoch.
    Its `images` gives no images, and refuses sources that it does not have; its `build` gives a `Drawn`.
    """

    def images(self, source: str) -> Images:
        """The data as the network takes them."""
        ...

    def build(self, images: Images, kind: Kind, generators: Sequence[torch.Generator]) -> OneLayer | Layered | Drawn:
        """The networks, one for each generator, with variables of that kind in each layer."""
        ...


@dataclass(frozen=True)
class Kind:
    """The variables of a layer: D variables of a distribution, by its name, with K classes each."""

    distribution: str
    dimensions: int
    categories: int = 2

    @property
    def event_dim(self) -> int:
        """The number of axes of one sample: 1, or 2 where it is one-hot."""
        return DISTRIBUTIONS[self.distribution].event_dim

    @property
    def event(self) -> tuple[int, ...]:
        """The shape of one sample, (D,) or (D, K)."""
        return (self.dimensions, self.categories)[: self.event_dim]

    @property
    def numbers(self) -> int:
        """The numbers in one sample, D or D K."""
        return math.prod(self.event)

    @property
    def states(self) -> int:
        """The number of joint states of one layer, K^D."""
        return int(self.categories**self.dimensions)

    def of(self, flat: Tensor) -> Variables:
        """The variables whose logits are [..., D] or, flat, [..., D K]."""
        return DISTRIBUTIONS[self.distribution](flat.view(*flat.shape[:-1], *self.event))

    def flatten(self, z: Tensor) -> Tensor:
        """Samples [..., D] or [..., D, K] as inputs of a layer: [..., D] or [..., D K]."""
        return z.flatten(-self.event_dim)


def loss(model: Any, kind: Kind, x: Tensor, y: Tensor | None, expect: Expect) -> Tensor:
    """The loss of examples x [S, B, pixels] with labels y [S, B]: [S, B]; of one layer E f(z) + rest(logits)."""
    if not isinstance(model, OneLayer):
        found: Tensor = model.loss(x, y, expect)
        return found
    logits = model.logits(x)
    return expect(model.f(x, y), kind.of(logits.flatten(2))) + model.rest(logits)


def joint_states(model: Any, kind: Kind) -> int:
    """The number of joint states of all layers."""
    return int(kind.states ** (model.layers if isinstance(model, Layered) else 1))


def exactly(f: Function, variables: Variables) -> Tensor:
    """E f(z) = Σ_z P(z) f(z) over all joint states: [S, B], differentiable in the logits and in the parameters of f.

    Where many values are wanted, states are taken some at a time, and again for the gradient: memory is bounded.
    """
    parts = states_in_parts(f, variables)
    if len(parts) == 1 or not torch.is_grad_enabled():
        return torch.stack([sum_over(f, variables, some) for some in parts]).sum(0)
    return torch.stack([checkpoint(sum_over, f, variables, some, use_reentrant=False) for some in parts]).sum(0)


def sum_over(f: Function, variables: Variables, states: Tensor) -> Tensor:
    """Σ P(z) f(z) over some joint states [M, D(, K)]: [S, B]."""
    found: Tensor = torch.linalg.vecdot(variables.log_prob(states).exp(), values(f, variables, states))
    return found


def minus_log_mean(f: Function, variables: Variables) -> Tensor:
    """−log E exp(−f(z)), [S, B]: where f is −log p(x | z), it is −log p(x). An `Expect`; layers may be nested."""
    parts = states_in_parts(f, variables)
    return -torch.stack([(variables.log_prob(z) - values(f, variables, z)).logsumexp(-1) for z in parts]).logsumexp(0)


def states_in_parts(f: Function, variables: Variables) -> Sequence[Tensor]:
    """All joint states [M, D(, K)], cut so that few enough values of f are found at once."""
    states = variables.states().to(variables.logits)
    most = _DECODED if isinstance(f, OfStates) else _VALUES
    found: Sequence[Tensor] = torch.split(states, max(1, most // math.prod(variables.batch_shape)))
    return found


def values(f: Function, variables: Variables, states: Tensor) -> Tensor:
    """f of each example at each of M states [M, D(, K)]: [S, B, M]."""
    return f.of_states(states) if isinstance(f, OfStates) else f(states.expand(*variables.batch_shape, *states.shape))
