"""Estimators in float32 at logits of ±100."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from estbench import catalogue
from estbench.draws import Draw
from estbench.estimate import estimates
from estbench.problem import make
from estbench.streams import Streams

LOGITS: dict[str, list[Any]] = {
    "bernoulli": [[-100.0, 0.3], [100.0, 0.3]],
    "categorical": [[[-100.0, 0.0, 1.0], [100.0, 0.0, -100.0]]],
}


@pytest.mark.parametrize("name", sorted(catalogue.ESTIMATORS))
def test_estimates_are_finite(name: str) -> None:
    """No estimate is NaN or infinite at a logit of ±100 beside ordinary ones."""
    estimator: Any = catalogue.build(catalogue.estimator_class(name), {})
    N = max(1, estimator.facts.min_samples)
    for distribution in estimator.facts.distributions:
        for logits in LOGITS[distribution]:
            f = catalogue.build(catalogue.objective_class("quadratic"), {})
            problem = make(f, torch.tensor(logits, dtype=torch.float32), distribution)
            draw = Draw(problem, 2000, N, streams=Streams(0, "float32", range(1)))
            assert bool(estimates(estimator, draw, [N])[0].isfinite().all()), logits
