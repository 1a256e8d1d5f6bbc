"""Records of cells that failed: their estimator or objective raised an exception."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from estbench.isolation import reason

__all__ = ["Record", "failures", "reason"]

Record = dict[str, Any]


def failures(keys: Iterable[str], why: str) -> list[Record]:
    """A `failed` record for each of these cells."""
    return [{"kind": "failed", "key": key, "reason": why} for key in keys]
