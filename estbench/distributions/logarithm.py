"""The natural logarithm of many numbers, by numpy or torch, whichever is faster."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def log_(t: Tensor) -> Tensor:
    """log t in place, −∞ at 0: in float64 on the CPU by numpy, which can take a third of torch's time."""
    if t.dtype != torch.float64 or t.device.type != "cpu" or t.requires_grad:
        return t.log_()
    numbers = t.numpy()
    with np.errstate(divide="ignore"):
        np.log(numbers, out=numbers)
    return t
