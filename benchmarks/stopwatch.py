"""Time in ratios: a subject and a yardstick by turns, so that what slows the machine slows both."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

Act = Callable[[], object]


class Spread(NamedTuple):
    """The median of many turns, and their quartiles."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}–{self.high:.2f})"

    def __truediv__(self, by: float) -> Spread:
        return Spread(*(value / by for value in self))


def spread(turns: Sequence[float]) -> Spread:
    """Of the values of many turns."""
    low, median, high = np.quantile(turns, [0.25, 0.5, 0.75]).tolist()
    return Spread(median, low, high)


def once(act: Act) -> float:
    """Seconds of processor time of this thread: waiting for a core that others use does not count."""
    start = time.thread_time()
    act()
    return time.thread_time() - start


@dataclass(frozen=True)
class Stopwatch:
    """At least so many turns and so many seconds for each measurement, after one that does not count."""

    turns: int = 15
    seconds: float = 0.4

    def ratio(self, subject: Act, yardstick: Act) -> Spread:
        """How many times as long as the yardstick the subject takes."""
        subject(), yardstick()
        return spread(self._turns(lambda: once(subject) / once(yardstick)))

    def time(self, act: Act) -> float:
        """The median seconds of processor time of one call."""
        act()
        return spread(self._turns(lambda: once(act))).median

    def _turns(self, turn: Callable[[], float]) -> list[float]:
        found: list[float] = []
        end = time.perf_counter() + self.seconds
        while len(found) < self.turns or time.perf_counter() < end:
            found.append(turn())
        return found


@dataclass(frozen=True)
class Bar:
    """What is asked of a number: at most the limit, or with `least` at least that."""

    what: str
    value: float
    limit: float
    least: bool = False

    @property
    def met(self) -> bool:
        """Whether it is so."""
        return self.value >= self.limit if self.least else self.value <= self.limit

    def __str__(self) -> str:
        side = "at least" if self.least else "at most"
        return f"{self.what}: {self.value:.3g}, {side} {self.limit:.3g}: {'met' if self.met else '**missed**'}"


Section = tuple[list[str], list[Bar]]
"""Lines of Markdown, and the bars that they speak of."""


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]
