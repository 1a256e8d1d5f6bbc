"""A stochastic node: forward the point at which an estimator wants ∇f, backward what it makes of ∇f."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from estbench.distributions import Distribution
from estbench.draws import Draw
from estbench.errors import UsageError
from estbench.estimators.base import Estimator, Vjp
from estbench.problem import Problem
from estbench.streams import TorchStreams
from estbench.training.chosen import Chosen, choose, demand_generator, flattened
from estbench.training.once import demand_no_tangent, differentiable_once, refuse_forward_mode
from estbench.training.precision import Autocast, outside


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
    chosen = choose(estimator, temperature)
    if generator is not None:
        demand_generator(generator)
    if not chosen.facts.node:
        one = chosen.facts.f == 0 and chosen.facts.df == 1
        why = (
            "is not linear in ∇f (its facts do not say node)"
            if one
            else "wants more of f than one gradient at one point"
        )
        raise UsageError(f"{chosen.text} {why}; use expectation(f, …)")
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
    estimator: Any = chosen.estimator  # a `Node`
    wanted = torch.is_grad_enabled() and logits.requires_grad
    if wanted:  # what the backward pass reads and keeps: the user may write into his, even the sample (`h += z`)
        logits = logits.clone()

    def point() -> tuple[Tensor, Vjp]:
        """The point, a contiguous copy into which the user may write, and ĝ of what backpropagation brings."""
        flat = flattened(distribution, logits)
        R, streams = flat.logits.shape[0], TorchStreams(logits.device, generator)
        draw = Draw(Problem(flat, NO_FUNCTION), R, samples, streams=streams, watched=False)
        narrow = flat.logits.dtype != logits.dtype
        h, vjp = estimator.vjp(draw) if autocast is None else outside(autocast, estimator.vjp, draw)

        def total(g: Tensor) -> Tensor:
            g = (g.to(h.dtype) if narrow else g).reshape(h.shape)
            rows = vjp(g) if autocast is None else outside(autocast, vjp, g)
            found: Tensor = (rows if samples == 1 else rows.sum(1)).reshape(logits.shape)
            return found.to(logits.dtype) if narrow else found

        z = torch.view_copy(h, shape)
        return z.to(logits.dtype) if narrow else z, total

    if wanted:
        z: Tensor = _Node.apply(logits, point)  # type: ignore[no-untyped-call] # of torch
        return z
    demand_no_tangent(logits)
    with torch.no_grad():
        return point()[0]


class _NoFunction:
    """The objective of a node: ∇f comes with the backward pass."""

    on: Literal["one-hot"] = "one-hot"
    distributions = frozenset({"bernoulli", "categorical"})

    def value(self, v: Tensor) -> Tensor:
        """There is no f."""
        del v
        raise UsageError("the vjp of an estimator gets ∇f as its argument, but this one evaluates f or ∇f itself")

    grad = value


NO_FUNCTION = _NoFunction()


class _Node(torch.autograd.Function):
    """Forward the point, backward the sum of the rows over the samples."""

    jvp = staticmethod(refuse_forward_mode)

    @staticmethod
    def forward(ctx: Any, logits: Tensor, point: Callable[[], tuple[Tensor, Vjp]]) -> Tensor:
        """The point."""
        ctx.logits = logits
        z, ctx.total = point()
        return z

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        """ĝ times the cotangent, in which it is linear."""
        return differentiable_once(ctx.total, g, ctx.logits), None
