"""The stop-gradient trick: the value of one tensor, the gradient to another."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from estbench.errors import UsageError


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The values of `hard`, exactly, as a new tensor of the type of `soft`; the gradient goes to `soft` unchanged.

    `soft + (hard - soft).detach()`, as it is often written, rounds: it is not `hard` in every entry. Both have the same
    shape; UsageError otherwise. It has derivatives of every order: they are those of the identity (Hinton 2012; Bengio,
    Léonard & Courville 2013).
    """
    for name, given in (("hard", hard), ("soft", soft)):
        if not isinstance(given, Tensor):
            raise UsageError(f"straight_through: {name} must be a tensor, got {type(given).__name__}")
    if hard.shape != soft.shape:
        raise UsageError(
            f"straight_through needs two tensors of one shape, got {list(hard.shape)} and {list(soft.shape)}"
        )
    if hard.device != soft.device:
        raise UsageError(f"straight_through needs two tensors on one device, got {hard.device} and {soft.device}")
    if not soft.is_floating_point():
        raise UsageError(f"straight_through: soft must be floating point to have a gradient, got {soft.dtype}")
    if hard.is_complex():
        raise UsageError(f"straight_through: hard must be of real numbers, got {hard.dtype}")
    passed: Tensor = _Passing.apply(hard, soft)  # type: ignore[no-untyped-call] # of torch
    return passed


class _Passing(torch.autograd.Function):
    """`hard` forward, the identity of `soft` backward."""

    generate_vmap_rule = True

    @staticmethod
    def forward(hard: Tensor, soft: Tensor) -> Tensor:
        """A copy of `hard`: who writes into the result leaves `hard` as it is."""
        return hard.detach().to(soft.dtype, copy=True)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing is needed."""

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        """g, to `soft`."""
        del ctx
        return None, g
