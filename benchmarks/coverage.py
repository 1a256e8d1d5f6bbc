"""How often the 95 % intervals hold the truth, and how often verdicts on bias are wrong, on fresh draws of the engine.

`python benchmarks/coverage.py [--repeats 1000] [--seed S] [--out benchmarks/coverage.md]` repeats small benchmarks of
E Σ_d (z_d − 0.45)², z_d Bernoulli, N = 1, of other problems for bias, and of a network, and writes a page of tables.
"""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from benchmarks.coverage_bias import measure_bias, measure_rare
from benchmarks.coverage_cells import PROBLEMS, REPLICATES, layout, measure
from benchmarks.coverage_networks import measure_networks
from benchmarks.coverage_page import bias_section, network_section, page, rare_section
from benchmarks.coverage_verdicts import calls, false_biased


def report(repeats: int, runs: int, seed: int) -> str:
    """The whole page."""
    start = time.perf_counter()
    rows = [row for name in PROBLEMS for R in REPLICATES for row in measure(name, R, repeats, seed)]
    wrong = false_biased(runs, seed, REPLICATES[-1])
    called = [(bias, *calls(bias, repeats, seed, times)) for bias in (0.0, 0.01, 0.02) for times in (1, 3)]
    shards = ", ".join("{} of {} for R = {}".format(*layout(R), R) for R in REPLICATES)
    biased, rare = measure_bias(repeats, seed), measure_rare(repeats, seed)
    in_networks = measure_networks(repeats, seed)
    minutes = (time.perf_counter() - start) / 60
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    facts = f"{date}, seed {seed}, {repeats} repeats of every cell, {minutes:.0f} minutes on one core."
    text = page(facts, shards, rows, wrong, runs, called, repeats)
    return text + bias_section(biased, repeats) + rare_section(rare, repeats) + network_section(in_networks, repeats)


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description="Measure the coverage of intervals, and the error rates of verdicts.")
    parser.add_argument("--repeats", type=int, default=1000, help="repeats of every cell [1000]")
    parser.add_argument("--runs", type=int, default=200, help="runs of many cells, each with a seed of its own [200]")
    parser.add_argument("--seed", type=int, default=None, help="seed [a fresh one]")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("coverage.md"), help="page to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seed = int(np.random.SeedSequence().generate_state(1)[0]) if options.seed is None else options.seed
    options.out.write_text(report(options.repeats, options.runs, seed))
    print(f"coverage: seed {seed}, written to {options.out}")


if __name__ == "__main__":
    main()
