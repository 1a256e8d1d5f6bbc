"""Estimates much smaller than the true gradient, or nearly free of noise, keep their variance and their direction."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic.dataclasses import dataclass
from scipy import special
from torch import Tensor

from estbench import catalogue
from estbench.draws import Draw
from estbench.estimators.base import Facts
from estbench.exact import exact
from estbench.intervals import Shards, metrics
from estbench.intervals.metrics import Columns, exact_metrics, exact_verdict
from estbench.moments import Moments, moments
from estbench.objectives.quadratic import Quadratic
from estbench.problem import make


@dataclass(frozen=True)
class Uneven:
    """z of the first variable, and a small multiple of z of the second."""

    small: float
    facts: ClassVar[Facts] = Facts("straight-through", distributions=frozenset({"bernoulli"}), unbiased=False)

    def rows(self, draw: Draw) -> Tensor:
        """(z₁, small z₂)."""
        return draw.z * torch.tensor([1.0, self.small], dtype=torch.float64)


def row(objective: str, logits: Any, estimator: str, f: dict[str, Any], options: dict[str, Any]) -> Columns:
    """The exact metrics of one sample."""
    problem = make(
        catalogue.build(catalogue.objective_class(objective), f), torch.tensor(logits, dtype=torch.float64), "bernoulli"
    )
    found = exact(problem, catalogue.build(catalogue.estimator_class(estimator), options), 1)
    assert problem.exact_gradient is not None
    return exact_metrics(Moments.unpack(found.packed, problem.exact_gradient.numpy()))


def test_estimates_far_smaller_than_the_gradient() -> None:
    """A steep proxy far from its threshold: variance, SNR and scaled variance to six digits."""
    steep = {"proxy": "steep_sigmoid"}
    columns = row("quadratic", [-1.0], "ste", {}, steep)
    assert columns["variance"] == pytest.approx(9.480381e-20, rel=1e-6)
    assert columns["snr"] == pytest.approx(0.4083327, rel=1e-6)
    assert columns["scaled_variance"] == pytest.approx(0.002318416, rel=1e-6)
    assert row("sine", [1.37], "ste", {}, steep)["snr"] == pytest.approx(0.518104, abs=1e-6)


@pytest.mark.parametrize("N", [1, 3])
@pytest.mark.parametrize("steepness", [1e-3, 1e-8, 1e-15])
def test_a_coordinate_that_varies_far_less_than_another(steepness: float, N: int) -> None:
    """Each coordinate has its variance to 1e-12, however far its mean is from the gradient and whatever others do."""
    problem = make(Quadratic(), torch.tensor([0.3, -1.0], dtype=torch.float64), "bernoulli")
    found = exact(problem, Uneven(steepness), N)
    p = special.expit([0.3, -1.0])
    size = np.array([1.0, steepness])
    np.testing.assert_allclose(found.variance, size**2 * p * (1 - p) / N, rtol=1e-12, atol=0)
    np.testing.assert_allclose(found.mean, size * p, rtol=1e-12, atol=0)


def test_estimates_that_hardly_vary() -> None:
    """A variance of 3e-14 beside a mean of 1 is a variance; that of a constant estimate is 0, and its bias too."""
    f = {"A": ((0.0, 1e-6), (0.0, 0.0)), "b": (1.0, 1.0)}
    assert row("quadratic_form", [0.0, 0.0], "leg", f, {})["variance"] == pytest.approx(3.125e-14, rel=1e-6)
    columns = row("quadratic", [0.3], "reinforce", {}, {"baseline": "optimal"})
    assert columns["variance"] == columns["mse"] == columns["bias_squared"] == 0


@pytest.mark.parametrize("mean", [1e-14, 1.0])
@pytest.mark.parametrize("sd", [1e-12, 1e-6, 1.0])
def test_sampled_variances(mean: float, sd: float) -> None:
    """Sampled estimates beside a true gradient of size 1: v is that of the estimates themselves, to 1e-3."""
    x = mean * (1 + sd * np.random.default_rng(0).normal(size=(16, 500, 2)))
    g = np.array([0.6, -0.8])
    s = Shards.of(Moments.unpack(moments(torch.from_numpy(x), torch.from_numpy(g)).numpy(), g))
    about = x - mean
    assert s.v == pytest.approx(float(about.reshape(-1, 2).var(0, ddof=1).sum()), rel=1e-3)
    assert metrics(s.moments)["snr"] == pytest.approx(float(np.linalg.norm(s.m)) / np.sqrt(s.v), rel=1e-3)


def test_a_constant_estimate_equal_to_the_gradient_is_unbiased() -> None:
    """What is off by rounding alone has bias, variance and MSE 0, sampled or exact."""
    g = np.array([0.1, -0.7])
    x = torch.from_numpy(np.tile(g * (1 + 2e-16), (4, 100, 1)))
    columns = metrics(Moments.unpack(moments(x, torch.from_numpy(g)).numpy(), g))
    assert columns["variance"] == columns["mse"] == columns["bias_squared"] == 0
    assert exact_verdict(Moments.unpack(moments(x, torch.from_numpy(g)).numpy(), g)) == "unbiased"
