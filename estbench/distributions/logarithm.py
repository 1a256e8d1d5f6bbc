"""The natural logarithm of many numbers, by numpy or torch, whichever is faster."""

from __future__ import annotations

import numpy as np
from torch import Tensor


def log_(t: Tensor) -> Tensor:
    """log t in place, −∞ at 0: on the CPU by numpy, in a third of torch's time, unless a derivative is wanted."""
    if t.device.type != "cpu" or t.requires_grad:
        return t.log_()
    numbers = t.numpy()
    with np.errstate(divide="ignore"):
        np.log(numbers, out=numbers)
    return t
