"""One call for a whole batch against one call for each of its rows, on the same random numbers: an exact comparison.

What torch's random functions return in the call for the batch is recorded. In the calls for single rows they return the
part of it that belongs to the row. If a call for a batch is what it should be, then its rows equal the single results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_structure, tree_unflatten

from estbench.isolation import UserCodeError, states_beside_torch

NEVER_COMPILED = False
"""Torch need not guard the modes below against its compiler, whose import takes longer than all that is done here."""

RELATIVE = 1e-9
"""How far rows may be apart: rounding differs with the size of a batch."""


class Differs(Exception):  # noqa: N818 - it is an answer, not a failure
    """A row alone asks for other random numbers than in the batch."""


def rows_agree(many: Callable[[Tensor], Tensor], one: Callable[[Tensor], Tensor], x: Tensor) -> bool:
    """Whether `many`, of all rows of x at once, gives what `one` gives of each; False too where either fails.

    Every third row is compared, and the last: what a row gets of another one, it gets in all rows or in many.
    """
    before = states_beside_torch()
    recording = _Recording()
    try:
        with recording:
            together = many(x)
        if states_beside_torch() != before or together.shape != x.shape:
            return False  # numbers of numpy and of Python are not recorded
        for m in sorted({*range(0, len(x), 3), len(x) - 1}):
            with _Replay(recording.made, m, len(x)) as replay:
                alone = one(x[m])
            if replay.left or not _close(together[m], alone):
                return False
    except UserCodeError:  # it takes no batch: whatever it raises says so
        return False
    return True


def _close(a: Tensor, b: Tensor) -> bool:
    size = float(b.nan_to_num(0.0, 0.0, 0.0).abs().max())
    return torch.allclose(a, b, rtol=RELATIVE, atol=RELATIVE * size, equal_nan=True)


def _is_random(function: Any) -> bool:
    return torch.Tag.nondeterministic_seeded in function.tags


class _Recording(TorchDispatchMode):  # type: ignore[no-untyped-call] # of torch
    """Keeps what random functions return."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return NEVER_COMPILED

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # of torch
        self.made: list[list[Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call it, and keep a copy."""
        out = func(*args, **(kwargs or {}))
        if _is_random(func):
            self.made.append([each.detach().clone() for each in tree_leaves(out)])
        return out


class _Replay(TorchDispatchMode):  # type: ignore[no-untyped-call] # of torch
    """Lets random functions return the part of what was recorded that belongs to one row of M."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return NEVER_COMPILED

    def __init__(self, made: list[list[Tensor]], row: int, rows: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # of torch
        self.left = list(made)
        self._row, self._rows = row, rows

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call it; a random result is replaced."""
        out = func(*args, **(kwargs or {}))
        if not _is_random(func):
            return out
        if not self.left:
            raise Differs("more random numbers than in the batch")
        mine = [
            _part(recorded, each.shape, self._row, self._rows).to(each.dtype)
            for recorded, each in zip(self.left.pop(0), tree_leaves(out), strict=True)
        ]
        if func._schema.name.endswith("_"):
            out.copy_(mine[0])
            return out
        return tree_unflatten([each.clone() for each in mine], tree_structure(out))


def _part(recorded: Tensor, shape: torch.Size, row: int, rows: int) -> Tensor:
    """The numbers of one row: those at its place on the axis that is as long as the batch, or as many times as long."""
    for axis, length in enumerate(recorded.shape):
        if length == rows and recorded.shape[:axis] + recorded.shape[axis + 1 :] == shape:
            return recorded.select(axis, row)
    if recorded.ndim == len(shape):
        for axis, length in enumerate(shape):
            if recorded.shape == (*shape[:axis], length * rows, *shape[axis + 1 :]):
                return recorded.narrow(axis, row * length, length)
    raise Differs(f"{list(shape)} random numbers, and {list(recorded.shape)} in a batch of {rows}")
