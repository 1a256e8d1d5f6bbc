"""Objectives of size 1e78 and 1e-90, and logits of 30: fits stay finite, and a cell that cannot be told fails alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from estbench.estimators.shared.least_squares import least_squares


@pytest.mark.parametrize("scale", [1e-150, 1e-90, 1.0, 1e78, 1e150])
def test_coefficients_do_not_depend_on_the_scale(scale: float) -> None:
    """g₀ + c₁ g₁ + c₂ g₂ is best at c = (2, −1) at any scale; a column that is 0 or rounding gets 0."""
    rng = np.random.default_rng(0)
    g = torch.from_numpy(rng.normal(size=(3, 500, 2)))
    g0 = -2 * g[0] + g[1]

    def estimate(c: Any) -> Tensor:
        nothing: Tensor = 1e-18 * c[2] * g[2]
        found: Tensor = scale * (g0 + c[0] * g[0] + c[1] * g[1] + nothing)
        return found

    np.testing.assert_allclose(least_squares(estimate, 3), [2.0, -1.0, 0.0], rtol=1e-9, atol=1e-12)


def test_columns_of_zero_get_zero() -> None:
    """Where a control variate is 0 throughout, or all estimates are, its coefficient is 0."""
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(50, 1)))
    assert least_squares(lambda c: x + 0 * c[0] * x, 1) == (0.0,)
    assert least_squares(lambda c: 0 * x + c[0] * x, 1) == (0.0,)
