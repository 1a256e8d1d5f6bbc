"""The logarithm that draws are made with."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from estbench.distributions.logarithm import log_


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_it_is_the_logarithm_at_every_size(dtype: torch.dtype) -> None:
    """Within 4 units in the last place of math.log, from the smallest number to large odds and next to 1."""
    near = torch.logspace(-7, -0.1, 4000, dtype=dtype)
    t = torch.cat((torch.logspace(-16, 30, 1000, dtype=dtype), 1 - near, 1 + near))
    t = torch.cat((t, torch.tensor([torch.finfo(dtype).smallest_normal / 8], dtype=dtype)))
    expected = np.array([math.log(v) for v in t.tolist()])
    unit = np.spacing(np.abs(expected).astype(t.numpy().dtype)).astype(float)
    assert (np.abs(log_(t).double().numpy() - expected) <= 4 * unit).all()


def test_what_has_no_logarithm() -> None:
    """log 0 is −∞, without a warning; what is not a number stays so."""
    assert log_(torch.tensor([0.0, math.inf])).tolist() == [-math.inf, math.inf]
    assert log_(torch.tensor([math.nan])).isnan().all()


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
