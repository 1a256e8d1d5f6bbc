"""Sums over samples that cancel: what is left of them is rounding, and counts as 0 in every route."""

from __future__ import annotations

import math

import pytest
import torch

from estbench.draws import Draw
from estbench.estimate import estimates
from estbench.estimators.straight_through.ste import Ste
from estbench.exact import exact
from estbench.intervals import exact_metrics
from estbench.moments import Moments
from estbench.objectives.quadratic import Quadratic
from estbench.problem import make
from estbench.streams import Streams


@pytest.mark.parametrize(("target", "N"), [(0.25, 4), (0.3, 10)])
def test_samples_that_cancel_leave_0(target: float, N: int) -> None:
    """Seven rows of 0.3 s and three of −0.7 s leave 0 in any order, or one of 1.5 s and three of −0.5 s."""
    problem = make(Quadratic(target=target), torch.tensor([0.7], dtype=torch.float64), "bernoulli")
    draw = Draw(problem, 2000, N, streams=Streams(0, "x", range(1)))
    (g,) = estimates(Ste(), draw, [N])
    cancels = draw.z.sum((1, 2)) == round(target * N)
    assert bool(cancels.any())
    assert torch.equal((g == 0).flatten(), cancels)


@pytest.mark.parametrize("N", [4, 8])
def test_exact_rows_have_the_share_of_zeros_of_the_binomial(N: int) -> None:
    """P(Σ z = N/4) for Bernoulli variables with p = σ(0.7), with all tuples as with multisets."""
    problem = make(Quadratic(target=0.25), torch.tensor([0.7], dtype=torch.float64), "bernoulli")
    packed = exact(problem, Ste(), N).packed
    assert problem.exact_gradient is not None
    found = exact_metrics(Moments.unpack(packed, problem.exact_gradient.numpy()))
    p, k = 1 / (1 + math.exp(-0.7)), N // 4
    share = math.comb(N, k) * p**k * (1 - p) ** (N - k)
    assert float(found["zero_fraction"]) == pytest.approx(share, rel=1e-12)


def test_small_numbers_beside_large_ones_are_kept() -> None:
    """A coordinate of 1e-20 beside one of 1, and rows that are not finite, are no rounding."""

    class Rows:
        facts = Ste().facts

        def rows(self, _: Draw) -> torch.Tensor:
            rows = torch.tensor([[1.0, 1e-20], [1.0, 1e-20], [1.0, 1e-20]], dtype=torch.float64)
            other = torch.tensor([[torch.inf, 0.1], [1.0, 0.2], [1.0, -0.3]], dtype=torch.float64)
            return torch.stack((rows, other))

    problem = make(Quadratic(), torch.zeros(2, dtype=torch.float64), "bernoulli")
    (g,) = estimates(Rows(), Draw(problem, 2, 3, streams=Streams(0, "x", range(1))), [3])
    assert g[0].tolist() == pytest.approx([1.0, 1e-20], rel=1e-15)
    assert g[1].tolist() == [torch.inf, 0.0]
