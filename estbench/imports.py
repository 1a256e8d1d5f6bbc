"""Imports of much at once, at less cost."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """Modules imported in here, and all else there is by its end, are not searched for cyclic garbage.

    torch, pandas and what they need make hundreds of thousands of objects that live as long as the process. Python's
    collector looks through them while they are made, now and then later, and once more as the process ends: together a
    quarter of the time of the imports. For commands, not for a library: whatever exists is taken for permanent.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
