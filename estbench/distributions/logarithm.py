"""The natural logarithm, and logistic noise, of many numbers, by numpy or torch, whichever is faster."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def log_(t: Tensor) -> Tensor:
    """log t in place, −∞ at 0: in float64 on the CPU by numpy, which can take a third of torch's time."""
    if not _faster_by_numpy(t):
        return t.log_()
    numbers = t.numpy()
    with np.errstate(divide="ignore"):
        np.log(numbers, out=numbers)
    return t


def logistic(u: Tensor) -> Tensor:
    """Standard logistic noise −logit(u) = log (1 − u)/u of uniforms u, a new tensor."""
    return log_((1 - u).div_(u)) if _faster_by_numpy(u) else u.logit().neg_()


def _faster_by_numpy(t: Tensor) -> bool:
    return t.dtype == torch.float64 and t.device.type == "cpu" and not t.requires_grad
