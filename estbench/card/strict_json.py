"""JSON as its standard has it (RFC 8259): without NaN and Infinity, which many readers refuse."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any


def strict(value: Any) -> str:
    """The value as indented JSON, numbers that are NaN or infinite as null."""
    return json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value
