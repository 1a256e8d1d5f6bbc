"""Records kept in the span of the means of the shards: as good as those of all parameters, in much less room."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import chdtrc

from estbench.intervals import metrics
from estbench.intervals.quadratic import QuadraticForm
from estbench.moments import SCALARS, Moments, gradient_in_span, in_span, moments

OTHER = {"bias_p_value", "flags"}
"""What rests on the single coordinates."""


def sampled(P: int, S: int, n: int, bias: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Records [S, 8 + 3P] of estimates with a covariance of low rank, and g."""
    g = torch.Generator().manual_seed(seed)
    mix = torch.randn(5, P, generator=g, dtype=torch.float64)
    true = torch.randn(P, generator=g, dtype=torch.float64)
    noise = torch.randn(S, n, 5, generator=g, dtype=torch.float64) @ mix
    noise += 0.3 * torch.randn(S, n, P, generator=g, dtype=torch.float64)
    return moments(true + bias * mix[0] + noise, true).numpy(), true.numpy()


@pytest.mark.parametrize(("P", "S", "n"), [(2000, 64, 10), (40, 64, 20), (5, 32, 8), (300, 16, 3)])
@pytest.mark.parametrize("bias", [0.0, 0.02, 0.5])
def test_metrics_and_intervals_are_those_of_all_parameters(P: int, S: int, n: int, bias: float) -> None:
    """Every metric and both its ends agree to 1e-10, but for what rests on single coordinates."""
    packed, true = sampled(P, S, n, bias, 7)
    whole = metrics(Moments.unpack(packed, true))
    kept, g = in_span(packed, true)
    assert kept.shape == (S, len(SCALARS) + 3 * (S + 2))
    assert np.array_equal(g, gradient_in_span(true, S))
    few = metrics(Moments.unpack(kept, g), rank=P)
    for name, value in whole.items():
        if name not in OTHER:
            assert few[name] == pytest.approx(value, rel=1e-10, abs=1e-12 * float(whole["variance"])), name


@pytest.mark.slow
def test_the_test_of_no_bias_rejects_as_often_as_it_says() -> None:
    """Of 300 runs without bias at P = 500 at most 27 have p < .05: more in 1 of 1000 where the rate is .05.

    With a rate of .1 that fails in 70 of 100; the other test sees a bias of a sixth of the spread in each of 20 runs.
    """
    p = []
    for seed in range(300):
        packed, true = sampled(500, 32, 4, 0.0, seed)
        kept, g = in_span(packed, true)
        p.append(metrics(Moments.unpack(kept, g), rank=500)["bias_p_value"])
    assert np.mean(np.array(p) < 0.05) <= 27 / 300
    assert np.mean(np.array(p) < 0.5) > 0.3


def test_a_bias_is_seen() -> None:
    """A bias of two standard errors along every direction of the noise is found in each of 20 runs, at p < .01."""
    for seed in range(20):
        packed, true = sampled(500, 32, 4, 0.6, seed)
        kept, g = in_span(packed, true)
        assert float(metrics(Moments.unpack(kept, g), rank=500)["bias_p_value"]) < 0.01


def test_estimates_that_do_not_vary_and_a_gradient_of_zero() -> None:
    """Constant estimates have no variance, exactly; where g = 0 the lengths are still right."""
    x = torch.ones(16, 4, 30, dtype=torch.float64)
    packed = moments(x, x[0, 0]).numpy()
    kept, g = in_span(packed, x[0, 0].numpy())
    assert metrics(Moments.unpack(kept, g), rank=30)["variance"] == 0
    noisy, _ = sampled(50, 16, 5, 0.0, 1)
    kept, g = in_span(noisy, np.zeros(50))
    whole = metrics(Moments.unpack(noisy, np.zeros(50)))
    assert math.isclose(
        float(metrics(Moments.unpack(kept, g), rank=50)["bias_squared"]), float(whole["bias_squared"]), rel_tol=1e-10
    )


def test_the_p_value_holds_far_out_where_one_direction_has_most_of_the_noise() -> None:
    """Exact for one eigenvalue and for equal ones; for .6 beside 40 of .01, .001 within 15 % (10^6 draws, error 3 %).

    By two moments it is less than half of it there.
    """

    def form(T: float, w: np.ndarray) -> QuadraticForm:
        trV, trVV, trVVV = (float((w**k).sum()) for k in (1, 2, 3))
        return QuadraticForm(T, trV, trVV, trVVV, 0.0, 0.0)

    for w in (np.array([0.3]), np.full(7, 0.3)):
        for x in (0.5, 9.0, 25.0):
            assert np.isclose(form(0.3 * x, w).p_value, chdtrc(len(w), x), rtol=1e-10)
    rng = np.random.default_rng(0)
    T = 0.6 * rng.chisquare(1, 10**6) + 0.01 * rng.chisquare(40, 10**6)
    far = form(float(np.quantile(T, 0.999)), np.array([0.6] + [0.01] * 40))
    assert abs(far.p_value - 0.001) < 0.00015
    assert far.exceed_if_zero < 0.0005
