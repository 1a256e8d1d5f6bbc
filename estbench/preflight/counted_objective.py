"""An objective that counts its own evaluations, whoever calls it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from torch import Tensor

from estbench.objectives.base import Objective, WithGrad
from estbench.problem import Evaluations


def counted_objective(objective: Objective, numbers: int) -> tuple[Objective, Evaluations]:
    """A copy of an objective, and how often its `value` and `grad` are called from outside of it, in rows.

    `numbers`: how many numbers one row has. What `grad` asks of `value` is not counted.
    """
    seen, inside = Evaluations(), [False]

    def counted(name: str, count: str) -> Callable[[Any, Tensor], Tensor]:
        original = getattr(type(objective), name)

        def call(self: Any, v: Tensor) -> Tensor:
            if inside[0]:
                return original(self, v)  # type: ignore[no-any-return] # a tensor, by contract
            setattr(seen, count, getattr(seen, count) + v.numel() // numbers)
            inside[0] = True
            try:
                return original(self, v)  # type: ignore[no-any-return] # likewise
            finally:
                inside[0] = False

        return call

    names = {"value": "f", "grad": "df"} if isinstance(objective, WithGrad) else {"value": "f"}
    kind = type(objective)
    body = {name: counted(name, count) for name, count in names.items()} | {"__slots__": ()}
    copied = copy.copy(objective)
    object.__setattr__(copied, "__class__", type(kind.__name__, (kind,), body))
    return copied, seen
