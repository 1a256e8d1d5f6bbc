"""E f(z) by samples, with the gradient of any estimator of the catalogue."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from estbench.distributions import Distribution
from estbench.draws import Draw
from estbench.errors import UsageError
from estbench.estimate import estimate
from estbench.estimators.base import Estimator
from estbench.problem import Problem
from estbench.streams import TorchStreams, common_noise
from estbench.training.chosen import Chosen, choose, demand_generator, flattened
from estbench.training.given import NOT_DIFFERENTIABLE, Function, Given
from estbench.training.node import node
from estbench.training.once import demand_no_tangent, differentiable_once, refuse_forward_mode
from estbench.training.online import Online
from estbench.training.precision import Autocast, as_type, outside

Value = Literal["own", "hard"]


def expectation(
    f: Function,
    distribution: Distribution,
    estimator: Estimator | Online | str,
    samples: int | None = 1,
    *,
    temperature: float | None = None,
    generator: torch.Generator | None = None,
    value: Value = "own",
    common_inner_noise: bool = False,
) -> Tensor:
    """The mean of f over N samples, [*batch], whose gradient with respect to the logits is the estimator's.

    f takes samples [*batch, N, D] (Bernoulli) or one-hot [*batch, N, D, K] (categorical) and returns [*batch, N]. Some
    estimators call it again, with other points and another N. It must treat examples and samples one by one (`check`).
    With `samples=None` f is as for one sample: it takes [*batch, D(, K)], returns [*batch], and is called once a point.

    The gradient with respect to the logits of an example is ĝ of that example, from N samples, times what comes from
    above. That with respect to parameters inside f is the pathwise one at the points where the value is taken.

    estimator    a name with options ("gumbel[temperature=0.5]"), an estimator, or an `Online`
    samples      N; None is one sample, without an axis of samples in f
    temperature  in the place of the estimator's own, as annealing does
    generator    of all random numbers; by default torch's global one
    value        where f is taken for the value and for parameters inside f: "own", the estimator's own point if it
                 wants one ∇f at one point (the relaxed sample of `gumbel`), else the samples z; "hard", always z, at
                 the price of one f more where the two differ
    common_inner_noise  f is called as f(z, g) with a generator g that gives the same numbers at each call; for nested
                 expectations in f. It leaves the estimates unbiased, and differences of f have less variance

    Half and bfloat16 logits are computed in float32, and the value is float32 at least. UsageError where the estimator
    does not serve the distribution or N, f returns another shape or writes into its samples, and for a second
    derivative.
    """
    return _expectation(
        f, distribution, estimator, samples, temperature, generator, value, common_inner_noise, measured=False
    )


def measured(
    f: Function, distribution: Distribution, estimator: Estimator, samples: int, generator: torch.Generator
) -> Tensor:
    """`expectation` where the gradient is measured, in float64: differences of f that are rounding are 0.

    In a step of training, in float32, leaving out what is as small would be a bias; where a gradient is measured,
    rounding would count as a direction.
    """
    return _expectation(f, distribution, estimator, samples, None, generator, "own", False, measured=True)


def _expectation(
    f: Function,
    distribution: Distribution,
    estimator: Estimator | Online | str,
    samples: int | None,
    temperature: float | None,
    generator: torch.Generator | None,
    value: Value,
    common_inner_noise: bool,
    *,
    measured: bool,
) -> Tensor:
    if not callable(f):
        raise UsageError(f"f must be a function of samples, got {type(f).__name__}")
    if generator is not None:
        demand_generator(generator)
    online = estimator if isinstance(estimator, Online) else None
    chosen = estimator.chosen(temperature) if isinstance(estimator, Online) else choose(estimator, temperature)
    N = 1 if samples is None else samples
    chosen.serves(distribution, N)
    if value not in ("own", "hard"):
        raise UsageError(f"value must be 'own' or 'hard', got {value!r}")
    device = distribution.logits.device
    inner = common_noise(device, generator) if common_inner_noise else None
    given = Given(f, distribution, inner, autocast := Autocast.now(device), one=samples is None)
    if chosen.facts.node and online is None and (value == "own" or not chosen.facts.evaluates_relaxed):
        return _of_node(given, distribution, chosen, samples, generator, autocast)
    return _estimated(given, distribution, chosen, online, N, generator, autocast, measured=measured)


def _of_node(
    given: Given,
    distribution: Distribution,
    chosen: Chosen,
    samples: int | None,
    generator: torch.Generator | None,
    autocast: Autocast | None,
) -> Tensor:
    """The mean of f at the point h of a stochastic node."""
    batch = distribution.batch_shape
    rows = (math.prod(batch),) if samples is None else (math.prod(batch), samples)
    h = node(chosen, distribution, samples or 1, (*rows, *distribution.event_shape), generator, autocast)
    fh = given.of_one(h) if samples is None else given(h)
    if h.requires_grad and not fh.requires_grad:
        raise UsageError(NOT_DIFFERENTIABLE)
    if samples is None:
        return fh if len(batch) == 1 else fh.view(batch)
    return torch.view_copy(fh, batch) if samples == 1 else fh.mean(1).view(batch)  # as in `_Attached.forward`


def _estimated(
    given: Given,
    distribution: Distribution,
    chosen: Chosen,
    online: Online | None,
    samples: int,
    generator: torch.Generator | None,
    autocast: Autocast | None,
    *,
    measured: bool,
) -> Tensor:
    """The mean of f at the samples z, with ĝ of the unchanged estimator attached."""
    logits, flat = distribution.logits, flattened(distribution, distribution.logits.detach())
    wanted = torch.is_grad_enabled() and logits.requires_grad
    if not wanted:
        demand_no_tangent(logits)
    streams = TorchStreams(logits.device, generator)
    problem = Problem(flat, given, zero_rounding=measured)
    if measured:
        vars(problem)["size"] = 0.0  # to find it takes 64 evaluations of f for each example
    draw = Draw(problem, flat.logits.shape[0], samples, streams=streams, watched=False)
    z = outside(autocast, getattr, draw, "z")
    fz = given.at_samples(z, wants_gradient=wanted and chosen.facts.df != 0)
    mean, batch = fz if samples == 1 else fz.mean(1), distribution.batch_shape
    if not wanted:
        return mean.view(batch)
    vars(draw)["fz"] = as_type(fz.detach(), flat.logits.dtype)

    def gradient() -> Tensor:
        """ĝ, like the logits."""
        if online is None:
            g = outside(autocast, estimate, chosen.estimator, draw)
        else:
            g = outside(autocast, online.estimate, draw, samples)
        return g if len(batch) == 1 else g.view(logits.shape)

    attached: Tensor = _Attached.apply(mean, logits, batch, gradient)  # type: ignore[no-untyped-call] # of torch
    return attached


class _Attached(torch.autograd.Function):
    """The value; its gradient with respect to the logits is g, which is made in the forward pass, without a graph."""

    jvp = staticmethod(refuse_forward_mode)

    @staticmethod
    def forward(
        ctx: Any, value: Tensor, logits: Tensor, shape: tuple[int, ...], gradient: Callable[[], Tensor]
    ) -> Tensor:
        """The value in this shape, as a tensor of its own: who writes into it (`loss += …`) may do so."""
        ctx.value, ctx.logits, ctx.g = value, logits, gradient()
        return torch.view_copy(value, shape)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        """The cotangent to f, and times g to the logits."""

        def passed(cotangent: Tensor) -> Tensor:
            logits: Tensor = ctx.logits
            each = cotangent.view(*cotangent.shape, *[1] * (logits.ndim - cotangent.ndim))
            return as_type(each * ctx.g, logits.dtype)

        above = cotangent.reshape(ctx.value.shape)
        return above, differentiable_once(passed, cotangent, ctx.value, ctx.logits), None, None
