"""How far from 0 a sum whose terms cancel may be left by rounding, and how far apart are values of another batch."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves


def rounding(summands: int, dtype: torch.dtype) -> float:
    """(2 + √n) eps of this type: a sum of n terms that is at most this times the sum of their |t| is taken for 0.

    Errors of the partial sums grow as √n; two eps are those of the terms themselves.
    """
    return (2 + math.sqrt(summands)) * torch.finfo(dtype).eps


class Coarsest(TorchFunctionMode):
    """`eps` is the unit of rounding of the coarsest type that functions of torch returned under it, 0 before any did.

    A function of samples may compute in another type than that of its samples and of its values.
    """

    eps = 0.0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call it, and look at what it returns; views are not computed."""
        made = func(*args, **(kwargs or {}))
        for t in tree_leaves(made):
            if isinstance(t, Tensor) and t.is_floating_point() and t._base is None:
                self.eps = max(self.eps, torch.finfo(t.dtype).eps)
        return made


def between_batches(eps: float) -> float:
    """The part of the largest value that rounding may change in a batch of another size: products differ with it.

    100 units of rounding, or half of all digits where these are fewer, as in half and bfloat16.
    """
    return min(100 * eps, math.sqrt(eps))
