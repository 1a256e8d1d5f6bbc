"""(logits) -> sample: the estimator is the backward of the function, applied to ∇f at its sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from estbench.problem import Problem


def gradient(sample: Callable[[Tensor], Any], problem: Problem, logits: Tensor) -> Tensor:
    """(dz/dlogits)ᵀ ∇f(z), where dz/dlogits is the function's own backward: like the logits [*batch, D(, K)].

    If the function returns several tensors, the sample is the first one. Raises TypeError and ValueError where it is
    no tensor like the logits, or has no backward.
    """
    leaf = logits.detach().clone().requires_grad_()
    found = sample(leaf)
    z = found[0] if isinstance(found, tuple | list) and len(found) else found
    if not isinstance(z, Tensor):
        raise TypeError(f"a sampler returns a tensor like the logits, and this returned a {type(z).__name__}")
    if z.shape != logits.shape:
        raise ValueError(f"a sampler returns a sample like the logits, {list(logits.shape)}, not {list(z.shape)}")
    if not z.requires_grad:
        raise TypeError(
            "the sample that the function returns has no gradient in the logits: the backward of a sampler is the "
            "estimator (a function that returns a gradient is form=gradient)"
        )
    g = problem.df(z.detach().to(logits.dtype)).to(z.dtype)
    (grad,) = torch.autograd.grad(z, leaf, g, allow_unused=True)
    return torch.zeros_like(logits) if grad is None else grad.detach()
