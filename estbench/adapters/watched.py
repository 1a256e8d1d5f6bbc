"""The identity, which tells what passes through it: all rows, also inside `torch.vmap` and `torch.func.grad`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Told = Callable[[Tensor], None]


def transformed() -> bool:
    """Whether `torch.vmap`, `torch.func.grad` or the like is at work: what requires a gradient is not seen then."""
    return torch._C._are_functorch_transforms_active()


def watched(z: Tensor, forward: Told, backward: Told | None = None) -> Tensor:
    """z. `forward` is told z; `backward` the gradient that comes back, each time that one does."""
    if transformed():
        found: Tensor = _Watched.apply(z, forward, backward)  # type: ignore[no-untyped-call] # of torch
        return found
    forward(z.detach())
    if backward is not None and z.requires_grad and torch.is_grad_enabled():
        z = z.view_as(z)
        z.register_hook(_telling(backward))  # type: ignore[no-untyped-call] # of torch
    return z


def _telling(told: Told) -> Told:
    def hook(grad: Tensor) -> None:
        told(grad.detach())

    return hook


class _Watched(torch.autograd.Function):
    """The same where transforms are at work, which take no hooks; for plain calls it would be much slower."""

    @staticmethod
    def forward(z: Tensor, forward: Told, backward: Told | None) -> Tensor:
        """z."""
        del backward
        forward(z.detach())
        return z.view_as(z)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep who is told of the gradient."""
        del output
        ctx.told = inputs[2]

    @staticmethod
    def backward(ctx: Any, *grad: Any) -> Any:
        """The gradient, watched."""
        return (grad[0] if ctx.told is None else watched(grad[0], ctx.told)), None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, z: Tensor, forward: Told, backward: Told | None) -> Any:
        """All rows at once, with the axis of `vmap` in front."""
        del info
        return watched(z.movedim(in_dims[0], 0), forward, backward), 0
