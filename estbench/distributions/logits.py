"""Logits as users give them: tensors, arrays, or nested lists of numbers."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from estbench.errors import UsageError

SHAPES = {1: "[D], one logit for each variable", 2: "[D, K], one row of K ≥ 2 logits for each variable"}
"""By the number of axes of a sample."""


def as_logits(given: Tensor | ArrayLike, name: str, event_dim: int) -> Tensor:
    """The tensor of logits of a distribution called `name`, [*batch_shape, D] or [*batch_shape, D, K].

    A tensor of float32 or float64 is taken as it is, a float32 array becomes a float32 tensor; lists, float64 arrays
    and whole numbers become float64. UsageError for anything but real numbers of that shape.
    """
    logits = given if isinstance(given, Tensor) else _of_array(given, name)
    if not logits.dtype.is_floating_point:
        if logits.dtype == torch.bool or logits.is_complex():
            raise UsageError(f"{name}: logits are real numbers, got {logits.dtype}")
        logits = logits.double()
    shape = logits.shape
    if len(shape) < event_dim or 0 in shape or (event_dim == 2 and shape[-1] < 2):
        remedy = {(1, 0): "; for one variable write [logit]", (2, 1): "; for one variable write [[…]]"}
        raise UsageError(
            f"{name}: logits have the shape {SHAPES[event_dim]}, got {list(shape)}"
            + remedy.get((event_dim, len(shape)), "")
        )
    return logits


def _of_array(given: ArrayLike, name: str) -> Tensor:
    with suppress(TypeError, ValueError, RuntimeError):  # rows of unequal length; tensors that require gradients
        array = np.asarray(given)
        if array.dtype.kind in "biufc":
            kept = array.dtype.kind in "bc" or array.dtype == np.float32
            return torch.from_numpy(array.copy() if kept else array.astype(np.float64))
    raise UsageError(f"{name}: logits are a tensor, an array or a list of numbers, got {given!r:.80}")
