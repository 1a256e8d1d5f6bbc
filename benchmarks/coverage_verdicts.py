"""Error rates of the verdict on bias: false *biased*, false *unbiased*."""

from __future__ import annotations

import math
from collections import Counter

from pydantic.dataclasses import dataclass
from torch import Tensor

from benchmarks.coverage_cells import benchmarks
from benchmarks.coverage_truth import problem_at
from estbench.draws import Draw
from estbench.estimators.antithetic.arm import Arm
from estbench.estimators.antithetic.arms import Arms
from estbench.estimators.antithetic.disarm import Disarm
from estbench.estimators.base import Estimator, Facts
from estbench.estimators.control_variate.rebar import Rebar
from estbench.estimators.score_function.reinforce import Reinforce
from estbench.estimators.score_function.rloo import Rloo
from estbench.intervals import adjust, bias_p_value, replicates_to_decide, verdict

UNBIASED: dict[str, Estimator] = {
    "REINFORCE": Reinforce(),
    "REINFORCE with the best baseline": Reinforce(baseline="optimal"),
    "RLOO": Rloo(),
    "ARM": Arm(),
    "DisARM": Disarm(),
    "ARMS": Arms(),
    "REBAR": Rebar(),
}


@dataclass(frozen=True)
class Scaled:
    """(1 + bias) times REINFORCE with its best baseline: a relative bias that is known."""

    bias: float = 0.0

    @property
    def facts(self) -> Facts:
        """Biased, by design."""
        return Facts("score function", unbiased=self.bias == 0)

    def rows(self, draw: Draw) -> Tensor:
        """(1 + bias) ĝ."""
        return (1 + self.bias) * Reinforce(baseline="optimal").rows(draw)


def false_biased(runs: int, seed: int, R: int) -> tuple[int, int]:
    """Of `runs` runs, each with a seed of its own, those with a false *biased* after Holm; and without correction."""
    problems = {name: problem_at(p) for name, p in {"a": (0.5, 0.5), "b": (0.1, 0.1)}.items()}
    adjusted = plain = 0
    for run in range(runs):
        found = [
            s
            for name, problem in problems.items()
            for s in next(benchmarks(problem, UNBIASED, R, 2, 1, seed + 1 + run, f"unbiased/{name}")).values()
        ]
        p = [bias_p_value(s) for s in found]
        plain += any(verdict(s, x) == "biased" for s, x in zip(found, p, strict=True))
        adjusted += any(verdict(s, x) == "biased" for s, x in zip(found, adjust(p, "holm"), strict=True))
    return adjusted, plain


def calls(bias: float, runs: int, seed: int, times: int) -> tuple[int, Counter[str]]:
    """The number of replicates that a pilot of an unbiased estimator asks for, `times` that, and the verdicts there."""
    problem = problem_at((0.3, 0.3))
    pilot = next(benchmarks(problem, {"": Scaled()}, 20_000, 1, 1, seed, "pilot"))[""]
    R = times * math.ceil(replicates_to_decide(pilot))
    found = benchmarks(problem, {"": Scaled(bias)}, R, 1, runs, seed, f"scaled/{bias}/{times}")
    return R, Counter(verdict(s[""], bias_p_value(s[""])).split(":")[0] for s in found)
