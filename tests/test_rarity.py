"""How seldom samples show what the gradient is made of."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from estbench.objectives.base import Objective
from estbench.objectives.linear import Linear
from estbench.objectives.product import Product
from estbench.objectives.sine import Sine
from estbench.rarity import rarest_event
from tests.problems import make


def at(objective: Objective, logits: list[float] | list[list[float]]) -> float:
    """`rarest_event` of an objective at the logits of Bernoulli variables, or of categorical ones."""
    return rarest_event(make(objective, torch.tensor(logits, dtype=torch.float64)))


def test_the_rarest_event_of_a_conjunction() -> None:
    """Π v_d − π has the kurtosis (1 − 3π(1 − π))/(π(1 − π)), π = Π p_d; the effect of one is there with the others."""
    p = torch.sigmoid(torch.tensor([-1.0, 0.5, -2.0], dtype=torch.float64))
    pi = p.prod()
    of_all = float(pi * (1 - pi) / (1 - 3 * pi * (1 - pi)))
    assert at(Product(), [-1.0, 0.5, -2.0]) == pytest.approx(min(of_all, float((pi / p).min())), rel=1e-12)
    levels = torch.softmax(torch.tensor([0.3, -1.0, -40.0], dtype=torch.float64), 0)  # v = 0, ½, 1; two variables
    f, P = torch.outer(*[torch.tensor([0.0, 0.5, 1.0]).double()] * 2), torch.outer(levels, levels)
    h = f - (P * f).sum()
    expected = float((P * h**2).sum() ** 2 / (P * h**4).sum())
    assert at(Product(), [[0.3, -1.0, -40.0]] * 2) == pytest.approx(expected, rel=1e-12)


def test_what_has_no_rare_effect() -> None:
    """A fair sum has none, nor has an f that is constant, up to rounding, not finite, or of too many states."""
    assert at(Linear(), [0.0]) == 1.0

    class Odd(Sine):
        def value(self, v: Tensor) -> Tensor:
            return 0.1 + 1e-17 * super().value(v)

    class Infinite(Sine):
        def value(self, v: Tensor) -> Tensor:
            return 1 / v.prod(-1)

    assert at(Odd(), [-3.0, 0.5]) == at(Infinite(), [-3.0, 0.5]) == at(Product(), [-3.0] * 21) == 1.0
