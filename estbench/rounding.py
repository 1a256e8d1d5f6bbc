"""How far from 0 a sum whose terms cancel may be left by rounding."""

from __future__ import annotations

import math

import torch


def rounding(summands: int, dtype: torch.dtype) -> float:
    """(2 + √n) eps of this type: a sum of n terms that is at most this times the sum of their |t| is taken for 0.

    Errors of the partial sums grow as √n; two eps are those of the terms themselves.
    """
    return (2 + math.sqrt(summands)) * torch.finfo(dtype).eps
