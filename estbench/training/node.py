"""A stochastic node: forward the point at which an estimator wants ∇f, backward what it makes of ∇f."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from estbench.distributions import Distribution
from estbench.draws import Draw
from estbench.errors import UsageError
from estbench.estimate import has_rows
from estbench.estimators.base import Estimator
from estbench.problem import Problem
from estbench.streams import TorchStreams
from estbench.training.chosen import Chosen, checked, choose, demand_generator, flattened
from estbench.training.once import differentiable_once
from estbench.training.precision import Autocast, as_type, outside


def sample(
    distribution: Distribution,
    estimator: Estimator | str,
    *,
    samples: int | None = None,
    temperature: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """A sample like the logits, whose gradient is the estimator's: in the place of `F.gumbel_softmax`.

    Forward it is the point at which the estimator wants ∇f: the hard sample z, or the relaxed one. Backward the logits
    get ĝ with what backpropagation brought as ∇f, example by example. It serves the estimators whose facts say `node`:
    one ∇f at one point and linear in it; for all others UsageError refers to `expectation`.

    With `samples` N it is [*batch, N, D(, K)]. `temperature` replaces the estimator's, as annealing does. Random
    numbers come from `generator`, by default torch's global one, and all of them in the forward pass. The result is
    in the type of the logits; half and bfloat16 are computed in float32. It has no second derivative (UsageError).
    """
    chosen, distribution = choose(estimator, temperature), checked(distribution)
    demand_generator(generator)
    if not chosen.facts.node:
        raise UsageError(f"{chosen.text} wants more of f than one gradient at one point; use expectation(f, …)")
    chosen.serves(distribution, 1 if samples is None else samples)
    logits, event_dim = distribution.logits, distribution.event_dim
    shape = logits.shape if samples is None else (*logits.shape[:-event_dim], samples, *logits.shape[-event_dim:])
    return node(chosen, distribution, samples or 1, shape, generator, Autocast.now(logits.device))


def node(
    chosen: Chosen,
    distribution: Distribution,
    samples: int,
    shape: tuple[int, ...],
    generator: torch.Generator | None,
    autocast: Autocast | None,
) -> Tensor:
    """The same in this shape, of as many numbers."""
    logits = distribution.logits
    backward = _Backward(chosen, distribution, samples, shape, generator, autocast)
    if torch.is_grad_enabled() and logits.requires_grad:
        z: Tensor = _Node.apply(logits, backward)  # type: ignore[no-untyped-call] # of torch
        return z
    with torch.no_grad():
        return backward.point()


class _Asked(Exception):  # noqa: N818 - it is no error
    """∇f was asked for, at this point."""

    def __init__(self, point: Tensor) -> None:
        self.point = point


class _Cotangent:
    """What backpropagation brings, as an objective: ∇f comes only with the backward pass."""

    on: Literal["one-hot"] = "one-hot"
    distributions = frozenset({"bernoulli", "categorical"})

    def __init__(self, text: str) -> None:
        self.brought: Tensor | None = None
        self._text = text

    def value(self, v: Tensor) -> Tensor:
        """There is no f."""
        del v
        raise UsageError(f"the facts of {self._text} say node=True, but it asks for values of f")

    def grad(self, v: Tensor) -> Tensor:
        """∇f, or the news that it is wanted at v."""
        if self.brought is None:
            raise _Asked(v)
        return self.brought


class _Backward:
    """An estimator at the samples of one step.

    The draw refers to the cotangent, and neither to this: a cycle would keep the minibatch until the garbage is
    collected.
    """

    def __init__(
        self,
        chosen: Chosen,
        distribution: Distribution,
        samples: int,
        shape: tuple[int, ...],
        generator: torch.Generator | None,
        autocast: Autocast | None,
    ) -> None:
        flat, self._cotangent = flattened(distribution), _Cotangent(chosen.text)
        logits, problem = flat.logits, Problem(flat, self._cotangent)
        streams = TorchStreams(logits.device, generator)
        self._draw = Draw(problem, logits.shape[0], samples, streams=streams, watched=False)
        self._chosen, self._autocast, self._used = chosen, autocast, False
        self._given, self._dtype = shape, distribution.logits.dtype

    def point(self) -> Tensor:
        """Where ∇f is wanted: a contiguous copy in the user's shape and type, into which the user may write."""
        try:
            self._rows(self._draw)
        except _Asked as asked:
            point = asked.point
        else:
            raise UsageError(f"the facts of {self._chosen.text} say node=True, but it asks for no ∇f")
        self._shape = point.shape
        if self._chosen.more_noise:  # read it now, so that the backward pass draws no random numbers
            self.rows(torch.zeros_like(point))
        return as_type(torch.view_copy(point, self._given), self._dtype)

    def rows(self, g: Tensor) -> Tensor:
        """Its rows for this ∇f of any shape, [B, N, D(, K)]."""
        draw = self._draw.with_same_noise() if self._used else self._draw  # what is kept holds an earlier ∇f
        g = as_type(g, draw.distribution.logits.dtype).contiguous()
        g = g if g.shape == self._shape else g.view(self._shape)
        self._used, self._cotangent.brought = True, g
        try:
            return self._rows(draw)
        finally:
            self._cotangent.brought = None

    def _rows(self, draw: Draw) -> Tensor:
        estimator = self._chosen.estimator
        assert has_rows(estimator)  # as every node
        return outside(self._autocast, estimator.rows, draw)


class _Node(torch.autograd.Function):
    """Forward the point, backward the sum of the rows over the samples."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, backward: _Backward) -> Tensor:
        """The point."""
        ctx.estimator, ctx.logits = backward, logits  # not saved: who writes into logits after this may do so
        return backward.point()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        """ĝ times the cotangent, in which it is linear."""
        logits: Tensor = ctx.logits

        def total() -> Tensor:
            rows: Tensor = ctx.estimator.rows(g)
            return as_type((rows if rows.shape[1] == 1 else rows.sum(1)).view(logits.shape), logits.dtype)

        return differentiable_once(total, g, logits), None
