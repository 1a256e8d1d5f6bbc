"""What is found before anything is sampled: times, exact gradients and where noise breaks; and true differences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from estbench import catalogue
from estbench.config import load
from estbench.draws import MAIN, Draw
from estbench.engine.tasks import CostTask, Group, TimingTask
from estbench.estimate import estimates
from estbench.exact.noise import edges, noise
from estbench.expand import expand
from estbench.objectives.base import BOTH
from estbench.objectives.quadratic import Quadratic
from estbench.objectives.sine import Sine
from estbench.plan import ProblemSpec
from estbench.problem import Problem
from tests.problems import make


def parts(estimator: str, samples: tuple[int, ...]) -> tuple[ProblemSpec, tuple[Group, ...], int]:
    """What a task takes: two Bernoulli variables, the cells of an estimator, and a seed."""
    problem = {"objective": "quadratic", "distribution": "bernoulli", "logits": [0.5, -1.0]}
    config = {"name": "made", "problems": [problem], "estimators": [estimator], "samples": list(samples)}
    plan = expand(load({**config, "methods": ["monte_carlo"]}))
    cells = tuple((cell.samples, cell.key) for cell in plan.cells)
    spec = plan.cells[0].estimator
    return plan.problems[0], (Group(spec, cells),), 0


@pytest.mark.parametrize(("estimator", "timed"), [("reinforce", [1]), ("rloo", [2, 4, 64])])
def test_the_seconds_of_an_estimate(estimator: str, timed: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The median of three timings on 2^15 numbers: of rows once for all N, of coupled samples at each N."""
    clock = [0.0]
    lasts = iter([9.0, 1.0, 4.0] * len(timed))  # seconds of each timing: median 4, mean 4.67, sum 14
    drawn: list[tuple[int, int]] = []
    ticks = [0]

    def counted(estimator: Any, draw: Draw, samples: list[int]) -> Tensor:
        drawn.append((draw.R, draw.N))
        return estimates(estimator, draw, samples)

    def perf_counter() -> float:
        ticks[0] += 1
        if ticks[0] % 2 == 0:  # every other look is at the end of a timing
            clock[0] += next(lasts)
        return clock[0]

    monkeypatch.setattr("estbench.engine.tasks.timing.estimates", counted)
    monkeypatch.setattr("estbench.engine.tasks.timing.time", SimpleNamespace(perf_counter=perf_counter))
    samples = (2, 4, 64) if len(timed) > 1 else (1, 4, 64)
    records = TimingTask(*parts(estimator, samples)).perform()
    assert {record["kind"] for record in records} == {"timing"}
    rows = {N: 2**15 // (2 * N) for N in samples}
    expected = [4.0 / rows[N] if len(timed) > 1 else N * 4.0 / rows[1] for N in samples]
    assert [record["seconds"] for record in records] == pytest.approx(expected, rel=1e-15)
    assert drawn == [(rows[N], N) for N in timed for _ in range(4)]  # the first of each warms up
    assert next(lasts, None) is None


def test_the_evaluations_of_an_estimate() -> None:
    """They are counted on one replicate, and nothing is timed."""
    records = [record for record in CostTask(*parts("reinforce", (1, 4))).perform() if record["kind"] == "cost"]
    assert [(record["f"], record["df"]) for record in records] == [(1, 0), (4, 0)]
    assert not any("seconds" in record for record in records)


def quadratic(logits: list[float]) -> Problem:
    """Bernoulli variables."""
    objective = catalogue.build(catalogue.objective_class("quadratic"), {})
    return make(objective, torch.tensor(logits, dtype=torch.float64))


@pytest.mark.parametrize("phi", [-1.3, 0.4, 2.0])
@pytest.mark.parametrize("k", [0, 1])
@pytest.mark.parametrize("stream", [MAIN, "redraw/0", "own"])
def test_panels_end_where_a_uniform_breaks(phi: float, k: int, stream: str) -> None:
    """Among the edges in log r there is, for each break that the class allows, the one where the uniform is there.

    Of class 1 the uniforms of the sample are below p, of class 0 above it; those of redraws and of one's own are free.
    """
    problem = quadratic([phi])
    p = float(problem.independent.mean)
    breaks = [0.07, 0.31, 0.62, 0.93]
    plain = edges(problem, stream, k, [])
    found = edges(problem, stream, k, [torch.tensor(breaks, dtype=torch.float64)])
    added = np.setdiff1d(found, plain)
    u = noise(problem, stream, k, torch.from_numpy(np.exp(added)).unsqueeze(1)).flatten().sort().values.tolist()
    possible = [b for b in breaks if stream != MAIN or (b < p if k == 1 else b > p)]
    assert u == pytest.approx(possible, rel=1e-12)


@pytest.mark.parametrize("phi", [-1.3, 0.4, 2.0])
def test_panels_end_at_the_mirrored_sample(phi: float) -> None:
    """Without breaks there is an edge where u = 1 − p: there the mirrored uniform changes class. It is of one class."""
    problem = quadratic([phi])
    q = float(problem.independent.q)
    for k in (0, 1):
        r = torch.from_numpy(np.exp(edges(problem, MAIN, k, []))).unsqueeze(1)
        away = (noise(problem, MAIN, k, r) - q).abs().min().item()
        assert (away < 1e-15) is ((q < 1 - q) is (k == 1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("D", [1, 2, 3, 200])
def test_small_true_differences_stay(dtype: torch.dtype, D: int) -> None:
    """What is within (2 + √D) eps (|a| + |b|) is rounding, and 0; what exceeds it stays."""
    eps = torch.finfo(dtype).eps
    one, rounding = torch.ones(1, 1, dtype=dtype), 2 * (2 + math.sqrt(D))
    p = quadratic([0.5, *[-1.0] * (D - 1)])
    p = make(Quadratic(reduction="mean"), p.distribution.logits)
    for step in (1, int(rounding), int(rounding) + 1, 2**22):
        a, expected = one + step * eps, step * eps if step > rounding else 0.0
        assert p.difference(a, one).item() == expected
        assert p.difference(one, a).item() == -expected


def test_values_of_f_near_zero_differ_by_the_rounding_of_its_terms() -> None:
    """sin(Σ v + phase) beside 0 differs by the rounding of Σ v in another order: that is 0, 1e-13 is not."""
    p = make(Sine(), torch.linspace(-1, 1, 21, dtype=torch.float64).reshape(3, 7))
    a = torch.tensor(1e-5, dtype=torch.float64)
    assert p.difference(a + 4e-16, a).item() == 0
    assert p.difference(a + 1e-13, a).item() == pytest.approx(1e-13)


@dataclass(frozen=True)
class Offset:
    """Σ_i c_i v_i v_{i+1} + offset with dyadic c: sums of these numbers are exact, also beside 2³⁰."""

    offset: float
    on: Literal["flat"] = "flat"
    distributions: frozenset[str] = BOTH

    def value(self, v: Tensor) -> Tensor:
        """f(v)."""
        c = torch.arange(1, v.shape[-1], dtype=v.dtype) / 8
        return (v[..., :-1] * v[..., 1:]) @ c + self.offset


@pytest.mark.parametrize("logits", [[0.3, -0.9, 0.5], [[0.3, -0.9, 0.5], [-0.2, 0.7, 1.1]]], ids=["D=3", "D=2 K=3"])
def test_an_offset_of_f_costs_no_digits(logits: Any) -> None:
    """By enumeration the gradient of f + 2³⁰ is bitwise that of f, as f is centred before it is summed: E s = 0."""
    phi = torch.tensor(logits, dtype=torch.float64)
    plain, high = (make(Offset(offset), phi).by_enumeration() for offset in (0.0, 2.0**30))
    assert float(plain.norm()) > 0.01
    assert torch.equal(plain, high)
