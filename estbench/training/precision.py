"""Estimators compute in the type of their numbers, also where the user's network runs under autocast."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Autocast:
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
        return nullcontext() if self.dtype is None else torch.autocast(self.device, enabled=False)

    def again(self) -> AbstractContextManager[object]:
        """For what the user computes."""
        return nullcontext() if self.dtype is None else torch.autocast(self.device, dtype=self.dtype)
