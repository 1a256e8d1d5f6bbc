"""A stochastic node: forward the point at which an estimator wants ∇f, backward what it makes of ∇f."""

from __future__ import annotations

from typing import Any, Literal, cast

import torch
from torch import Tensor

from estbench.distributions import Distribution
from estbench.draws import MAIN, Draw, TorchStreams
from estbench.errors import UsageError
from estbench.estimators.base import Estimator, RowEstimator
from estbench.problem import Problem
from estbench.training.chosen import Chosen, checked, choose, demand_generator, flattened
from estbench.training.once import differentiable_once
from estbench.training.precision import Autocast


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
    z = node(chosen, distribution, samples or 1, generator, Autocast.now(distribution.logits.device))
    batch, event = distribution.batch_shape, distribution.event_shape
    return z.view(*batch, *event) if samples is None else z.view(*batch, samples, *event)


def node(
    chosen: Chosen, distribution: Distribution, samples: int, generator: torch.Generator | None, autocast: Autocast
) -> Tensor:
    """The same as [B, N, D(, K)], whatever the batch axes."""
    logits = distribution.logits
    backward = _Backward(chosen, distribution, samples, generator, autocast)
    if torch.is_grad_enabled() and logits.requires_grad:
        z: Tensor = _Node.apply(logits, backward)  # type: ignore[no-untyped-call] # of torch
        return z
    with torch.no_grad():
        return backward.point().to(logits.dtype, copy=True)


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
        generator: torch.Generator | None,
        autocast: Autocast,
    ) -> None:
        flat, self._cotangent = flattened(distribution), _Cotangent(chosen.text)
        self._estimator = cast(RowEstimator, chosen.estimator)  # a node has rows
        self._more_noise = bool({*chosen.facts.noise} - {MAIN})
        problem = Problem(flat, self._cotangent)
        self._draw = Draw(problem, len(flat.logits), samples, streams=TorchStreams(flat.logits.device, generator))
        self._autocast, self._used, self._text = autocast, False, chosen.text

    def point(self) -> Tensor:
        """Where ∇f is wanted, [B, N, D(, K)]."""
        with self._autocast.off():
            try:
                self._estimator.rows(self._draw)
            except _Asked as asked:
                point = asked.point
            else:
                raise UsageError(f"the facts of {self._text} say node=True, but it asks for no ∇f")
            if self._more_noise:  # read it now, so that the backward pass draws no random numbers
                self.rows(torch.zeros_like(point))
        return point

    def rows(self, g: Tensor) -> Tensor:
        """Its rows for this ∇f, [B, N, D(, K)]."""
        draw = self._draw.with_same_noise() if self._used else self._draw  # what is kept holds an earlier ∇f
        self._used, self._cotangent.brought = True, g.to(draw.distribution.logits.dtype).contiguous()
        try:
            with self._autocast.off():
                return self._estimator.rows(draw)
        finally:
            self._cotangent.brought = None


class _Node(torch.autograd.Function):
    """Forward the point, backward the sum of the rows over the samples."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, backward: _Backward) -> Tensor:
        """A copy of the point: the user may write into it."""
        ctx.estimator, ctx.logits = backward, logits  # not saved: who writes into logits after this may do so
        return backward.point().to(logits.dtype, copy=True, memory_format=torch.contiguous_format)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        """ĝ times the cotangent, in which it is linear."""
        logits: Tensor = ctx.logits

        def total() -> Tensor:
            rows: Tensor = ctx.estimator.rows(g)
            return (rows.squeeze(1) if rows.shape[1] == 1 else rows.sum(1)).view(logits.shape).to(logits.dtype)

        return differentiable_once(total, g, logits), None
