"""The softmax of many variables with few classes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from estbench.distributions.softmax import MANY, SHORT, log_softmax


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("K", [2, 3, 8, 10, SHORT])
@pytest.mark.parametrize("scale", [1.0, 30.0, 1e4])
def test_it_is_the_log_softmax_of_torch(dtype: torch.dtype, K: int, scale: float) -> None:
    """Values and gradients are torch's to rounding, also where all but one class vanish.

    log Σ e^(x − max) of K terms has an error of at most K + 2 units beside that of its value, at most log K; the
    differences are rounded once. Both sides may be off by that.
    """
    generator = torch.Generator().manual_seed(K)
    x = (scale * torch.randn(MANY // K + 1, 1, K, generator=generator)).to(dtype)
    assert x.numel() >= MANY
    g = torch.randn(x.shape, generator=generator, dtype=dtype)
    found = []
    for of in (log_softmax, lambda t: torch.log_softmax(t, -1)):
        leaf = x.clone().requires_grad_()
        value: Tensor = of(leaf)
        torch.autograd.backward(value, g)
        assert leaf.grad is not None
        found.append((value.detach(), leaf.grad))
    ours, theirs = found
    unit = torch.finfo(dtype).eps
    torch.testing.assert_close(ours[0], theirs[0], rtol=4 * unit, atol=2 * unit * (K + 2 + math.log(K)))
    torch.testing.assert_close(ours[1], theirs[1], rtol=32 * unit, atol=32 * unit * K)


def test_it_can_be_differentiated_twice() -> None:
    """As the KL divergence of a loss may be."""
    x = torch.randn(MANY // 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (first,) = torch.autograd.grad((log_softmax(x) ** 2).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    y = x.detach().requires_grad_()
    (expected,) = torch.autograd.grad((torch.log_softmax(y, -1) ** 2).sum(), y, create_graph=True)
    torch.testing.assert_close(second, torch.autograd.grad(expected.sum(), y)[0], rtol=1e-10, atol=1e-12)


def test_numbers_that_are_not_finite() -> None:
    """A class of probability 0 stays so, and what is not a number stays so."""
    x = torch.zeros(MANY // 2, 2)
    x[0, 1], x[1, 0] = -torch.inf, torch.nan
    found = log_softmax(x)
    assert found[0].tolist() == [0.0, -torch.inf]
    assert found[1].isnan().all()
    assert not found[2:].isnan().any()
