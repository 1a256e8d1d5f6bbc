"""REBAR, RELAX and LAX against the papers' formulas: row by row and by quadrature; identities; public mistakes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from estbench.draws import Draw
from estbench.estimators.base import Estimator
from estbench.estimators.control_variate.lax import Lax
from estbench.estimators.control_variate.rebar import Rebar
from estbench.estimators.control_variate.relax import Relax
from estbench.estimators.score_function.reinforce import Reinforce
from estbench.estimators.shared.critic import Critic
from estbench.exact import exact
from estbench.problem import Problem
from estbench.streams import Streams
from tests.estimators.complex_steps import ByHand, Given, Network, critic, given, lax, of_formula, rebar, relax
from tests.estimators.noise import (
    ONE,
    ONE_OF_THREE,
    SEVERAL,
    Evaluate,
    Logits,
    by_quadrature,
    cells,
    of_estimator,
    rows,
)
from tests.estimators.states import Numbers, Wave, problem, truth
from tests.problems import make
from tests.sizes import slow

ONES: dict[str, Logits] = {**ONE, "two": [[0.3, -0.6]], **ONE_OF_THREE}
EVERY: dict[str, Logits] = {**ONES, **SEVERAL}


def network(P: int) -> Network:
    """W, b and a of two hidden units."""
    rng = np.random.default_rng(5)
    return 0.5 * rng.normal(size=(2, P)), rng.normal(size=2), rng.normal(size=2)


def numbers(net: Network, eta: float) -> tuple[float, ...]:
    """The network as the fitted field of an estimator."""
    return tuple(np.concatenate([*(t.ravel() for t in net), [eta]]).tolist())


def pairs(P: int) -> dict[str, tuple[Estimator, ByHand]]:
    """Estimators, and the formula of each in numpy; every option at two values."""
    net = network(P)
    return {
        "rebar": (Rebar(temperature=0.6, eta=0.8), rebar(0.6, 0.8)),
        "rebar cold": (Rebar(temperature=0.3, eta=-0.4), rebar(0.3, -0.4)),
        "rebar unfitted": (Rebar(), rebar(0.5, 1.0)),
        "rebar fitted": (Rebar(temperature=0.6, fitted=(0.6, 1.3)), rebar(0.6, 1.3)),
        "rebar tuned": (Rebar(temperature=0.9, tune_temperature=True, fitted=(0.6, 1.3)), rebar(0.6, 1.3)),
        "relax": (Relax(temperature=0.6, fitted=numbers(net, 0.7)), relax(0.6, 0.7, net)),
        "relax of a network alone": (Relax(eta=0.0, fitted=numbers(net, 0.0)), relax(1.0, 0.0, net)),
        "lax": (Lax(fitted=numbers(net, 0.0)), lax(net)),
    }


CASES = tuple(pairs(1))


def monte_carlo(of: Problem, replicates: int = 60) -> Draw:
    """A draw of one sample."""
    return Draw(of, replicates, 1, streams=Streams(7, "rows", range(1)))


@pytest.mark.parametrize("where", EVERY)
@pytest.mark.parametrize("case", CASES)
def test_rows(case: str, where: str) -> None:
    """Row by row the estimate is the paper's formula, its gradients taken by complex steps."""
    of = problem(EVERY[where])
    estimator, formula = pairs(of.parameters)[case]
    draw = monte_carlo(of)
    np.testing.assert_allclose(rows(estimator, draw), formula(given(draw)), rtol=1e-10, atol=1e-12)


def bias(evaluate: Evaluate, of: Problem, scale: bool = False) -> float:
    """The largest |E ĝ − g|, by quadrature of both noises in each state."""
    mean, _ = by_quadrature(evaluate, cells(of, scale))
    return float(np.abs(mean - truth(of)).max())


@pytest.mark.parametrize("where", [*ONES, slow("B2")])
@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("rebar")])
def test_rebar_is_unbiased(case: str, where: str) -> None:
    """REBAR's mean is the exact gradient at any τ and η, for one variable and for two coupled ones."""
    of = problem(EVERY[where])
    assert bias(of_estimator(pairs(1)[case][0], of), of) < 1e-10


THREE = [pytest.param(where, marks=[pytest.mark.slow] * (where == "three")) for where in ONES]
"""A critic of three classes is slow, but for its exact moments."""


@pytest.mark.parametrize("where", [*THREE, "B2"])
@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("rebar")])
def test_a_critic_is_unbiased(case: str, where: str) -> None:
    """The mean of RELAX and LAX is the exact gradient for a critic of any numbers; 1e-8 is what the nodes reach."""
    of = problem(EVERY[where])
    estimator = pairs(of.parameters)[case][0]
    assert bias(of_estimator(estimator, of), of, scale=of.distribution.name == "categorical") < 1e-8


EXACT = [case for case in CASES if pairs(1)[case][0].facts.exact != "none"]


@pytest.mark.parametrize(
    ("case", "where"),
    [
        slow((case, where)) if where == "three" and case != "rebar fitted" else (case, where)
        for case in EXACT
        for where in ONES
    ],
)
def test_exact_moments(case: str, where: str) -> None:
    """Exact moments, where there are any, are those found here by other nodes: to 1e-7, which these reach."""
    of = problem(EVERY[where])
    estimator, _ = pairs(of.parameters)[case]
    mean, variance = by_quadrature(of_estimator(estimator, of), cells(of, scale=estimator.facts.depends_on_noise_scale))
    found = exact(of, estimator, 1)
    np.testing.assert_allclose(found.mean, truth(of), atol=1e-10)
    np.testing.assert_allclose(mean, truth(of), atol=1e-8)
    np.testing.assert_allclose(found.variance, variance, rtol=1e-7)


