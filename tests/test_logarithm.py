"""The logarithm that draws are made with."""

from __future__ import annotations

import math

import pytest
import torch

from estbench.distributions.logarithm import log_


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_it_is_the_logarithm_at_every_size(dtype: torch.dtype) -> None:
    """Within 2 units in the last place of math.log, from the smallest uniform to the largest odds; −∞ at 0."""
    t = torch.cat((torch.logspace(-16, 30, 1000, dtype=dtype), 1 - torch.logspace(-7, -1, 100, dtype=dtype)))
    expected = torch.tensor([math.log(v) for v in t.tolist()], dtype=dtype)
    assert ((log_(t) - expected).abs() <= 2 * torch.finfo(dtype).eps * expected.abs()).all()
    assert log_(torch.zeros(1, dtype=dtype)).item() == -math.inf


def test_it_is_in_place_whatever_the_layout() -> None:
    """What is given is returned, every other column of a table as well."""
    t = torch.rand(6, 5, dtype=torch.float64)[:, ::2]
    expected = torch.log(t)
    assert log_(t) is t
    torch.testing.assert_close(t, expected, rtol=1e-15, atol=1e-16)


def test_it_is_differentiated() -> None:
    """Where a gradient is wanted it is 1/t."""
    t = torch.tensor([0.5, 4.0], dtype=torch.float64, requires_grad=True)
    torch.autograd.backward(log_(t.clone()).sum())
    assert t.grad is not None
    assert t.grad.tolist() == [2.0, 0.25]
