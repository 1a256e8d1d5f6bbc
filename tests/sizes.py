"""How much of the tests is run: what is fast alone, all, or with ESTBENCH_SLOW=small a part of what is slow."""

import os
from collections.abc import Iterable
from typing import Any

import pytest

SMALL = os.environ.get("ESTBENCH_SLOW") == "small"


MOST = 1
"""Slow cases of one test that are run at the small size."""

at_whole_size = pytest.mark.skipif(SMALL, reason="at the whole size only")
"""For slow tests that take long, where others see most of what they would."""


def parted(items: Iterable[pytest.Item]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """At the small size, what is run and what is left out: at most MOST slow cases of each test, evenly spread."""
    slow_cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("slow"):
            slow_cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    left = set[pytest.Item]()
    for cases in slow_cases.values():
        kept = {len(cases) * i // MOST for i in range(MOST)} if len(cases) > MOST else range(len(cases))
        left |= {case for i, case in enumerate(cases) if i not in kept}
    return [item for item in items if item not in left], [item for item in items if item in left]


def thinned(step: int, cases: Iterable[Any]) -> list[Any]:
    """Cases for `parametrize`: every step-th, from the first on, is fast, all others are slow.

    A tuple holds the values of several arguments.
    """
    return [case if i % step == 0 else slow(case) for i, case in enumerate(cases)]


def slow(case: Any) -> Any:
    """A slow case for `parametrize`."""
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
