"""How much of the tests is run: what is fast alone, all, or with ESTBENCH_SLOW=small a part of what is slow."""

import os
from collections.abc import Iterable
from typing import Any

import pytest

SMALL = os.environ.get("ESTBENCH_SLOW") == "small"


def thinned(step: int, cases: Iterable[Any]) -> list[Any]:
    """Cases for `parametrize`: every step-th, from the first on, is fast, all others are slow.

    A tuple holds the values of several arguments.
    """
    return [case if i % step == 0 else slow(case) for i, case in enumerate(cases)]


def slow(case: Any) -> Any:
    """A slow case for `parametrize`."""
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
