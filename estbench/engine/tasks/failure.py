"""Records of cells that failed: their estimator or objective raised an exception, or has no finite gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from estbench.isolation import reason
from estbench.moments import Floats

__all__ = ["Record", "demand_finite", "failures", "reason"]

Record = dict[str, Any]


def demand_finite(gradient: Floats, what: str) -> None:
    """FloatingPointError, with what may be wrong, where a gradient has NaN or infinity: nothing is measured by it."""
    if not np.isfinite(gradient).all():
        raise FloatingPointError(what)


def failures(keys: Iterable[str], why: str) -> list[Record]:
    """A `failed` record for each of these cells."""
    return [{"kind": "failed", "key": key, "reason": why} for key in keys]
