"""Functions and classes that user code replaces, though all others use them: they are put back, and named."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from operator import is_
from pathlib import Path
from typing import Any

import numpy as np
import torch


def names(replaced: list[str]) -> Callable[[], None]:
    """The functions and classes that all others use; names of those that are replaced are added to a list."""
    before = [(place, [*vars(place)], [*vars(place).values()]) for place in _shared()]

    def restore() -> None:
        for place, names, values in before:
            now = vars(place)
            if [*now] == names and all(map(is_, now.values(), values)):
                continue
            known = dict(zip(names, values, strict=True))
            for name in [name for name in now if name not in known and _inherits(place, name)]:
                delattr(place, name)
                replaced.append(f"{place.__name__}.{name}")
            for name, value in known.items():
                if now.get(name) is not value:
                    setattr(place, name, value)
                    if not _by_torch(place, name, now.get(name)):
                        replaced.append(f"{place.__name__}.{name}")

    return restore


def _by_torch(place: Any, name: str, value: Any) -> bool:
    """Whether torch itself has bound that name: with the default dtype, or as it imports more of itself."""
    code = getattr(value, "__code__", None)
    return (place, name) == (torch, "Storage") or (code is not None and code.co_filename.startswith(_TORCH))


_TORCH = str(Path(torch.__file__).parent)


def _inherits(place: Any, name: str) -> bool:
    """Whether a class has an attribute of that name from another one."""
    return not name.startswith("__") and any(name in vars(base) for base in getattr(place, "__mro__", ())[1:])


def _shared() -> Iterator[Any]:
    """Modules and classes whose names nobody else may bind."""
    yield from (torch, torch.Tensor, torch.nn.functional, np, np.random)
    for name, kind in _KINDS:
        if (module := sys.modules.get(name)) is not None:
            yield module
            yield getattr(module, kind)


_KINDS = (
    ("estbench.draws", "Draw"),
    ("estbench.problem", "Problem"),
    ("estbench.moments", "Moments"),
    ("estbench.distributions.bernoulli", "Bernoulli"),
    ("estbench.distributions.categorical", "Categorical"),
)
