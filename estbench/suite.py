"""The built-in problems of `estbench compare`: seconds, in memory, nothing written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from estbench.budget import plan_within
from estbench.comparison import At
from estbench.config import CONFIG, Document, Place, load
from estbench.engine.benchmark import kept_apart
from estbench.engine.in_memory import run_in_memory
from estbench.expand import expand
from estbench.summary import Results

N = 4
"""Samples of the reference: estimators that cost two or four evaluations a sample have as many with fewer."""

SUITE = {
    "name": "suite",
    "replicates": 8192,
    "samples": [1, 2, N],
    "methods": ["monte_carlo"],
    "problems": [
        {"objective": {"name": "quadratic", "target": 0.45}, "distribution": "bernoulli", "logits": 1.0},
        {"objective": {"name": "mlp", "seed": 1}, "distribution": "bernoulli", "logits": [0.5, -1.0, 1.5, 0.0]},
        {
            "objective": {"name": "mlp", "seed": 2},
            "distribution": "categorical",
            "logits": [[0.5, -1.0, 0.0, 1.0], [1.0, 0.0, -0.5, 0.5]],
        },
    ],
}
"""The toy at a logit that is not 0, where straight-through looks unbiased by coincidence; and coupled, non-quadratic
problems of either distribution."""


def run_suite(
    estimators: Sequence[str],
    seed: int = 0,
    places: Sequence[Place] = (),
    *,
    timings: bool = False,
    at: At = "samples",
    budget: float | None = None,
    timeout: float | None = None,
) -> Results:
    """Run the suite for some estimators, each at one temperature.

    `places`: where the estimators are written, for error messages. `timings`: whether estimates are
    timed too. With a `budget` of samples or evaluations, each has the largest N that fits, on each problem. `timeout`:
    seconds after which a job of a plug-in is given up.
    """
    data = {**SUITE, "seed": seed, "timings": timings, "estimators": list(estimators)}
    config = Document(data, CONFIG, {("estimators", i): place for i, place in enumerate(places)})
    checked = load(config)
    if budget is None or at == "seconds":
        plan = expand(checked)
    else:
        plan = plan_within(lambda N: expand(replace(checked, samples=N)), at, budget, timeout)
    return run_in_memory(plan, apart=kept_apart(checked), timeout=timeout)
