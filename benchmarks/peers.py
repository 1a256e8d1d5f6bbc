"""How many times as fast as the scripts of users: gradients one by one, with their mean and their variance taken."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import NamedTuple

import torch

from benchmarks.cells import Bench
from benchmarks.scripts import PACKAGES, RIVALS, Rival
from benchmarks.stopwatch import Bar, Section, Stopwatch, markdown, once, spread
from estbench import catalogue

BATCHES = (2**6, 2**8, 2**10, 2**12, 2**14, 2**16)
GOAL = 10.0
ROUNDS = 4  # blocks of ours for each batch of theirs
HEADER = ["script", "ours", "problem", "float32, ns (batch)", "float64, ns (batch)"]
HEADER += ["alone, ns", "shared, ns", "numbers, ns"]
SHARED = ("z", "fz", "dfz", "score", "straight_through")
RATIOS = ["float32/alone", "float64/alone", "float32/shared", "float64/shared", "float32/numbers"]


class Times(NamedTuple):
    """Seconds for one gradient: theirs at the best batch size, ours alone, and ours on a draw that a sweep has used.

    `numbers` are the seconds that its random numbers alone take: no way of computing the rest could be quicker.
    """

    batch: int
    theirs: float
    alone: float
    shared: float
    numbers: float


def times(rival: Rival, bench: Bench, dtype: torch.dtype, batches: Sequence[int]) -> Times:
    """By turns, theirs with the mean and the variance taken, ours with all moments."""
    logits = bench.problem.distribution.logits.to(dtype)
    estimator = catalogue.build(catalogue.ESTIMATORS[rival.name], {})

    def script(batch: int) -> None:
        g = rival.script(logits, batch)
        g.mean(0), g.var(0)

    def alone(times: int) -> None:
        for _ in range(times):
            bench.cell(estimator, bench.draw())

    sizes = batches[:1] if rival.loop else batches
    _, batch = min((bench.watch.time(partial(script, size)) / size, size) for size in sizes)
    turns = []
    for _ in range(bench.watch.turns * 3):
        draw = bench.draw()
        theirs = once(lambda: script(batch))
        for derived in SHARED:
            getattr(draw, derived)
        alone(1)  # a batch of theirs leaves nothing of ours in the cache
        mine = once(lambda: alone(ROUNDS)) / ROUNDS
        shared, numbers = once(partial(bench.cell, estimator, draw)), once(bench.numbers)
        turns.append([theirs, mine, shared, numbers])
    medians = [spread(column).median for column in zip(*turns, strict=True)]
    return Times(batch, medians[0] / batch, *(seconds / bench.rows for seconds in medians[1:]))


def section(seed: int, watch: Stopwatch, batches: Sequence[int] = BATCHES, rivals: Sequence[Rival] = RIVALS) -> Section:
    """A table of nanoseconds for one gradient, theirs and ours, and how many times as long theirs takes."""
    shapes: Sequence[tuple[int, ...]] = ((8,), (8, 4), (8, 16))
    benches = {shape: Bench(shape, seed, watch) for shape in shapes}
    bars: list[Bar] = []
    rows: list[list[str]] = []

    def measure(rival: Rival) -> None:
        at, found = "×".join(map(str, rival.shape)), []
        for dtype in (torch.float32, torch.float64):
            torch.set_default_dtype(dtype)
            found.append(times(rival, benches[rival.shape], dtype, batches))
        torch.set_default_dtype(torch.float32)
        ratios = [f"{t.theirs / t.alone:.1f}" for t in found] + [f"{t.theirs / t.shared:.1f}" for t in found]
        ratios.append(f"{found[0].theirs / found[0].numbers:.1f}")
        bars.append(Bar(f"{rival.label} over {rival.name}, {at}", found[0].theirs / found[0].alone, GOAL, least=True))
        if not bars[-1].met:
            ratios[0] = f"**{ratios[0]}**"
        theirs = [f"{t.theirs * 1e9:.0f} ({t.batch})" for t in found]
        ours = [f"{min(seconds) * 1e9:.0f}" for seconds in zip(*(t[2:] for t in found), strict=True)]
        rows.append([rival.label, rival.name, at, *theirs, *ours, *ratios])

    for rival in rivals:
        measure(rival)
    missing = []
    for name, of_package in PACKAGES.items():
        try:
            package = import_module(name)
        except ImportError:
            missing += ["", f"{name} was not installed, and is left out."]
            continue
        for rival in of_package(package):
            measure(rival)
    return markdown([*HEADER, *RATIOS], rows) + missing, bars
