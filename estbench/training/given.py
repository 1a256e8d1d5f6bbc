"""The function of a training step as an objective: what the estimators of the catalogue evaluate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from estbench.distributions import Distribution
from estbench.errors import UsageError
from estbench.training.precision import Autocast, as_type, inside

Function = Callable[..., Tensor]
NOT_DIFFERENTIABLE = (
    "this estimator wants ∇f, and f is no differentiable function of its samples; take one that wants values of "
    "f alone, such as rloo or disarm"
)
OVERWRITES = "f overwrites what it returned before, in memory that it uses again; return a new tensor"
WRITES = "f writes into its samples, which the estimator needs; work on a copy: z.clone()"


class Given:
    """f: [*batch, N, D(, K)] to [*batch, N], which estimators see as [B, N, D(, K)] to [B, N].

    With `one` f knows no axis of samples, [*batch, D(, K)] to [*batch], and is called once for each of the N.

    Samples reach f in the type of the user's logits. What f returned with the last ∇f is remembered until other points
    come: estimators often want f there too. It lives as long as one call.

    Where `inner` is given, f takes its generator as a second argument.
    """

    on: Literal["one-hot"] = "one-hot"
    distributions = frozenset({"bernoulli", "categorical"})

    def __init__(
        self,
        function: Function,
        of: Distribution,
        inner: Callable[[], torch.Generator] | None,
        autocast: Autocast | None,
        *,
        one: bool = False,
    ) -> None:
        self._function, self._inner, self._autocast, self._one = function, inner, autocast, one
        self._of, self._batch, self._dtype = of, of.batch_shape, of.logits.dtype
        self._kept: tuple[Tensor, int, Tensor] | None = None
        self._graph: tuple[Tensor, Tensor, Tensor] | None = None
        self._returned: tuple[Tensor, int] | None = None

    def __call__(self, z: Tensor) -> Tensor:
        """f with its graph, [B, N], in float32 at least."""
        N = z.shape[1]
        if self._one:
            if N == 1:
                return self.of_one(z.squeeze(1)).unsqueeze(1)
            return torch.stack([self.of_one(point) for point in z.unbind(1)], 1)
        if len(self._batch) == 1:
            return self._called(z, (*self._batch, N))
        return self._called(z.view(*self._batch, N, *self._of.event_shape), (*self._batch, N)).reshape(len(z), N)

    def of_one(self, z: Tensor) -> Tensor:
        """The same of one sample of each example, [B], from f without an axis of samples."""
        if len(self._batch) == 1:
            return self._called(z, self._batch)
        return self._called(z.view(*self._batch, *self._of.event_shape), self._batch).reshape(len(z))

    def _called(self, given: Tensor, shape: tuple[int, ...]) -> Tensor:
        """f of these samples, which has to have this shape."""
        before = version(given)
        noise = () if self._inner is None else (self._inner(),)
        try:
            f = self._function
            value = f(given, *noise) if self._autocast is None else inside(self._autocast, f, given, *noise)
        except RuntimeError as error:
            if "a leaf Variable that requires grad" in str(error):
                raise UsageError(WRITES) from error
            raise
        if not isinstance(value, Tensor) or value.shape != shape:
            got = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise UsageError(
                f"f must return one number for each sample: {list(shape)} for samples {list(given.shape)}, got {got}"
                + self._remedy(value)
            )
        if not value.dtype.is_floating_point:
            raise UsageError(f"f must return floating-point numbers, got {value.dtype}")
        if version(given) != before:
            raise UsageError(WRITES)
        if self._returned is not None and version(self._returned[0]) != self._returned[1]:
            raise UsageError(OVERWRITES)
        self._returned = value, version(value)
        return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value

    def _remedy(self, value: object) -> str:
        """What to do where f is of samples with an axis, or without, and was called the other way."""
        shape = getattr(value, "shape", None)
        if not self._one and shape == self._batch:
            return "; with samples=None f takes one sample of each example, without an axis of samples"
        if self._one and shape is not None and shape[:-1] == self._batch:
            return "; with samples=None f has no axis of samples: give samples=1 if it has one"
        return ""

    def at_samples(self, z: Tensor, *, wants_gradient: bool) -> Tensor:
        """f at the samples themselves with its graph, [B, N]; ∇f there will come from the same graph."""
        if not wants_gradient:
            return self(as_type(z, self._dtype))
        with torch.enable_grad():
            leaf = z.to(self._dtype, copy=True).requires_grad_()
            value = self(leaf)
        self._graph = (z, leaf, value)
        return value

    def value(self, v: Tensor) -> Tensor:
        """f(v), [B, N], without a graph."""
        if self._kept is not None and self._kept[0] is v and self._kept[1] == version(v):
            return self._kept[2]
        if not torch.is_grad_enabled():  # as in a step of training
            return self(as_type(v, self._dtype))
        with torch.no_grad():
            return self(as_type(v, self._dtype))

    def grad(self, v: Tensor) -> Tensor:
        """∇f(v), like v."""
        if self._graph is not None and self._graph[0] is v:
            return as_type(_gradient(self._graph[2], self._graph[1], retain_graph=True), v.dtype)
        with torch.enable_grad():
            leaf = v.to(self._dtype, copy=True).requires_grad_()
            value = self(leaf)
        self._kept = (v, version(v), value.detach())
        return as_type(_gradient(value, leaf), v.dtype)


def version(t: Tensor) -> int:
    """Counts the writes into a tensor in place; −1 where torch does not count them."""
    try:
        return t._version
    except RuntimeError:  # of what was made in torch.inference_mode
        return -1


def _gradient(value: Tensor, leaf: Tensor, *, retain_graph: bool = False) -> Tensor:
    (g,) = (
        torch.autograd.grad(value, leaf, torch.ones_like(value), retain_graph=retain_graph, allow_unused=True)
        if value.requires_grad
        else (None,)
    )
    if g is None:
        raise UsageError(NOT_DIFFERENTIABLE)
    found: Tensor = g
    return found
