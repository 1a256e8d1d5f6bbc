"""(logits, f) -> loss: the estimator is the gradient of the loss in the logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def gradient(loss: Callable[[Tensor], Any], event_dim: int, logits: Tensor) -> Tensor:
    """d loss/d logits, like the logits [*batch, D(, K)]; of a batch the losses are added up.

    If the function returns several tensors, the loss is the first one. Raises TypeError and ValueError where it is no
    tensor with one number, or has no backward.
    """
    leaf = logits.detach().clone().requires_grad_()
    found = loss(leaf)
    value = found[0] if isinstance(found, tuple | list) and len(found) else found
    if not isinstance(value, Tensor):
        raise TypeError(f"a loss is a tensor with one number, and this function returned a {type(value).__name__}")
    rows = len(logits) if logits.ndim > event_dim else 1
    if value.numel() not in (1, rows):
        raise ValueError(f"a loss is a tensor with one number, and this function returned shape {list(value.shape)}")
    if not value.requires_grad:
        raise TypeError("the loss has no gradient in the logits: its backward is the estimator")
    (grad,) = torch.autograd.grad(value.sum(), leaf, allow_unused=True)
    return torch.zeros_like(logits) if grad is None else grad.detach()
