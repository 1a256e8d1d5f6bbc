"""Relaxed samples at the temperatures that have short cuts, and redraws that a draw keeps."""

from __future__ import annotations

import pytest
import torch

from estbench.draws import Draw
from estbench.objectives.quadratic import Quadratic
from estbench.streams import Streams
from tests.problems import make

LOGITS = {
    "bernoulli": torch.tensor([0.3, -2.0, 8.0], dtype=torch.float64),
    "categorical": torch.tensor([[0.3, -1.0, 0.6, 2.0], [5.0, 0.9, -0.6, -4.0]], dtype=torch.float64),
}


def drawn(kind: str) -> Draw:
    """Five replicates of two samples."""
    return Draw(make(Quadratic(), LOGITS[kind]), 5, 2, streams=Streams(0, "relaxed", range(1)))


@pytest.mark.parametrize("kind", LOGITS)
@pytest.mark.parametrize("tau", [2.0, 1.0, 0.5, 0.3, 0.25, 0.125])
def test_the_relaxation_and_its_derivative_at_any_temperature(kind: str, tau: float) -> None:
    """y is σ(x/τ) or softmax(x/τ) of torch, and J(y) g/τ its derivative by autograd, to 100 roundings of x/τ."""
    draw = drawn(kind)
    x = draw.x.clone().requires_grad_()
    y = torch.sigmoid(x / tau) if kind == "bernoulli" else torch.softmax(x / tau, -1)
    g = Streams(1, "g", range(1)).uniform("g", *x.shape) - 0.3
    (pulled,) = torch.autograd.grad(y, x, g)
    relaxed = draw.relaxed(tau)
    most = 100 * 2.0**-52 / tau
    torch.testing.assert_close(relaxed.y, y.detach(), rtol=most, atol=most)
    torch.testing.assert_close(relaxed.vjp(g), pulled, rtol=most, atol=most)


@pytest.mark.parametrize("kind", LOGITS)
def test_the_pull_back_of_a_redraw_that_is_kept(kind: str) -> None:
    """redraw_vjp is the distribution's conditional_vjp at the noise of that redraw, and not of another."""
    draw = drawn(kind)
    h = Streams(1, "h", range(1)).uniform("h", *draw.z.shape) - 0.3
    first, second = (draw.redraw_vjp(number, h) for number in (0, 1))
    for number, pulled in enumerate((first, second)):
        expected = draw.distribution.conditional_vjp(draw.z, draw.redraw(number), h)
        torch.testing.assert_close(pulled, expected, rtol=1e-13, atol=1e-15)
    assert not torch.allclose(first, second)
