"""Estimators compute in the type of their numbers, also where the user's network runs under autocast."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, ParamSpec, TypeVar

import torch
from torch import Tensor

Args = ParamSpec("Args")
Made = TypeVar("Made")


def as_type(t: Tensor, dtype: torch.dtype) -> Tensor:
    """`t.to(dtype)`; asking first is quicker where nothing is to do, and a small step asks many times."""
    return t if t.dtype == dtype else t.to(dtype)


class Autocast(NamedTuple):
    """The device and the type of autocast, where it was on when a step began."""

    device: str
    dtype: torch.dtype

    @classmethod
    def now(cls, device: torch.device) -> Autocast | None:
        """As it is now; None where it is off."""
        kind = device.type
        return cls(kind, torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else None


def outside(autocast: Autocast | None, make: Callable[Args, Made], *args: Args.args, **kwargs: Args.kwargs) -> Made:
    """What an estimator makes: with autocast, sums of products would lose their digits."""
    if autocast is None:
        return make(*args, **kwargs)
    with torch.autocast(autocast.device, enabled=False):
        return make(*args, **kwargs)


def inside(autocast: Autocast, make: Callable[Args, Made], *args: Args.args, **kwargs: Args.kwargs) -> Made:
    """What the user's code makes."""
    with torch.autocast(autocast.device, dtype=autocast.dtype):
        return make(*args, **kwargs)
