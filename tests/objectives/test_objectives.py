"""Objectives and problems: every route to the exact gradient leads to the same place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from estbench import catalogue
from estbench.distributions import Bernoulli, Categorical
from estbench.errors import UsageError
from estbench.objectives import named_function
from estbench.objectives.base import WithExpectation, WithGrad
from estbench.preflight.objective import differences
from estbench.problem import Problem
from tests.problems import make

LOGITS = {
    "bernoulli": torch.tensor([0.7, -1.4, 0.2], dtype=torch.float64),
    "categorical": torch.tensor([[0.3, -0.9, 0.5, 0.1], [-0.2, 0.7, 1.1, -1.0]], dtype=torch.float64),
}
OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("quadratic", {}),
    ("quadratic", {"target": 0.2, "reduction": "mean"}),
    ("power", {}),
    ("power", {"target": 0.3, "exponent": 1.5}),
    ("power", {"exponent": 2.5, "reduction": "mean"}),
    ("linear", {}),
    ("linear", {"reduction": "mean"}),
    ("quadratic_form", {}),
    ("quadratic_form", {"seed": 4}),
    ("sine", {}),
    ("sine", {"frequency": 3.1, "phase": -0.4}),
    ("product", {}),
    ("product", {"offset": 1.0, "slope": -2.0}),
    ("mlp", {}),
    ("mlp", {"hidden": 5, "seed": 2}),
    ("arsm_toy", {}),
    ("arsm_toy", {"R": 4.0, "reduction": "mean"}),
]


OPTIONS += [(name, {}) for name in catalogue.OBJECTIVES if (name, {}) not in OPTIONS]


def problems() -> list[Any]:
    """Every objective with options, at every distribution it is defined for, tied or not."""
    found = []
    for name, options in OPTIONS:
        objective = catalogue.build(catalogue.objective_class(name), options)
        for distribution in sorted(objective.distributions):
            for tie in (False, True):
                problem = make(objective, LOGITS[distribution], tie)
                found.append(pytest.param(problem, id=f"{name}{options}-{distribution}{'-tied' * tie}"))
    return found


every = pytest.mark.parametrize("problem", problems())


def test_every_distribution_is_enrolled() -> None:
    """Each distribution of the catalogue has logits here, so that every objective meets it."""
    assert set(LOGITS) == set(catalogue.DISTRIBUTIONS)


@every
def test_closed_form_enumeration_and_differences_agree(problem: Problem) -> None:
    """The closed form equals enumeration at 1e-12, and enumeration equals central differences of E f at 1e-7."""
    enumerated = problem.by_enumeration()
    if isinstance(problem.objective, WithExpectation):
        torch.testing.assert_close(problem.by_closed_form(), enumerated, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(differences(problem), enumerated, rtol=1e-6, atol=1e-7)


@every
def test_the_written_gradient_is_autograds(problem: Problem) -> None:
    """∇f in closed form equals automatic differentiation, at vertices and off them."""
    if not isinstance(problem.objective, WithGrad):
        pytest.skip("no gradient written out")
    z = torch.rand(
        40, *problem.distribution.event_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    z.requires_grad_()
    value = problem.objective.value(problem.inputs(z))  # f itself detaches what it returns
    (expected,) = torch.autograd.grad(value.sum(), z)
    torch.testing.assert_close(problem.df(z.detach()), expected, rtol=1e-12, atol=1e-13)


@every
def test_expectations_of_f(problem: Problem) -> None:
    """E f equals the sum over all states, and the optimal baseline minimises the variance of (f − b) s."""
    z = problem.distribution.states()
    P, f, s = problem.distribution.log_prob(z).exp(), problem.f(z), problem.distribution.score(z)
    torch.testing.assert_close(problem.mean_f, P @ f, rtol=1e-12, atol=1e-14)

    def variance(b: torch.Tensor) -> float:
        second: torch.Tensor = problem.distribution.lift(P) * ((problem.distribution.lift(f) - b) * s) ** 2
        return float(second.sum())  # the mean does not move with b

    b = problem.optimal_baseline
    for d in range(problem.D):
        for step in (-1e-3, 1e-3):
            moved = b.clone()
            moved[d] += step
            assert variance(moved) > variance(b)


@every
def test_tied_variables_share_their_gradient(problem: Problem) -> None:
    """With `tie` the gradient is the sum over variables, of length 1 or K."""
    if problem.tie:
        own = replace(problem, tie=False, evaluations=problem.evaluations).exact_gradient
        true = problem.exact_gradient
        assert own is not None
        assert true is not None
        torch.testing.assert_close(true, own.view(problem.D, -1).sum(0))


def test_two_classes_are_a_bernoulli_variable() -> None:
    """Objectives on ordinal values have the same expectation and gradient at K = 2, logits (0, φ), as at φ."""
    phi = LOGITS["bernoulli"]
    for name in ("quadratic", "power", "linear", "sine", "product", "mlp"):
        objective = catalogue.build(catalogue.objective_class(name), {})
        one = make(objective, phi)
        two = make(objective, torch.stack((torch.zeros_like(phi), phi), -1))
        assert one.exact_gradient is not None
        assert two.exact_gradient is not None
        torch.testing.assert_close(two.mean_f, one.mean_f)
        torch.testing.assert_close(two.exact_gradient.view(-1, 2)[:, 1], one.exact_gradient)


def test_a_published_example() -> None:
    """Three Bernoulli variables sharing one logit (Liu et al. 2019; Kool et al. 2020): −.0450 at 0, −.003179 at −4."""

    class Distance:
        on = "values"
        distributions = frozenset({"bernoulli"})

        def value(self, v: torch.Tensor) -> torch.Tensor:
            squares: torch.Tensor = ((v - v.new_tensor([0.6, 0.51, 0.48])) ** 2).sum(-1)
            return squares

    for logit, expected in ((0.0, -0.0450), (-4.0, -0.003179)):
        problem = make(Distance(), torch.full((3,), logit, dtype=torch.float64), tie=True)  # type: ignore[arg-type] # `on` is a Literal
        assert problem.exact_gradient is not None
        assert float(problem.exact_gradient) == pytest.approx(expected, abs=5e-7)


def test_too_many_states_leave_no_gradient() -> None:
    """Where there is no closed form and more than 2^20 states, the exact gradient is unknown, not 0."""
    problem = make(catalogue.build(catalogue.objective_class("mlp"), {}), torch.zeros(21, dtype=torch.float64))
    assert problem.exact_gradient is None
    assert problem.route == "none"


def test_coefficients_of_the_wrong_size_are_refused() -> None:
    """A or b, or weights, that do not fit the variables are refused with what would fit."""
    form = catalogue.build(catalogue.objective_class("quadratic_form"), {"A": [[1.0]], "b": [1.0]})
    with pytest.raises(UsageError, match="give A as 3 rows of 3"):
        make(form, LOGITS["bernoulli"]).f(torch.zeros(1, 3, dtype=torch.float64))
    linear = catalogue.build(catalogue.objective_class("linear"), {"weights": [1.0]})
    with pytest.raises(UsageError, match="1 weights for 3 variables"):
        make(linear, LOGITS["bernoulli"]).f(torch.zeros(1, 3, dtype=torch.float64))


def test_a_named_function_of_one_hot_samples_serves_no_bernoulli_variables() -> None:
    """`on: one-hot` is refused where samples are not one-hot, and is the sample itself where they are."""
    kind: Any = named_function.class_of(lambda z: z.flatten(1).sum(-1))
    named = kind(on="one-hot")
    assert named.for_distribution(Categorical([[0.0, 1.0]])).on == "one-hot"
    with pytest.raises(UsageError, match="bernoulli variables are not one-hot"):
        named.for_distribution(Bernoulli([0.5, -1.0]))


def test_extreme_logits_keep_the_gradient_right() -> None:
    """At logits ±30 closed form and enumeration have relative precision, though p and 1 − p are 10^13 apart."""
    for name in ("quadratic", "power"):
        problem = make(
            catalogue.build(catalogue.objective_class(name), {}), torch.tensor([30.0, -30.0], dtype=torch.float64)
        )
        p = np.exp(-30.0) / (1 + np.exp(-30.0))
        f = np.abs(np.array([0.0, 1.0]) - 0.45) ** (2 if name == "quadratic" else 3)
        assert problem.exact_gradient is not None
        np.testing.assert_allclose(problem.exact_gradient, p * (1 - p) * (f[1] - f[0]), rtol=1e-9)
        np.testing.assert_allclose(problem.by_enumeration(), problem.exact_gradient, rtol=1e-9)