@pytest.mark.parametrize("where", ONE)
@pytest.mark.parametrize("case", CASES)
def test_variance(case: str, where: str) -> None:
    """The variance of the estimator is that of the formula, integrated at the same nodes."""
    of = problem(EVERY[where])
    estimator, formula = pairs(of.parameters)[case]
    _, variance = by_quadrature(of_estimator(estimator, of), cells(of))
    np.testing.assert_allclose(variance, by_quadrature(of_formula(formula, of), cells(of))[1], rtol=1e-9)


# Wrong on purpose: the same check must catch what public code gets wrong


class Unnormalised(Given):
    """x and x̃ from θ where log π belongs."""

    @property
    def log_pi(self) -> Numbers:
        """θ."""
        return self.theta

    @property
    def log_p(self) -> Numbers:
        """log P(z), which is right."""
        return (self.z * super().log_pi).sum((-2, -1))


class Unredrawn(Given):
    """x in the place of x̃."""

    @property
    def x_tilde(self) -> Numbers:
        """x."""
        return self.x


class Held(Given):
    """x̃ taken for a constant: no T at all."""

    @property
    def x_tilde(self) -> Numbers:
        """x̃ without its derivative."""
        return Given(self.theta.real, self.z, self.noise, self.redraw).x_tilde


class Shifted(Given):
    """dx̃/dlogits taken for that of x: T without its factors."""

    @property
    def x_tilde(self) -> Numbers:
        """x̃ with the derivative of log π or φ."""
        start = self.theta if self.bernoulli else self.log_pi
        return Given(self.theta.real, self.z, self.noise, self.redraw).x_tilde + 1j * start.imag


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        (Unnormalised, "three"),
        *((wrong, "high") for wrong in (Unredrawn, Held, Shifted)),
        *(slow((wrong, "three")) for wrong in (Unredrawn, Held, Shifted)),
    ],
)
def test_public_mistakes_are_caught(wrong: type[Given], where: str) -> None:
    """REBAR with a wrong x̃, or with a wrong derivative of it, is biased, and so is RELAX; the check says so."""
    of = problem(EVERY[where])
    assert bias(of_formula(rebar(0.6, 0.8), of), of) < 1e-10
    assert bias(of_formula(rebar(0.6, 0.8), of, wrong), of) > 1e-3
    if where == "high":
        assert bias(of_formula(relax(0.6, 0.8, network(1)), of, wrong), of) > 1e-3


def test_lax_without_its_path_is_caught() -> None:
    """LAX less ∇c(x) is biased, and the check says so."""
    of, net = problem(EVERY["high"]), network(1)

    def pathless(g: Given) -> Numbers:
        return lax(net)(g) - g.gradient(lambda g: critic(g.x, net))

    assert bias(of_formula(lax(net), of), of) < 1e-10
    assert bias(of_formula(pathless, of), of) > 1e-3


# Identities


@pytest.mark.parametrize("where", SEVERAL)
def test_identities(where: str) -> None:
    """REBAR at η = 0 is REINFORCE; RELAX unfitted is REBAR, and with a constant critic a constant baseline."""
    of = problem(SEVERAL[where])
    draw, P = monte_carlo(of), of.parameters

    def same(a: Estimator, b: Estimator) -> None:
        np.testing.assert_allclose(rows(a, draw), rows(b, draw), rtol=1e-13, atol=1e-13)

    same(Rebar(eta=0.0), Reinforce())
    same(Relax(temperature=0.7), Rebar(temperature=0.7))
    same(Relax(eta=0.3), Rebar(eta=0.3))
    constant = Relax(eta=0.0, fitted=(*[0.0] * P, 0.4, 1.5, 0.0))
    baseline = Reinforce(baseline="constant", value=1.5 * float(np.tanh(0.4)))
    same(constant, baseline)


def test_lax_without_a_critic() -> None:
    """Unfitted LAX of Bernoulli variables is f(z)(1 − 2u)."""
    draw = monte_carlo(problem(SEVERAL["B2"]))
    by_hand = draw.fz.unsqueeze(-1) * (1 - 2 * draw.noise())
    np.testing.assert_allclose(rows(Lax(), draw), by_hand[:, 0], rtol=1e-14)


def test_the_critic() -> None:
    """The critic is aᵀ tanh(W x + b), and its gradient is a complex step's, also where tanh is all but ±1."""
    net = network(3)
    W, b, a = (torch.from_numpy(t) for t in net)
    x = np.random.default_rng(1).normal(size=(40, 3)) * np.geomspace(0.1, 40, 40)[:, None]
    r, dr = Critic(W, b, a, torch.zeros(()))(torch.from_numpy(x).unsqueeze(1))
    np.testing.assert_allclose(r[:, 0], critic(x, net), rtol=1e-13, atol=1e-14)
    steps = np.stack([critic(x + 1e-30j * np.eye(3)[i], net).imag / 1e-30 for i in range(3)], -1)
    np.testing.assert_allclose(dr[:, 0], steps, rtol=1e-12, atol=1e-14)


def test_a_constant_in_f_is_taken_up() -> None:
    """A constant added to f moves REBAR's mean nowhere, and at η = 1 no draw but by rounding."""
    of = problem(SEVERAL["B2"])
    draw, moved = monte_carlo(of), monte_carlo(make(Wave(shift=2.5), of.distribution.logits))
    np.testing.assert_allclose(rows(Rebar(eta=1.0), draw), rows(Rebar(eta=1.0), moved), atol=1e-13)
    assert np.abs(rows(Rebar(eta=0.5), draw) - rows(Rebar(eta=0.5), moved)).max() > 0.1
