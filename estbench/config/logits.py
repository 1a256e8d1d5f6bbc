"""Logits as a config gives them: one number for all variables, a vector, rows, or normal draws."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, cast

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from estbench.config.complaint import Path
from estbench.config.explain import faults, shown

LIMIT = 100.0
"""σ(100) is 1 − 4e-44: beyond this a variable is a constant, in float64 and in any run that can be waited for."""

STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, config=STRICT)
class Normal:
    """Independent normal logits of mean 0."""

    scale: Annotated[float, Field(gt=0, le=20)] = 1.0
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0


@dataclass(frozen=True, config=STRICT)
class Drawn:
    """Logits that are drawn once, the same for the same seed; with `tie`, one variable's for all of them."""

    normal: Normal


Row = tuple[float, ...]
Logits = float | Row | tuple[Row, ...] | Drawn


def read_logits(value: Any, rows: bool | None, D: int | None, K: int | None, tie: bool | None) -> Logits:
    """The logits, D numbers or D `rows` of K, from plain data; what is None is wrong itself and not held against them.

    Raises pydantic's ValidationError: one fault for each number that is not finite or beyond ±LIMIT, or one for a shape
    that does not fit.
    """
    if isinstance(value, dict):
        return TypeAdapter(Drawn).validate_json(json.dumps(value))
    wrong = _shape(value, bool(rows), D, K) or _numbers(value, depth=1 if rows is False else 2)
    if not wrong and tie and isinstance(value, list) and any(row != value[0] for row in value):
        wrong = [((), "tie: true needs the same logits for all variables; give one number, or equal ones, or drop tie")]
    if wrong:
        raise faults(*wrong)
    logits: Logits = _floats(value)
    return logits


def fill(logits: Logits, shape: tuple[int, ...], tie: bool) -> Row | tuple[Row, ...]:
    """All the logits, nested tuples of the given shape: D numbers, or D rows of K."""
    if isinstance(logits, tuple):
        return logits
    if isinstance(logits, float):
        return cast(Row, _floats(np.full(shape, logits).tolist()))
    rng = np.random.Generator(np.random.PCG64(logits.normal.seed))
    drawn = rng.standard_normal((1, *shape[1:]) if tie else shape) * logits.normal.scale
    return cast(Row, _floats(np.broadcast_to(drawn, shape).tolist()))


def _shape(value: Any, rows: bool, D: int | None, K: int | None) -> list[tuple[Path, str]]:
    if _is_number(value):
        return []
    if not isinstance(value, list):
        return [((), f"expected a number, a list or {{normal: {{scale: …, seed: …}}}}, got {shown(value)}")]
    if not value:
        return [((), "expected at least one logit, got an empty list")]
    if rows and not all(isinstance(row, list) for row in value):
        one = f"; for one variable of {len(value)} categories write [[…]]" if all(map(_is_number, value)) else ""
        return [((), f"expected rows, one for each variable, of logits, one for each category{one}")]
    wrong: list[tuple[Path, str]] = []
    if D is not None and len(value) != D:
        wrong.append(((), f"expected a list of {D} (dimensions: {D}), got one of {len(value)}"))
    if rows and K is not None:
        short = ((d, len(row)) for d, row in enumerate(value) if len(row) != K)
        wrong += [((d,), f"expected a list of {K} (one logit a category), got one of {n}") for d, n in short]
    return wrong


def _numbers(value: Any, depth: int) -> list[tuple[Path, str]]:
    if isinstance(value, list) and depth:
        return [((i, *path), message) for i, item in enumerate(value) for path, message in _numbers(item, depth - 1)]
    if not _is_number(value):
        return [((), f"expected a number, got {shown(value)}")]
    if not (math.isfinite(value) and abs(value) <= LIMIT):
        return [((), f"expected a logit between -{LIMIT:g} and {LIMIT:g}, got {shown(value)}")]
    return []


def _floats(value: Any) -> Any:
    return tuple(map(_floats, value)) if isinstance(value, list) else float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
