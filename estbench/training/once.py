"""A gradient estimate has no derivative of its own: who asks for it gets an error, not a wrong number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.autograd import forward_ad

from estbench.errors import UsageError


def differentiable_once(make: Callable[[Tensor], Tensor], g: Tensor, *of: Tensor) -> Tensor:
    """The gradient that `make` makes of what comes from above, g, and of tensors `of`, without a graph.

    Where a graph of it is being built (`create_graph=True`), it refuses its own backward, on the way to any of these:
    without a way there, `torch.autograd.grad` would leave it out as if the gradient were constant.
    """
    if not torch.is_grad_enabled():
        return make(g)
    with torch.no_grad():
        gradient = make(g)
    refusing: Tensor = _Refusing.apply(gradient, torch.ones((), requires_grad=True), g, *of)  # type: ignore[no-untyped-call]
    return refusing


def refuse_forward_mode(ctx: Any, *grad_inputs: Any) -> NoReturn:
    """UsageError: it is the `jvp` of what is differentiated once."""
    del ctx, grad_inputs
    raise UsageError("an estimate has no forward-mode derivative (jvp, jacfwd); use backward() or autograd.grad")


def demand_no_tangent(logits: Tensor) -> None:
    """UsageError in forward mode, where no gradient is recorded: the derivative would be 0."""
    if forward_ad.unpack_dual(logits).tangent is not None:  # type: ignore[no-untyped-call] # of torch
        refuse_forward_mode(None)


class _Refusing(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: Tensor, required: Tensor, *of: Tensor) -> Tensor:
        """The gradient itself; `required` makes it ask for a gradient."""
        del ctx, required, of
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Refused."""
        del ctx, gradients
        raise UsageError(
            "a gradient estimate cannot be differentiated again: its derivative does not estimate a second derivative "
            "of E f; detach the gradient, or leave create_graph=True away"
        )
