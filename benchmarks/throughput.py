"""How fast: cells against a random number, against plain PyTorch, and how time and memory grow.

`python benchmarks/throughput.py [--seed S] [--out benchmarks/throughput.md] [--only cells]` writes a page of tables.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from benchmarks import cells, commands, growth, peers
from benchmarks.stopwatch import Section, Stopwatch
from estbench.engine.executors import configure_process
from estbench.plan import BLOCK

HEAD = """# Throughput

{cpu}, torch {torch}, numpy {numpy}, Python {python}, one thread but where it says otherwise, seed {seed}, {minutes:.0f}
minutes. `make bench` writes this page anew.

{met} of {all} bars are met. **Bold** is what misses its bar; all of these are listed at the end.
"""

TITLES = {
    "cells": f"""## A cell over its random numbers

Processor time of a cell, over that of `torch.rand` for the uniforms of its samples z, float64: the median (quartiles)
of at least {{turns}} turns, cell and yardstick by turns in one process. A cell is one estimate (N = 1, or the least the
estimator allows, defaults for all options) and its moments, draw included, in blocks of 2^{BLOCK.bit_length() - 1}
uniforms, on f = Σ_d (v_d − .45)² at standard normal logits; D Bernoulli variables, or D×K categorical ones. *reads*:
how many uniforms the cell reads for each uniform of z.

Bars: moments 1; reinforce, ste 2.5; reinmax, gumbel, gumbel_st, arm, disarm 4 (5 at D=1); rebar 12; all others 25
for each uniform they read; a cell of a sweep that shares its draw 4 (Bernoulli), 6 (categorical).
""",
    "peers": """## Against scripts

Nanoseconds of processor time for one gradient, one thread. Theirs: vectorised PyTorch, or a package as its
documentation calls it, at its best batch size (in brackets), means and variances taken; *one by one*: one gradient at a
time. Ours, in float64: with all its moments, alone with its draw, and on a draw whose z, f, ∇f and scores are there, as
in a sweep; *numbers*: of that, what it takes to make the uniforms of z, so that the last ratio is the most that float64
could come to. Ratios: theirs over ours, by turns; the bar is 10, on float32 over alone. The scripts:
`benchmarks/scripts.py`.
""",
    "commands": """## Whole commands

Processor time of a command (`-j 1`), over that of `python -c "import torch"` before and after it, all on one core: the
median (quartiles) of 7 turns.
""",
    "replicates": "## Growth\n",
    "samples": "### Sample counts\n\nThe cost of N = 1, 2, 4, …, 1024 over that of N = 1024 alone; the bar is 1.3.\n",
    "memory": "### Memory\n",
    "begin": "### Beginning\n",
    "figures": "### Figures\n",
    "workers": "### Workers\n\nThe whole command, on the clock, by turns.\n",
    "accelerator": "### Accelerator\n",
}


def processor() -> str:
    """The kind of processor, as the system names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def sections(seed: int, watch: Stopwatch) -> Mapping[str, Callable[[], Section]]:
    """What is measured, in order; scripts last, as importing some packages changes torch."""
    benches = {label: cells.Bench(shape, seed, watch) for label, shape in cells.SHAPES.items()}
    return {
        "cells": lambda: cells.section(benches),
        "commands": commands.section,
        "replicates": lambda: growth.replicates(seed, watch),
        "samples": lambda: growth.samples(seed, watch),
        "memory": lambda: growth.memory(seed),
        "begin": growth.begin,
        "figures": lambda: growth.figures(seed),
        "workers": lambda: growth.workers(seed),
        "accelerator": lambda: growth.accelerator(seed),
        "peers": lambda: peers.section(seed, watch),
    }


def page(measured: Mapping[str, Section], seed: int, watch: Stopwatch, minutes: float) -> str:
    """The page of what was measured."""
    bars = [bar for _, found in measured.values() for bar in found]
    missed = [bar for bar in bars if not bar.met]
    facts = {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}
    facts |= {"cpu": processor(), "seed": str(seed)}
    counts = {"met": len(bars) - len(missed), "all": len(bars), "minutes": minutes}
    parts = [HEAD.format(**facts, **counts)]
    for name, title in TITLES.items():
        if name in measured:
            lines, found = measured[name]
            verdicts = [] if name in ("cells", "peers") else ["", *(f"- {bar}" for bar in found)]
            parts.append("\n".join([title.replace("{turns}", str(watch.turns)), *lines, *verdicts, ""]))
    parts.append("\n".join(["## Bars missed", "", *([f"- {bar}" for bar in missed] or ["- none"]), ""]))
    return "\n".join(parts)


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description="Measure the speed of estimators, and write a page of tables.")
    parser.add_argument("--seed", type=int, default=0, help="seed of logits and draws [0]")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("throughput.md"), help="page to write")
    parser.add_argument("--only", nargs="*", choices=TITLES, help="only these parts [all]")
    options = parser.parse_args()
    configure_process()
    start, watch, measured = time.perf_counter(), Stopwatch(), {}
    for name, measure in sections(options.seed, watch).items():
        if not options.only or name in options.only:
            measured[name] = measure()
            print(f"{name}: {(time.perf_counter() - start) / 60:.1f} minutes", flush=True)
    options.out.write_text(page(measured, options.seed, watch, (time.perf_counter() - start) / 60))
    print(f"throughput: written to {options.out}")


if __name__ == "__main__":
    main()
