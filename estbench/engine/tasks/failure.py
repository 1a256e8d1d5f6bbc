"""What becomes of a cell whose estimator or objective raises."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Record = dict[str, Any]


FAULTS = (Exception, SystemExit)
"""What an estimator or an objective may raise."""


def reason(error: BaseException) -> str:
    """An error as the reason why a cell failed: on one line, and nothing in it that a terminal would obey."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return "".join(c for c in text if c.isprintable())[:500]


def failures(keys: Iterable[str], why: str) -> list[Record]:
    """A `failed` record for each of these cells."""
    return [{"kind": "failed", "key": key, "reason": why} for key in keys]
