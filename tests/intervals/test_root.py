"""The root of a function of one number."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from estbench.intervals.root import Point, root

FUNCTIONS: dict[str, tuple[Callable[[float], float], float]] = {
    "line": (lambda x: 3 - x, 3.0),
    "steep": (lambda x: -math.tanh(1e6 * (x - 0.3)), 0.3),
    "flat at the root": (lambda x: (0.7 - x) ** 3, 0.7),
    "kink": (lambda x: min(1.0, 10 * (math.sqrt(2) - x)), math.sqrt(2)),
    "jump": (lambda x: 1.0 if x < math.pi else -2.0, math.pi),
    "tail": (lambda x: math.exp(-x) - 1e-9, 9 * math.log(10)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_roots_are_found_within_the_tolerance(name: str) -> None:
    """Of functions smooth, steep, flat, bent and broken, whichever end comes first; in fewer steps than by halving."""
    f, expected = FUNCTIONS[name]
    calls = 0

    def counted(x: float) -> float:
        nonlocal calls
        calls += 1
        return f(x)

    ends: tuple[Point, Point] = (0.0, f(0.0)), (40.0, f(40.0))
    for low, high in (ends, ends[::-1]):
        assert abs(root(counted, low, high, 1e-12) - expected) < 2e-12
    assert calls < 2 * 60


def test_an_end_may_be_the_root() -> None:
    """Then it is the answer, and the function is not asked."""

    def never(x: float) -> float:
        raise AssertionError(x)

    assert root(never, (1.0, 0.0), (2.0, -1.0), 1e-9) == 1.0
    assert root(never, (1.0, 1.0), (2.0, 0.0), 1e-9) == 2.0
