"""How many times as fast as the scripts of users: gradients one by one, with their mean and their variance taken."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import torch
from torch import Tensor

from benchmarks.cells import Bench
from benchmarks.scripts import PACKAGES, RIVALS, Rival
from benchmarks.stopwatch import Bar, Section, Stopwatch, markdown, once, spread
from estbench import catalog

BATCHES = (2**6, 2**8, 2**10, 2**12, 2**14, 2**16)
GOAL = 10.0
HEADER = ["script", "ours", "problem", "float32, ns (batch)", "float64, ns (batch)", "alone, ns", "shared, ns"]
SHARED = ("z", "fz", "dfz", "score", "straight_through")
RATIOS = ["float32/alone", "float64/alone", "float32/shared", "float64/shared"]


def fastest(rival: Rival, logits: Tensor, watch: Stopwatch, batches: Sequence[int]) -> tuple[float, int]:
    """Seconds for one gradient, with the mean and the variance taken, at the best batch size; and that size."""

    def seconds(batch: int) -> float:
        def act() -> None:
            g = rival.script(logits, batch)
            g.mean(0), g.var(0)

        return watch.time(act) / batch

    return min((seconds(batch), batch) for batch in (batches[:1] if rival.loop else batches))


def ours(bench: Bench, name: str) -> tuple[float, float]:
    """Seconds for one estimate of ours, moments included: alone, and on a draw whose z, f, ∇f and scores are there."""
    estimator, found = catalog.build(catalog.ESTIMATORS[name], {}), []
    alone = bench.watch.time(lambda: bench.cell(estimator, bench.draw()))
    for _ in range(bench.watch.turns * 5):
        draw = bench.draw()
        for derived in SHARED:
            getattr(draw, derived)
        found.append(once(lambda: bench.cell(estimator, draw)))  # noqa: B023 - called here and now
    return alone / bench.rows, spread(found).median / bench.rows


def section(seed: int, watch: Stopwatch, batches: Sequence[int] = BATCHES, rivals: Sequence[Rival] = RIVALS) -> Section:
    """A table of nanoseconds for one gradient, theirs and ours, and how many times as long theirs takes."""
    benches = {shape: Bench(shape, seed, watch) for shape in ((8,), (8, 4), (8, 16))}
    wanted = {(rival.name, rival.shape) for rival in rivals} | {("reinmax", (8, 4)), ("reinmax", (8, 16))}
    own = {(name, shape): ours(benches[shape], name) for name, shape in sorted(wanted)}  # before packages change torch
    bars: list[Bar] = []
    rows: list[list[str]] = []

    def measure(rival: Rival) -> None:
        at, logits, theirs = "×".join(map(str, rival.shape)), benches[rival.shape].problem.distribution.logits, []
        for dtype in (torch.float32, torch.float64):
            torch.set_default_dtype(dtype)
            theirs.append(fastest(rival, logits.to(dtype), watch, batches))
        torch.set_default_dtype(torch.float32)
        mine = own[rival.name, rival.shape]
        ratios = [f"{seconds / of_ours:.1f}" for of_ours in mine for seconds, _ in theirs]
        bars.append(Bar(f"{rival.label} over {rival.name}, {at}", theirs[0][0] / mine[0], GOAL, least=True))
        if not bars[-1].met:
            ratios[0] = f"**{ratios[0]}**"
        times = [f"{seconds * 1e9:.0f} ({batch})" for seconds, batch in theirs]
        rows.append([rival.label, rival.name, at, *times, *(f"{seconds * 1e9:.0f}" for seconds in mine), *ratios])

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
