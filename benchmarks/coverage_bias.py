"""Bias of biased estimators, and cells with a rare class: intervals of bias², and both wrong verdicts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from benchmarks.coverage_cells import benchmarks, too_few, too_many
from estbench import catalogue
from estbench.config import parse_selector
from estbench.exact import exact
from estbench.intervals import Shards, bias_bound, bias_p_value, bias_squared, exact_metrics, flags, variance
from estbench.moments import Moments
from estbench.problem import Problem, make

Logits = list[float] | list[list[float]]


@dataclass
class Bias:
    """A cell of one sample an estimate, and how often, over the repeats, each thing was wrong.

    below, above   ‖b‖² lies below the interval of bias², or above it
    unbiased       *unbiased* is said with δ just below the true relative bias (b ≠ 0)
    biased         *biased* is said, p < .05 (b = 0)
    """

    objective: str
    logits: Logits
    estimator: str
    R: int
    trials: int = 0
    below: int = 0
    above: int = 0
    unbiased: int = 0
    biased: int = 0
    size: float = field(default=0.0)  # ‖b‖ in standard errors √(v/R)

    def verdict(self) -> str:
        """*ok*, or what is outside the stated rates by more than chance; an interval may hold too often."""
        hits = self.trials - self.below - self.above
        wrong = self.unbiased if self.size > 0 else self.biased
        found = ["short"] if too_few(hits, self.trials, 0.93) else []
        return ", ".join(found + (["wrong verdicts"] if too_many(wrong, self.trials, 0.05) else [])) or "ok"


SINE4: Logits = [0.5, -1.0, 1.5, 0.0]
SINE23: Logits = [[0.4, -1.3, 0.9], [-0.2, 2.1, 0.35]]
MLP24: Logits = [[0.5, -1.0, 0.0, 1.0], [1.0, 0.0, -0.5, 0.5]]
CELLS: tuple[tuple[str, Logits, str, int], ...] = (
    ("sine", SINE4, "ste", 20_000),
    ("sine", SINE4, "ste", 1000),
    ("sine", SINE23, "ste", 300),
    ("sine", SINE23, "ste", 3000),
    ("sine", [0.83, -1.9], "ste", 1000),
    ("mlp[seed=2]", MLP24, "ste", 1000),
    ("mlp[seed=2]", MLP24, "ste", 20_000),
    ("sine", [0.2 * i - 0.9 for i in range(10)], "ste", 1000),
    ("quadratic", [[0.1 * ((7 * d + 3 * k) % 11) for k in range(40)] for d in range(2)], "reinforce", 1000),
    ("sine", SINE4, "reinforce", 1000),
    ("sine", SINE23, "reinforce", 3000),
    ("mlp[seed=2]", MLP24, "rloo", 1000),
)
"""Bias along the noise, across it and between, and none; up to 80 parameters, more than there are shards."""

RARE = (0.5, 2.0, 5.0, 10.0, 20.0, 30.0, 50.0)
"""Expected number of a class that stands beside an ordinary variable."""


def problem_of(objective: str, logits: Logits) -> Problem:
    """The problem of an objective with its options in brackets."""
    return make(
        _built(catalogue.objective_class, objective),
        torch.tensor(logits, dtype=torch.float64),
        "bernoulli" if isinstance(logits[0], float) else "categorical",
    )


def _built(kind_of: Any, selector: str) -> Any:
    name, options = parse_selector(selector)
    return catalogue.build(kind_of(name), options)


def measure_bias(repeats: int, seed: int) -> list[Bias]:
    """All cells. The true bias is that of the exact engine; what claims to be unbiased has none."""
    found = []
    for objective, logits, name, R in CELLS:
        problem, estimator = problem_of(objective, logits), _built(catalogue.estimator_class, name)
        N = estimator.facts.min_samples
        assert problem.exact_gradient is not None
        true, size = problem.exact_gradient.numpy(), float(problem.exact_gradient.norm())
        truth = 0.0
        if not estimator.facts.unbiased:
            truth = float(exact_metrics(Moments.unpack(exact(problem, estimator, N).packed, true))["bias_squared"])
        cell = Bias(objective, logits, name, R)
        delta = (truth * (1 - 1e-9)) ** 0.5 / size
        for repeat in benchmarks(
            problem, {"": estimator}, R, N, repeats, seed, f"bias/{objective}/{logits}/{name}/{R}"
        ):
            s = repeat[""]
            _, low, high = bias_squared(s)
            cell.trials += 1
            cell.below += truth < low
            cell.above += truth > high
            cell.unbiased += truth > 0 and bias_bound(s) <= (delta * size) ** 2
            cell.biased += truth == 0 and bias_p_value(s) < 0.05
            cell.size += (truth * s.R / s.v) ** 0.5 / repeats
        found.append(cell)
    return found


@dataclass
class Rare:
    """A class that is expected `expected` times beside an ordinary variable, over estimators that are unbiased."""

    expected: float
    trials: int = 0
    quiet: int = 0  # without any flag
    biased: int = 0  # of those, with p < .05
    missed: int = 0  # of those, where the interval of the variance does not hold


def measure_rare(repeats: int, seed: int, R: int = 2000) -> list[Rare]:
    """Sine of two variables, one with a rare class, as if nothing were known of it but what is seen."""
    estimators = {name: _built(catalogue.estimator_class, name) for name in ("reinforce", "muprop", "leg")}
    found = []
    for expected in RARE:
        p = expected / R
        problem = make(
            _built(catalogue.objective_class, "sine"), torch.tensor([p, 0.6], dtype=torch.float64).logit(), "bernoulli"
        )
        assert problem.exact_gradient is not None
        true = problem.exact_gradient.numpy()
        v = {
            name: float(exact_metrics(Moments.unpack(exact(problem, estimator, 1).packed, true))["variance"])
            for name, estimator in estimators.items()
        }
        row = Rare(expected)
        for repeat in benchmarks(problem, estimators, R, 1, repeats, seed, f"rare/{expected}"):
            for name, s in repeat.items():
                _count(row, s, v[name])
        found.append(row)
    return found


def _count(row: Rare, s: Shards, true_variance: float) -> None:
    row.trials += 1
    if not flags(s):
        _, low, high = variance(s)
        row.quiet += 1
        row.biased += bias_p_value(s) < 0.05
        row.missed += not low <= true_variance <= high
