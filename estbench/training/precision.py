"""Estimators compute in the type of their numbers, also where the user's network runs under autocast."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

_AS_IT_IS = nullcontext()


def as_type(t: Tensor, dtype: torch.dtype) -> Tensor:
    """`t.to(dtype)`; asking first is quicker where nothing is to do, and a small step asks many times."""
    return t if t.dtype == dtype else t.to(dtype)


class Autocast(NamedTuple):
    """Whether autocast was on, on a device, when a step began, and with which type."""

    device: str
    dtype: torch.dtype | None

    @classmethod
    def now(cls, device: torch.device) -> Autocast:
        """As it is now."""
        on = torch.is_autocast_enabled(device.type)
        return cls(device.type, torch.get_autocast_dtype(device.type) if on else None)

    def off(self) -> AbstractContextManager[object]:
        """For what an estimator computes: sums of products would lose their digits."""
        return _AS_IT_IS if self.dtype is None else torch.autocast(self.device, enabled=False)

    def again(self) -> AbstractContextManager[object]:
        """For what the user computes."""
        return _AS_IT_IS if self.dtype is None else torch.autocast(self.device, dtype=self.dtype)
