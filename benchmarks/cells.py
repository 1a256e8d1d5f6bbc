"""The time of a cell (estimate and moments) over the time of torch.rand for the uniforms that it is made of."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch

from benchmarks.stopwatch import Bar, Section, Spread, Stopwatch, markdown
from estbench import catalogue
from estbench.draws import Draw
from estbench.estimate import estimates
from estbench.estimators.base import Estimator
from estbench.moments import moments
from estbench.objectives.quadratic import Quadratic
from estbench.plan import BLOCK
from estbench.problem import Problem, make
from estbench.streams import Streams

SHAPES = {"D=1": (1,), "D=8": (8,), "D=64": (64,), "8×4": (8, 4), "8×16": (8, 16)}
"""Logits of three Bernoulli problems and of two categorical ones, D × K."""

BARS = {
    **dict.fromkeys(("reinforce", "ste"), 2.5),
    **dict.fromkeys(("reinmax", "gumbel", "gumbel_st", "arm", "disarm"), 4.0),
    "rebar": 12.0,
}
AT_ONE = 5.0  # what is allowed 4 is allowed 5 for one variable
LIMIT = 25.0  # of every other estimator, over all the uniforms that it reads
MOMENTS = 1.0
SWEEP_BARS = {"bernoulli": 4.0, "categorical": 6.0}

TEMPERATURES = (0.1, 0.25, 0.5, 1.0, 2.0)
SWEEP: Sequence[tuple[str, Mapping[str, Any]]] = (
    ("reinforce", {}),
    ("reinforce", {"baseline": "constant", "value": 0.5}),
    ("ste", {}),
    ("ste", {"proxy": "identity"}),
    ("reinmax", {}),
    ("reinmax", {"temperature": 2.0}),
    ("darn", {}),
    ("darn", {"centre": "mean"}),
    ("zgr", {}),
    ("gapped_st", {}),
    *((name, {"temperature": tau}) for tau in TEMPERATURES for name in ("gumbel", "gumbel_st")),
)
"""Twenty cells that share one draw."""


def serves(estimator: Estimator, of: Problem) -> bool:
    """Whether the estimator can be run on the problem."""
    facts = estimator.facts
    return (
        of.distribution.name in facts.distributions
        and of.n_states <= (facts.max_states or math.inf)
        and (facts.max_variables or math.inf) >= of.D
    )


class Counted(Streams):
    """Streams that count the uniforms read."""

    read = 0

    def uniform(
        self, name: str, rows: int, *shape: int, dtype: torch.dtype = torch.float64, reader: str = ""
    ) -> torch.Tensor:
        """Count, and pass on."""
        made = super().uniform(name, rows, *shape, dtype=dtype, reader=reader)
        self.read += made.numel()
        return made


class Bench:
    """Quadratic objective at standard normal logits, in blocks of as many uniforms as a run's are."""

    def __init__(self, shape: tuple[int, ...], seed: int, watch: Stopwatch, block: int = BLOCK) -> None:
        logits = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()
        problem = make(Quadratic(), logits, "bernoulli" if len(shape) == 1 else "categorical")
        self.problem, self.seed, self.watch, self.block = problem, seed, watch, block
        self.rows = block // logits.numel()
        self.streams = Streams(seed, "throughput", range(1))

    def rand(self) -> object:
        """The yardstick: the uniforms of a block, by torch."""
        return torch.rand(self.block, dtype=torch.float64)

    def numbers(self) -> object:
        """The uniforms of a block, as draws get them."""
        return self.streams.uniform("numbers", self.block)

    def draw(self, N: int = 1, streams: Streams | None = None) -> Draw:
        """A fresh draw."""
        return Draw(self.problem, self.rows // N, N, streams=streams or self.streams)

    def cell(self, estimator: Estimator, draw: Draw) -> None:
        """One cell on a draw."""
        (x,) = estimates(estimator, draw, [draw.N])
        moments(x.unsqueeze(0), self.problem.exact_gradient)

    def moments(self) -> Spread:
        """Moments alone, of estimates that are there."""
        x = torch.randn(1, self.rows, self.block // self.rows, dtype=torch.float64)
        return self.watch.ratio(lambda: moments(x, self.problem.exact_gradient), self.rand)

    def alone(self, estimator: Estimator) -> Spread:
        """A cell by itself, its draw included, at the least N there is."""
        N = estimator.facts.min_samples
        return self.watch.ratio(lambda: self.cell(estimator, self.draw(N)), self.rand)

    def reads(self, estimator: Estimator) -> float:
        """The uniforms that a cell reads, over those of its samples z."""
        counted = Counted(self.seed, "count", range(1))
        self.cell(estimator, self.draw(estimator.facts.min_samples, counted))
        return counted.read / self.block

    def sweep(self) -> Spread:
        """A cell of the sweep, when all share one draw."""
        built = [catalogue.build(catalogue.ESTIMATORS[name], options) for name, options in SWEEP]

        def cells() -> None:
            draw = self.draw()
            for estimator in built:
                self.cell(estimator, draw)

        return self.watch.ratio(cells, self.rand) / len(built)


def allowed(name: str, D: int, reads: float) -> float:
    """What an estimator may cost; one without a bar of its own is held against all the uniforms it reads."""
    limit = BARS.get(name, LIMIT * max(1.0, reads))
    return AT_ONE if limit == 4 and D == 1 else limit


def section(benches: Mapping[str, Bench], names: Collection[str] = catalogue.ESTIMATORS) -> Section:
    """A table of moments, of every estimator alone, and of a shared sweep."""
    bars: list[Bar] = []

    def entry(what: str, measured: Spread, limit: float) -> str:
        bars.append(Bar(what, measured.median, limit))
        return str(measured) if bars[-1].met else f"**{measured}**"

    rows = [["moments", "", *(entry(f"moments, {at}", b.moments(), MOMENTS) for at, b in benches.items())]]
    for name in names:
        estimator, row, most = catalogue.build(catalogue.ESTIMATORS[name], {}), [], 0.0
        for at, bench in benches.items():
            if serves(estimator, bench.problem):
                reads = bench.reads(estimator)
                most = max(most, reads)
                row.append(entry(f"{name}, {at}", bench.alone(estimator), allowed(name, bench.problem.D, reads)))
            else:
                row.append("–")
        rows.append([name, f"{most:.3g}", *row])
    sweeps = (entry(f"sweep, {at}", b.sweep(), SWEEP_BARS[b.problem.distribution.name]) for at, b in benches.items())
    rows.append([f"sweep of {len(SWEEP)}, each", "", *sweeps])
    return markdown(["", "reads", *benches], rows), bars
