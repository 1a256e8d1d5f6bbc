"""How time and memory grow: with replicates, with sample counts, with workers; and how soon a command begins."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
import yaml

from benchmarks.stopwatch import Bar, Section, Stopwatch
from estbench.config import load
from estbench.engine.stages import groups_of
from estbench.engine.tasks import ShardTask
from estbench.expand import expand
from estbench.plan import BLOCK, DEVICE_BLOCK

ROWS = ("reinforce", "ste", "reinmax", "gumbel", "arm")
"""Means of independent rows."""

EVERY = ["reinforce", "ste", "reinmax", "gumbel", "gumbel_st", "disarm", "rebar", "leg"]
"""One of every kind, and the commonest."""

ONE = {"objective": "quadratic", "distribution": "bernoulli", "logits": [0.5]}
EIGHT = {"objective": "quadratic", "distribution": "bernoulli", "logits": [0.5, -1.0, 2.0, 0.0, 1.0, -2.0, 0.3, -0.3]}


def config(seed: int, **settings: Any) -> dict[str, Any]:
    """A config of one problem."""
    one = {"problems": [ONE], "samples": [1], "replicates": 10**5, "methods": ["monte_carlo"]}
    return {"name": "growth", "seed": seed} | one | settings


def seconds(watch: Stopwatch, settings: Mapping[str, Any], most: int | None = None) -> float:
    """Processor seconds of the jobs of a config (of the first so many), as workers do them."""
    of = jobs(settings)[:most]
    return watch.time(lambda: [job.perform() for job in of])


def jobs(settings: Mapping[str, Any], device: str = "cpu") -> list[ShardTask]:
    """The jobs of a config of one problem; the first has been done once."""
    plan = expand(load(dict(settings)), block=BLOCK if device == "cpu" else DEVICE_BLOCK)
    spec, layout = plan.problems[0], plan.layouts[0]
    groups, samples = groups_of(plan.cells), max(plan.config.samples)
    found = [
        ShardTask(spec, groups, plan.config.seed, samples, layout, first, shards, device)
        for first, shards in layout.jobs()
    ]
    assert all(record["kind"] == "job" for record in found[0].perform())
    return found


def replicates(seed: int, watch: Stopwatch, counts: Sequence[int] = (10**5, 10**6, 10**7)) -> Section:
    """Nanoseconds for one replicate, at more and more of them."""
    names = ["reinforce", "gumbel"]
    each = [seconds(watch, config(seed, replicates=R, estimators=names)) / R * 1e9 for R in counts]
    line = "; ".join(f"R = {R:.0e}: {t:.0f} ns" for R, t in zip(counts, each, strict=True))
    total = [R * t for R, t in zip(counts, each, strict=True)]
    further = [(b - a) / (S - R) for (R, a), (S, b) in pairwise(zip(counts, total, strict=True))]
    bar = Bar("each further replicate: the dearest over the cheapest", max(further) / min(further), 1.3)
    return [f"{' and '.join(names)}, one variable, a replicate: {line}"], [bar]


def samples(seed: int, watch: Stopwatch, largest: int = 1024, replicates: int = 10**4) -> Section:
    """The cost of N = 1, 2, 4, …, largest over that of the largest alone, for each estimator of `ROWS`."""
    bars, every = [], [2**i for i in range(largest.bit_length())]
    for at, problem in (("D=1", ONE), ("D=8", EIGHT)):
        for estimator in ROWS:
            of = config(seed, replicates=replicates, estimators=[estimator], problems=[problem])
            alone, all_of_them = (seconds(watch, of | {"samples": N}, most=8) for N in ([largest], every))
            bars.append(Bar(f"{estimator}, {at}, N = 1, 2, 4, …, {largest} over {largest}", all_of_them / alone, 1.3))
    return [f"{bar.what}: {bar.value:.2f}" for bar in bars], bars


MEMORY = """
import re, sys
import estbench.cli.app, estbench.engine.benchmark, estbench.summary
from estbench.engine.benchmark import Benchmark
from pathlib import Path
def peak(): return int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
before = peak()
for _ in Benchmark.of(Path(sys.argv[1]), Path(sys.argv[2])).run(): pass
print(peak() - before)
"""
"""Megabytes; ru_maxrss would begin with the memory of the process that started this one."""


def memory(seed: int, draws: Sequence[int] = (10**5, 10**8)) -> Section:
    """Peak memory of a run above that of its imports, at few draws and at many."""
    peaks = []
    for R in draws:
        with tempfile.TemporaryDirectory() as folder:
            path = written(Path(folder), config(seed, replicates=R, estimators=["reinforce", "gumbel", "disarm"]))
            command = [sys.executable, "-c", MEMORY, str(path), f"{folder}/run"]
            out = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own command
            peaks.append(float(out.stdout.split()[-1]))
    line = "; ".join(f"{R:.0e} draws: {peak:.0f} MB" for R, peak in zip(draws, peaks, strict=True))
    bars = [Bar("peak memory, MB", max(peaks), 300), Bar("its growth, MB", max(peaks) - peaks[0], 30)]
    return [f"peak memory above the imports: {line}"], bars


def written(folder: Path, settings: Mapping[str, Any]) -> Path:
    """A config, as a file."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(dict(settings)))
    return path


