"""Sums whose terms cancel within themselves: how large their summands are tells what is rounding."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from estbench.draws import Draw

Minus = Literal[-1, 1]
"""−1 in a formula; 1 where the same formula, of absolute values, is to give the sum of the sizes of its summands."""


def unless_rounding(draw: Draw, total: Tensor, size: Callable[[], Tensor], summands: int) -> Tensor:
    """`draw.cancelled`, but the size is found only where a number is small enough beside the largest to be rounding."""
    if not draw.problem.zero_rounding or not total.numel():
        return total
    small = total.abs() <= math.sqrt(torch.finfo(total.dtype).eps) * total.abs().max()
    if total.device.type == "cpu" and not bool(small.any()):  # to ask a device would take longer
        return total
    return draw.cancelled(total, size(), summands)
