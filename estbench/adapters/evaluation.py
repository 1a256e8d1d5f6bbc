"""f as an adapted function is given it: of torch, numpy or JAX arrays, differentiable, and counted."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor

from estbench.adapters.watched import transformed, watched
from estbench.objectives.base import WithGrad
from estbench.problem import Problem


class Evaluation:
    """f of samples [..., D], or one-hot [..., D, K], as values [...]: counted in rows, as is its backward.

    Samples may be of any type of numbers. Numpy and JAX arrays give arrays of the same kind, without a gradient.
    Raises TypeError and ValueError where it is given something else.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self.__name__ = "f"

    def __call__(self, z: Any) -> Any:
        """The value of f at each sample."""
        if not isinstance(z, Tensor):
            value = self(tensor(z, "f takes samples"))
            return _like(z, value.detach())
        d = self._problem.distribution
        shape = z.shape[: z.ndim - d.event_dim]
        if z.ndim < d.event_dim or z.shape[len(shape) :] != d.event_shape:
            raise ValueError(f"f takes samples [n, {', '.join(map(str, d.event_shape))}], got {list(z.shape)}")
        z = z.to(d.logits.dtype)
        counts, numbers = self._problem.evaluations, self._problem.numbers

        def asked(z: Tensor) -> None:
            counts.f += z.numel() // numbers

        def pulled(grad: Tensor) -> None:
            counts.df += grad.numel() // numbers

        z = watched(z, asked, pulled)
        value = self._problem.objective.value(self._problem.inputs(z))
        if not isinstance(value, Tensor) or value.shape != shape:
            got = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"the objective returned {got} for {list(shape)} samples")
        if z.requires_grad and not value.requires_grad and isinstance(self._problem.objective, WithGrad):
            value = _WithGrad.apply(z, value, self._problem)  # type: ignore[no-untyped-call] # of torch
        wanted = z.requires_grad or transformed()
        return (value if wanted else value.detach()).to(z.dtype)  # weights of a network want gradients too


class _WithGrad(torch.autograd.Function):
    """f(z) of an objective that torch cannot differentiate, and that has ∇f written out."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, value: Tensor, problem: Problem) -> Tensor:
        """f(z)."""
        ctx.z, ctx.problem = z.detach(), problem
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grad: Any) -> Any:
        """∇f(z) for each sample; it has been counted."""
        problem: Problem = ctx.problem
        before = problem.evaluations.df
        g = problem.distribution.lift(grad[0]) * problem.df(ctx.z)
        problem.evaluations.df = before
        return g, None, None


def tensor(array: Any, what: str) -> Tensor:
    """A torch, numpy or JAX array, a list or a number as a tensor; TypeError beginning with `what` otherwise."""
    if isinstance(array, Tensor):
        return array
    try:
        return torch.from_numpy(np.array(array, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{what}, got a {type(array).__name__}: {error}") from None


def _like(z: Any, value: Tensor) -> Any:
    """The value as an array of the kind of z."""
    if type(z).__module__.partition(".")[0] in ("jax", "jaxlib") and "jax" in sys.modules:
        return sys.modules["jax"].numpy.asarray(value.numpy())
    return value.numpy() if value.ndim else value.item()