def estbench(*arguments: str) -> list[str]:
    """The command line."""
    return [sys.executable, "-m", "estbench", *arguments]


class Cost(NamedTuple):
    """Seconds on the clock, and of processor time, processes that it waited for included."""

    wall: float
    processor: float


def cost(command: Sequence[str]) -> Cost:
    """What a command costs."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:  # noqa: S603 - our own command
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    return Cost(time.perf_counter() - start, usage.ru_utime + usage.ru_stime)


def begin(turns: int = 7) -> Section:
    """`estbench --help` over the import of what it is shown with."""
    bare, shown = [sys.executable, "-c", "import typer, rich"], estbench("--help")
    cost(bare), cost(shown)  # what is compiled once is compiled now
    times = [(cost(shown).processor, cost(bare).processor) for _ in range(turns)]
    ratio = median(a / b for a, b in times)
    seconds = [median(t) for t in zip(*times, strict=True)]
    line = "`estbench --help`: {:.2f} s, `import typer, rich`: {:.2f} s of processor time".format(*seconds)
    return [line], [Bar("estbench --help over import typer, rich", ratio, 4)]


def workers(seed: int, replicates: int = 10**8, turns: int = 3) -> Section:
    """A run by one worker and by two, in turns."""
    ratios: list[float] = []
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), config(seed, replicates=replicates, estimators=EVERY, problems=[EIGHT]))
        for turn in range(turns):
            one, two = (
                cost(estbench("run", str(path), "-q", "-j", str(j), "-o", f"{folder}/{j}-{turn}")).wall for j in (1, 2)
            )
            ratios.append(one / two)
            lines.append(f"- `-j 1`: {one:.1f} s, `-j 2`: {two:.1f} s: {ratios[-1]:.2f} times as fast")
    return lines, [Bar("-j 2 as fast as -j 1, times (median)", median(ratios), 1.8, least=True)]


def accelerator(seed: int, device: str = "cuda", replicates: int = 10**8) -> Section:
    """Nanoseconds on the clock for a replicate of eight estimators, on one core and on an accelerator."""
    if device == "cuda" and not torch.cuda.is_available():
        return ["No GPU was at hand: nothing was measured on one."], []
    lines = []
    for where, R in (("cpu", replicates // 100), (device, replicates)):
        todo = jobs(config(seed, replicates=R, estimators=EVERY, problems=[EIGHT]), where)
        start = time.perf_counter()
        for job in todo:
            job.perform()  # its end is waited for
        lines.append(f"- {where}: {(time.perf_counter() - start) / R * 1e9:.2f} ns a replicate, {R:.0e} of them")
    return lines, []


def figures(seed: int, problems: int = 40, goal: int = 2000) -> Section:
    """All figures of a large result."""
    with tempfile.TemporaryDirectory() as folder:
        logits = [round(-3 + 6 * i / problems, 2) for i in range(problems)]
        problem = {"objective": "quadratic", "distribution": "bernoulli", "dimensions": 1, "sweep": {"logits": logits}}
        settings = config(seed, replicates=1000, problems=[problem], samples=[1, 2, 4, 8])
        settings |= {"temperatures": [0.1, 0.25, 0.5, 1.0, 2.0]}
        settings |= {"estimators": ["reinforce", "ste", "gumbel", "gumbel_st", "darn", "disarm"]}
        path, run = written(Path(folder), settings), f"{folder}/run"
        subprocess.run(estbench("run", str(path), "-q", "-o", run), check=True, capture_output=True)  # noqa: S603 - ours
        rows = len((Path(run) / "results.csv").read_text().splitlines()) - 1
        assert rows >= goal, rows
        took = cost(estbench("plot", run))
    return [f"{rows} rows plotted in {took.wall:.1f} s, {took.processor:.1f} s of processor time"], [
        Bar(f"plotting {rows} rows, s", took.wall, 10)
    ]
