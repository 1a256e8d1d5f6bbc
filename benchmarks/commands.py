"""What whole commands cost a user: their processor time over that of importing torch, by turns, on one core."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.growth import cost, estbench
from benchmarks.stopwatch import Bar, Section, markdown, spread

CONFIGS = Path(__file__).parents[1] / "configs"
TORCH = [sys.executable, "-c", "import torch"]

BARS: Mapping[str, float] = {
    "run bernoulli.yaml": 3.0,
    "run everything.yaml": 8.0,
    "compare, three estimators": 1.6,
    "list": 0.5,
    "show relax": 0.5,
    "status of bernoulli.yaml": 0.5,
}


def section(turns: int = 7, bars: Mapping[str, float] = BARS) -> Section:
    """Each command of `bars` with its ratio; what is compiled or found once is so before the first turn."""
    with tempfile.TemporaryDirectory() as folder, one_core():
        begun = Path(folder) / "begun"
        cost(of("run bernoulli.yaml", begun, begun)), cost(TORCH)
        ratios: dict[str, list[float]] = {name: [] for name in bars}
        for turn in range(turns):
            before = cost(TORCH).processor
            for name, found in ratios.items():
                took = cost(of(name, begun, Path(folder) / f"{turn} {name}")).processor
                after = cost(TORCH).processor
                found.append(2 * took / (before + after))
                before = after
    each = {name: spread(found) for name, found in ratios.items()}
    rows = [[f"`estbench {name}`", str(each[name]), f"{limit:g}"] for name, limit in bars.items()]
    return markdown(["", "over import torch", "bar"], rows), [Bar(name, each[name].median, bars[name]) for name in bars]


def of(name: str, begun: Path, folder: Path) -> Sequence[str]:
    """The command of that name, for a run folder that there is, or one that is to be made."""
    what, *rest = name.split()
    if what == "run":
        return estbench("run", str(CONFIGS / rest[0]), "-q", "-j", "1", "-o", str(folder))
    if what == "compare,":
        return estbench("compare", "--estimators", "ste,gumbel,reinforce")
    return estbench("status", str(begun)) if what == "status" else estbench(what, *rest)


@contextmanager
def one_core() -> Iterator[None]:
    """One core for this process and those that it starts, where the system can say so."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(all_of_them)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_of_them)
