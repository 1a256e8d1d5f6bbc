"""Surrogates of spiking networks as samplers: unchanged code of a package, with the noise of the link."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy.integrate import quad
from torch import Tensor

from estbench.adapters import adapt
from estbench.objectives.linear import Linear
from tests.adapters.sampling import sampled
from tests.problems import make

R = 2**13
LIMIT = 5.0
"""Standard errors: a comparison fails falsely once in 10⁶, and sees a mean that is off by 8 % of its size."""


@pytest.mark.parametrize("slope", [2.0, 5.0])
def test_a_surrogate_of_snntorch(slope: float) -> None:
    """1[φ + noise > 0] with the backward 1/(1 + k |x|)²: its mean on a linear f is an integral over the noise."""
    surrogate = pytest.importorskip("snntorch.surrogate")
    spike: Any = surrogate.fast_sigmoid(slope=slope)

    def neuron(logits: Tensor) -> Tensor:
        u = torch.rand_like(logits)
        spikes: Tensor = spike(logits + u.log() - (-u).log1p())
        return spikes

    phi = 0.7
    problem = make(Linear(weights=(1.5,)), torch.tensor([phi], dtype=torch.float64))
    estimator = adapt(neuron)
    assert estimator.facts.distributions == {"bernoulli"}
    estimates = sampled(estimator, problem, 1, R)[:, 0]

    def weighed(x: float) -> float:
        y = 1 / (1 + math.exp(phi - x))
        return y * (1 - y) * 1.5 / (1 + slope * abs(x)) ** 2

    expected = quad(weighed, -40, 0)[0] + quad(weighed, 0, 40)[0]
    assert abs(float(estimates.mean()) - expected) < LIMIT * float(estimates.std()) / R**0.5
