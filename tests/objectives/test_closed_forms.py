"""The exact gradient by closed forms keeps its digits where a class is almost certain."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pytest
import torch
from torch import Tensor

from estbench.catalogue import OBJECTIVES, objective_class
from estbench.distributions import Bernoulli, Distribution
from estbench.objectives.base import BOTH, Objective, WithExpectation
from estbench.objectives.linear import Linear
from estbench.objectives.product import Product
from estbench.objectives.quadratic_form import QuadraticForm
from tests.problems import make

SCALES = (1.0, 5.0, 20.0, 30.0, 36.0, 40.0, 100.0)
DIRECTIONS = {
    "bernoulli": ([1.0], [-1.0], [1.0, -0.3, 0.02], [-1.0, 0.9, 1.0]),
    "categorical": ([[0.0, 1.0, 0.03]], [[-1.0, 0.0, 1.0]], [[1.0, 0.0, 0.01], [0.2, 0.1, 1.0]]),
}


@dataclass(frozen=True)
class Formula:
    """Σ_d v_d of Bernoulli variables, its expectation by one of several formulas."""

    formula: Callable[[Bernoulli], Tensor]
    on: Literal["values"] = "values"
    distributions: frozenset[str] = BOTH

    def value(self, v: Tensor) -> Tensor:
        """Σ_d v_d."""
        return v.sum(-1)

    def expectation(self, distribution: Distribution) -> Tensor:
        """Σ_d p_d."""
        assert isinstance(distribution, Bernoulli)
        return self.formula(distribution)


FORMULAS: dict[str, Callable[[Bernoulli], Tensor]] = {
    "mean": lambda d: d.mean.sum(),
    "1 - mean": lambda d: (1 - (1 - d.mean)).sum(),
    "q": lambda d: (1 - d.q).sum(),
    "mean and q": lambda d: (d.mean**2 + d.mean * d.q).sum(),
    "marginals": lambda d: d.marginals[:, 1].sum(),
    "sigmoid(logits)": lambda d: torch.sigmoid(d.logits).sum(),
    "exp(logits)": lambda d: (d.logits.exp() / (1 + d.logits.exp())).sum(),
    "no graph": lambda d: torch.sigmoid(d.logits.detach()).sum(),
}


@pytest.mark.parametrize("name", sorted(name for name, f in OBJECTIVES.items() if isinstance(f(), WithExpectation)))
@pytest.mark.parametrize("scale", SCALES)
def test_closed_forms_equal_enumeration_at_large_logits(name: str, scale: float) -> None:
    """Every objective of the catalogue with a closed form, logits up to ±100: each component to 1e-11."""
    objective = objective_class(name)()
    for distribution in sorted(objective.distributions):
        for direction in DIRECTIONS[distribution]:
            problem = make(objective, torch.tensor(direction, dtype=torch.float64) * scale)
            torch.testing.assert_close(problem.by_closed_form(), problem.by_enumeration(), rtol=1e-11, atol=1e-300)


@pytest.mark.parametrize("phi", [*SCALES, *(-scale for scale in SCALES)])
@pytest.mark.parametrize("name", FORMULAS)
def test_whatever_the_formula_is_made_of(name: str, phi: float) -> None:
    """∇ Σ E v = p q to 1e-12 from every quantity that a formula may use, beside a variable at logit 0.4."""
    found = make(Formula(FORMULAS[name]), torch.tensor([phi, 0.4], dtype=torch.float64)).by_closed_form()
    expected = [1 / (2 + math.exp(x) + math.exp(-x)) for x in (phi, 0.4)]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0)


@dataclass(frozen=True)
class Unless:
    """v₀ v₁ − v₀: what z₀ does vanishes where z₁ is 1."""

    on: Literal["values"] = "values"
    distributions: frozenset[str] = BOTH

    def value(self, v: Tensor) -> Tensor:
        """v₀ v₁ − v₀."""
        return v[..., 0] * v[..., 1] - v[..., 0]

    def expectation(self, distribution: Distribution) -> Tensor:
        """p₀ p₁ − p₀, in which q₁ is lost where p₁ rounds to 1."""
        assert isinstance(distribution, Bernoulli)
        return distribution.mean[..., 0] * distribution.mean[..., 1] - distribution.mean[..., 0]


@pytest.mark.parametrize("phi", [20.0, 30.0, 36.0, 40.0, 100.0])
@pytest.mark.parametrize("f", [Unless(), QuadraticForm(A=((0.0, 1.0), (0.0, 0.0)), b=(-1.0, 0.0))])
def test_an_effect_that_vanishes_where_another_variable_is_certain(f: Objective, phi: float) -> None:
    """Of z₀ z₁ − z₀ at logits 0.3 and φ it is −p₀ q₀ q₁ in the first and p₀ p₁ q₁ in the second, to 1e-12."""
    p0, p1, q0, q1 = (1 / (1 + math.exp(-x)) for x in (0.3, phi, -0.3, -phi))
    found = make(f, torch.tensor([0.3, phi], dtype=torch.float64)).exact_gradient
    assert found is not None
    torch.testing.assert_close(found, found.new_tensor([-p0 * q0 * q1, p0 * p1 * q1]), rtol=1e-12, atol=0)


@pytest.mark.parametrize("D", [2, 40])
def test_a_product_of_factors_near_zero(D: int) -> None:
    """∇ Π (1 − p_d) = −p_d Π q at logits of 10 and more, also of variables too many to enumerate."""
    logits = torch.linspace(10, 12, D, dtype=torch.float64)
    found = make(Product(offset=1, slope=-1), logits).by_closed_form()
    torch.testing.assert_close(found, -logits.sigmoid() * torch.sigmoid(-logits).prod(), rtol=1e-12, atol=0)


def test_parity_of_classes_of_which_the_middle_one_is_certain() -> None:
    """E Π (1 − 2 v_d) = Π (π_0 − π_2): what is left beside a middle class of probability almost 1."""
    logits = torch.tensor([[0.0, 36.0, 1.0], [40.0, 0.0, 0.0]], dtype=torch.float64)
    found = make(Product(offset=1, slope=-2), logits).by_closed_form().view(2, 3)
    e = [[math.exp(x - max(row)) for x in row] for row in logits.tolist()]
    (a, b, c), (u, v, w) = ([x / sum(row) for x in row] for row in e)
    effects = [[a * (1 - a + c), -(a - c) * b, -c * (1 + a - c)], [u * (v + 2 * w), (w - u) * v, -w * (2 * u + v)]]
    factors = [[u - w], [a - c]]
    torch.testing.assert_close(found, found.new_tensor(effects) * found.new_tensor(factors), rtol=1e-12, atol=0)


def test_linear_at_logit_40() -> None:
    """p q = 4.248354255e-18, not 0; also for a weight of 1e-90, and tied."""
    phi = torch.tensor([40.0, 40.0], dtype=torch.float64)
    for tie in (False, True):
        found = make(Linear(), phi, tie).by_closed_form()
        torch.testing.assert_close(found, torch.full_like(found, 4.248354255291589e-18 * (1 + tie)), rtol=1e-12, atol=0)
    small = make(Linear(weights=(1e-90,)), phi[:1]).by_closed_form()
    torch.testing.assert_close(small, torch.full_like(small, 4.248354255291589e-108), rtol=1e-12, atol=0)
