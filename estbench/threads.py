"""The number of threads that linear algebra uses, which libraries read once, when they are first imported."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
"""The variables that torch, numpy and scipy read: OpenMP, OpenBLAS, MKL, and Accelerate of macOS."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Processes started in here use one thread each: they share the cores, and more threads wait for each other."""
    with environment(ONE_THREAD):
        yield


@contextmanager
def environment(own: dict[str, str]) -> Iterator[None]:
    """Processes started in here have these variables in their environment."""
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
