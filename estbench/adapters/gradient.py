"""(logits, f) -> gradient: the function returns the estimate itself."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor

from estbench.adapters.evaluation import tensor

Array = Literal["torch", "leaf", "numpy", "jax"]
"""How the logits are given: as a tensor, as a tensor that requires a gradient, as a numpy or a JAX array."""

ARRAYS: tuple[Array, ...] = ("torch", "leaf", "numpy", "jax")


def gradient(estimate: Callable[[Any], Any], array: Array, logits: Tensor) -> Tensor:
    """What the function returns, like the logits [*batch, D(, K)].

    If it returns several arrays, the gradient is the first one. Raises TypeError and ValueError where it is no array
    like the logits.
    """
    found = estimate(as_array(array, logits))
    if isinstance(found, tuple) and len(found):
        found = found[0]
    grad = tensor(found, "a gradient is an array like the logits").detach().to(logits)
    if grad.shape != logits.shape:
        raise ValueError(
            f"the function returned shape {list(grad.shape)}; a gradient is like the logits, {list(logits.shape)}"
        )
    return grad


def as_array(array: Array, numbers: Tensor) -> Any:
    """Logits or rewards as a function takes them: a copy that it may write into."""
    own = numbers.detach().clone()
    if array == "leaf":
        return own.requires_grad_()
    if array == "numpy":
        return own.cpu().numpy()
    if array == "jax":
        return importlib.import_module("jax").numpy.asarray(own.cpu().numpy())
    return own
