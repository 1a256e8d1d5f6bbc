"""Units that look at ∇f off the vertices: stochastic times smooth, random scaling, additive, multiplicative noise."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch import Tensor

from estbench.draws import MAIN, Draw
from estbench.estimate import truth
from estbench.estimators.base import Estimator, Referenced, RowEstimator, evaluations
from estbench.estimators.shared.noisy_unit import MAX_VARIABLES
from estbench.estimators.straight_through.bengio_sts import BengioSts
from estbench.estimators.straight_through.noise_additive import NoiseAdditive
from estbench.estimators.straight_through.noise_multiplicative import NoiseMultiplicative
from estbench.estimators.straight_through.random_scaling import RandomScaling
from estbench.moments import Floats
from estbench.objectives.base import Objective
from estbench.objectives.linear import Linear
from estbench.objectives.mlp import Mlp
from estbench.objectives.power import Power
from estbench.objectives.quadratic import Quadratic
from estbench.objectives.sine import Sine
from estbench.problem import Problem
from estbench.streams import Streams
from tests.estimators.decimals import gradient
from tests.estimators.states import Wave, mean_and_variance, problems, samples, states, values, wave_slope
from tests.problems import make

LOGITS = (0.7, -1.2, 0.3)
BIASED: list[RowEstimator] = [BengioSts(), RandomScaling(joint=True), NoiseAdditive(), NoiseMultiplicative()]
UNITS = [RandomScaling(), *BIASED]


def sigmoid(x: float) -> float:
    """1/(1 + e^−x)."""
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


def one(phi: float, shift: float = 0.0) -> Problem:
    """`Wave` of one Bernoulli variable."""
    return make(Wave(shift), torch.tensor([phi], dtype=torch.float64))


def slope(x: float) -> float:
    """f′ of `Wave` in one variable."""
    return float(wave_slope(np.array([x]))[0])


# One row at a time


def sts(u: Floats, p: Floats, z: Floats) -> Floats:
    """h_i = b_i √p_i; ∂f/∂h_i b_i ½ √p_i q_i."""
    del z
    b = (u < np.sqrt(p)).astype(float)
    rows: Floats = wave_slope(b * np.sqrt(p)) * b * np.sqrt(p) * (1 - p) / 2
    return rows


def one_at_a_time(u: Floats, p: Floats, z: Floats) -> Floats:
    """p_i q_i ∂f/∂z_i with z_i alone at u_i."""
    found = []
    for i in range(len(z)):
        moved = z.copy()
        moved[i] = u[i]
        found.append(p[i] * (1 - p[i]) * wave_slope(moved)[i])
    return np.array(found)


def all_at_once(u: Floats, p: Floats, z: Floats) -> Floats:
    """p_i q_i ∂f/∂z_i at u."""
    del z
    g: Floats = wave_slope(u)
    return p * (1 - p) * g


def additive(u: Floats, p: Floats, z: Floats) -> Floats:
    """∂f/∂h_i at h = max(0, x) where x_i > 0, x = φ − logit(u)."""
    del z
    x = np.log(p / (1 - p)) - np.log(u / (1 - u))
    return wave_slope(np.maximum(x, 0)) * (x > 0)


def multiplicative(u: Floats, p: Floats, z: Floats) -> Floats:
    """∂f/∂h_i m_i p_i q_i at h = m p, m = −log u."""
    del z
    m = -np.log(u)
    return wave_slope(m * p) * m * p * (1 - p)


BY_HAND: list[tuple[RowEstimator, str, Callable[[Floats, Floats, Floats], Floats]]] = [
    (BengioSts(), MAIN, sts),
    (RandomScaling(), "random_scaling/u", one_at_a_time),
    (RandomScaling(joint=True), "random_scaling/u", all_at_once),
    (NoiseAdditive(), MAIN, additive),
    (NoiseMultiplicative(), MAIN, multiplicative),
]


@pytest.mark.parametrize(("estimator", "stream", "formula"), BY_HAND, ids=lambda a: getattr(a, "__name__", str(a)))
def test_every_draw_gives_what_the_paper_writes(
    estimator: RowEstimator, stream: str, formula: Callable[[Floats, Floats, Floats], Floats]
) -> None:
    """Row by row from the same uniforms, on three coupled variables."""
    problem = make(Wave(), torch.tensor(LOGITS, dtype=torch.float64))
    draw = Draw(problem, 40, 2, streams=Streams(5, "units", range(1)))
    rows = estimator.rows(draw).numpy().reshape(-1, 3)
    u = draw.uniform(stream, 3).numpy().reshape(-1, 3)
    p = np.array([sigmoid(phi) for phi in LOGITS])
    expected = [formula(*row) for row in zip(u, [p] * len(u), draw.z.numpy().reshape(-1, 3), strict=True)]
    np.testing.assert_allclose(rows, expected, rtol=1e-10, atol=1e-13)
    assert estimator.facts.noise == (stream,)


@pytest.mark.parametrize("estimator", UNITS, ids=repr)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_finite_at_logits_of_thirty(estimator: RowEstimator, dtype: torch.dtype) -> None:
    """No 1 − p by subtraction, no logarithm of 0."""
    problem = make(Sine(), torch.tensor([30.0, -30.0, 30.0], dtype=dtype))
    rows = estimator.rows(Draw(problem, 200, 2, streams=Streams(5, "units", range(1))))
    assert rows.dtype == dtype
    assert rows.isfinite().all()
    assert (rows[..., 0] != 0).any()


@pytest.mark.parametrize("estimator", UNITS, ids=repr)
def test_counted_cost_is_declared_cost(estimator: RowEstimator) -> None:
    """∇f once, or once for each variable; f never."""
    problem = problems()["B3"]
    estimator.rows(Draw(problem, 5, 2, streams=Streams(0, "cost", range(1))))
    assert problem.evaluations.f == 0
    assert problem.evaluations.df == 5 * evaluations(estimator.facts.df, 3, 2, 2)
    assert estimator.facts.evaluates_relaxed
    assert estimator.facts.distributions == frozenset({"bernoulli"})


# Stochastic times smooth


@pytest.mark.parametrize("phi", [-2.0, 0.0, 0.7, 3.0])
def test_the_mean_of_stochastic_times_smooth(phi: float) -> None:
    """½ p q f′(√p) at D = 1, variance that of a Bernoulli(√p); half of the truth on linear f."""
    p, r = sigmoid(phi), math.sqrt(sigmoid(phi))
    mean, variance = mean_and_variance(one(phi), BengioSts())
    assert mean[0] == pytest.approx(p * (1 - p) * slope(r) / 2, rel=1e-12)
    size = r * (1 - p) * slope(r) / 2
    assert variance == pytest.approx(size**2 * r * (1 - r), rel=1e-10)
    straight = make(Linear(weights=(1.7,)), torch.tensor([phi], dtype=torch.float64))
    assert mean_and_variance(straight, BengioSts())[0][0] == pytest.approx(1.7 * p * (1 - p) / 2, rel=1e-12)


# Random scaling


def over_uniforms(problem: Problem, estimator: RowEstimator, n: int = 24) -> Floats:
    """The mean over all states and a Gauss-Legendre grid of the uniforms, [D]."""
    D = problem.D
    node, weight = np.polynomial.legendre.leggauss(n)
    grid = np.array(list(itertools.product((node + 1) / 2, repeat=D)))
    w = np.array(list(itertools.product(weight / 2, repeat=D))).prod(1)
    total = np.zeros(D)
    for (_, P), z in zip(states(problem), samples(problem)[:, 0], strict=True):
        u = torch.from_numpy(grid).unsqueeze(1)
        draw = Draw(problem, len(grid), 1, z=z.expand(u.shape), noise={"random_scaling/u": u})
        total += P * (w @ estimator.rows(draw)[:, 0].numpy())
    return total


def assert_integrates(problem: Problem, estimator: RowEstimator) -> None:
    """The mean over states and uniforms is the gradient, to 1e-10."""
    truth = gradient(problem, values(problem))
    np.testing.assert_allclose(over_uniforms(problem, estimator), truth, rtol=0, atol=1e-10)


@pytest.mark.parametrize("logits", [(0.7,), (0.7, -1.2)])
def test_random_scaling_one_at_a_time_is_unbiased(logits: tuple[float, ...]) -> None:
    """∫ f′ over an edge is the jump of f along it, the other variables held."""
    assert_integrates(make(Wave(), torch.tensor(logits, dtype=torch.float64)), RandomScaling())


def test_random_scaling_all_at_once_is_biased_for_coupled_f_alone() -> None:
    """The check that the right one passes refuses it, but on a sum over the variables it is unbiased."""
    logits = torch.tensor([0.7, -1.2], dtype=torch.float64)
    with pytest.raises(AssertionError):
        assert_integrates(make(Wave(), logits), RandomScaling(joint=True))
    separable = make(Quadratic(target=0.3), logits)
    assert separable.exact_gradient is not None
    found = over_uniforms(separable, RandomScaling(joint=True))
    np.testing.assert_allclose(found, separable.exact_gradient, atol=1e-12)
    assert RandomScaling().facts.unbiased
    assert not RandomScaling(joint=True).facts.unbiased


class ScalingOfAll:
    """Wrong on purpose: variable i is differentiated with all variables moved, under the name of one at a time."""

    facts = RandomScaling().facts

    def rows(self, draw: Draw) -> Tensor:
        """The joint form."""
        return RandomScaling(joint=True).rows(draw)


def test_moving_all_variables_under_the_name_of_one_is_caught() -> None:
    """On two coupled variables."""
    with pytest.raises(AssertionError):
        assert_integrates(make(Wave(), torch.tensor([0.7, -1.2], dtype=torch.float64)), ScalingOfAll())


@pytest.mark.parametrize("joint", [False, True])
def test_exact_moments_of_random_scaling(joint: bool) -> None:
    """D = 1: mean pq (f(1) − f(0)), variance (pq)² Var f′(u); none on linear f."""
    phi = 0.7
    p = sigmoid(phi)
    f0, f1 = values(one(phi))
    mean, variance = mean_and_variance(one(phi), RandomScaling(joint=joint))
    assert mean[0] == pytest.approx(p * (1 - p) * (f1 - f0), rel=1e-12)
    spread = quad(lambda u: (slope(u) - (f1 - f0)) ** 2, 0, 1, epsabs=1e-13)[0]
    assert variance == pytest.approx((p * (1 - p)) ** 2 * spread, rel=1e-9)
    straight = make(Linear(weights=(1.7,)), torch.tensor([phi], dtype=torch.float64))
    assert mean_and_variance(straight, RandomScaling(joint=joint))[1] < 1e-30


# Additive and multiplicative noise: unbiased for the gradient of their own E f(h)


def expected_f(estimator: Estimator, problem: Problem) -> Callable[[float], float]:
    """E f(h) as a function of φ, by adaptive quadrature over the density of h."""

    def f(y: float) -> float:
        return float(problem.objective.value(torch.tensor([y], dtype=torch.float64)))

    def noisy_rectifier(phi: float) -> float:
        pieces = [0, max(phi, 0.0) + 2, max(phi, 0.0) + 60]
        density = [
            quad(lambda y: f(y) * sigmoid(y - phi) * sigmoid(phi - y), a, b, epsabs=1e-13, epsrel=1e-13, limit=400)[0]
            for a, b in itertools.pairwise(pieces)
        ]
        return sigmoid(-phi) * f(0.0) + sum(density)

    def scaled(phi: float) -> float:
        pieces = [0.0, 2.0, 60.0]
        return sum(
            quad(lambda m: math.exp(-m) * f(m * sigmoid(phi)), a, b, epsabs=1e-13, epsrel=1e-13, limit=400)[0]
            for a, b in itertools.pairwise(pieces)
        )

    return noisy_rectifier if isinstance(estimator, NoiseAdditive) else scaled


@pytest.mark.parametrize("phi", [-2.0, 0.7, 4.0])
@pytest.mark.parametrize("estimator", [NoiseAdditive(), NoiseMultiplicative()], ids=repr)
def test_the_reference_is_the_derivative_of_e_f_of_h(estimator: Referenced, phi: float) -> None:
    """Against a central difference of E f(h) by adaptive quadrature, of order h⁴ (h = .01: error below 1e-7)."""
    problem = make(Sine(), torch.tensor([phi], dtype=torch.float64))
    E, h = expected_f(estimator, problem), 0.01
    difference = (8 * (E(phi + h) - E(phi - h)) - (E(phi + 2 * h) - E(phi - 2 * h))) / (12 * h)
    assert estimator.reference(problem).item() == pytest.approx(difference, abs=1e-7)


@pytest.mark.parametrize("phi", [-30.0, -2.0, 0.0, 3.0, 30.0])
def test_references_of_a_quadratic_in_closed_form(phi: float) -> None:
    """(h − t)²: additive 2 softplus(φ) − 2tp, multiplicative pq (4p − 2t)."""
    t, p, q = 0.45, sigmoid(phi), sigmoid(-phi)
    problem = make(Quadratic(target=t), torch.tensor([phi], dtype=torch.float64))
    softplus = max(phi, 0.0) + math.log1p(math.exp(-abs(phi)))
    assert NoiseAdditive().reference(problem).item() == pytest.approx(2 * softplus - 2 * t * p, rel=1e-11)
    # At φ = −30 f(h) differs from f(0) in its 13th digit.
    found = NoiseMultiplicative().reference(problem).item()
    assert found == pytest.approx(p * q * (4 * p - 2 * t), rel=1e-11 if phi > -30 else 1e-4)


class Constant:
    """f = 10⁶."""

    on: ClassVar[Literal["values"]] = "values"
    distributions: ClassVar[frozenset[str]] = frozenset({"bernoulli"})

    def value(self, v: Tensor) -> Tensor:
        """10⁶."""
        return torch.full_like(v[..., 0], 1e6)


def test_the_reference_of_a_constant_is_zero_to_the_last_bit() -> None:
    """Scores have mean 0 up to rounding alone; f less f(0) has it exactly."""
    for estimator in (NoiseAdditive(), NoiseMultiplicative()):
        for D in (1, 2, 3):
            problem = make(Constant(), torch.linspace(-1, 2, D, dtype=torch.float64))
            assert estimator.reference(problem).tolist() == [0.0] * D


@pytest.mark.parametrize("objective", [Mlp(), Sine(), Quadratic()], ids=lambda o: type(o).__name__)
def test_a_reference_next_to_zero_keeps_its_digits(objective: Objective) -> None:
    """At φ = −30 noise moves h by 1e-13, and ∇ E f(h) is p f′(0)."""
    problem = make(objective, torch.tensor([-30.0], dtype=torch.float64))
    expected = sigmoid(-30) * problem.df(torch.zeros(1, 1, dtype=torch.float64)).item()
    assert NoiseMultiplicative().reference(problem).item() == pytest.approx(expected, rel=2e-4)


@pytest.mark.parametrize("phi", [-2.0, 0.7, 4.0])
@pytest.mark.parametrize("estimator", [NoiseAdditive(), NoiseMultiplicative()], ids=repr)
def test_the_exact_mean_is_the_reference(estimator: Estimator, phi: float) -> None:
    """Its rows, from ∇f, integrate to what is found from values of f alone."""
    for objective in (Sine(), Wave(), Quadratic()):
        problem = make(objective, torch.tensor([phi], dtype=torch.float64))
        reference = truth(problem, estimator)
        assert reference is not None
        np.testing.assert_allclose(mean_and_variance(problem, estimator)[0], reference, rtol=1e-9)


@pytest.mark.parametrize("estimator", [NoiseAdditive(), NoiseMultiplicative()], ids=repr)
def test_several_variables_are_integrated_together(estimator: Referenced) -> None:
    """A sum over variables has the references of its parts; a coupled f at a variable that hardly varies, of fewer."""
    three = make(Power(exponent=3), torch.tensor(LOGITS, dtype=torch.float64))
    parts = [make(Power(exponent=3), torch.tensor([phi], dtype=torch.float64)) for phi in LOGITS]
    alone = torch.cat([estimator.reference(part) for part in parts])
    np.testing.assert_allclose(estimator.reference(three), alone, rtol=1e-6)
    pair, still = (make(Sine(), torch.tensor(t, dtype=torch.float64)) for t in ([0.7, -1.2], [0.7, -1.2, -30.0]))
    np.testing.assert_allclose(estimator.reference(still)[:2], estimator.reference(pair), rtol=1e-6)
    assert estimator.facts.max_variables == MAX_VARIABLES == 3


@pytest.mark.parametrize("objective", [Sine(), Wave()], ids=repr)
@pytest.mark.parametrize("estimator", [NoiseAdditive(), NoiseMultiplicative()], ids=repr)
def test_the_mean_of_coupled_units_is_their_reference(estimator: RowEstimator, objective: Objective) -> None:
    """Two variables, their rows integrated over both uniforms by the trapezoid rule in logit(u/p): to 1e-8."""
    logits = (0.7, -1.2)
    problem = make(objective, torch.tensor(logits, dtype=torch.float64))
    y = np.arange(-36, 36.1, 0.3)
    t, weight = 1 / (1 + np.exp(-y)), 0.3 / (np.exp(y / 2) + np.exp(-y / 2)) ** 2
    axes, weights = [], []
    for phi in logits:
        p = sigmoid(phi) if isinstance(estimator, NoiseAdditive) else 1.0  # above p the rectifier is at rest
        axes.append(np.append(p * t, (1 + p) / 2 if p < 1 else 0.5))
        weights.append(np.append(p * weight, 1 - p))
    u = torch.from_numpy(np.array(list(itertools.product(*axes)))).unsqueeze(1).clamp(max=1 - 2**-53)
    w = np.array(list(itertools.product(*weights))).prod(1)
    mean = w @ estimator.rows(Draw(problem, len(u), 1, noise={MAIN: u}))[:, 0].numpy()
    assert isinstance(estimator, Referenced)
    np.testing.assert_allclose(mean, estimator.reference(problem), rtol=1e-8)


def test_a_shared_logit_has_the_summed_reference() -> None:
    """With `tie` the reference is the sum over the variables."""
    logits = torch.tensor([0.4, 0.4], dtype=torch.float64)
    free, tied = (make(Sine(), logits, tie=tie) for tie in (False, True))
    for estimator in (NoiseAdditive(), NoiseMultiplicative()):
        assert estimator.reference(tied).item() == pytest.approx(float(estimator.reference(free).sum()), rel=1e-12)


@pytest.mark.parametrize("estimator", UNITS, ids=repr)
def test_a_constant_added_to_f_changes_no_bit(estimator: RowEstimator) -> None:
    """They look at ∇f alone; and so do the references, to rounding."""
    plain, moved = (make(Wave(c), torch.tensor(LOGITS[:2], dtype=torch.float64)) for c in (0.0, 2.5))
    rows = [estimator.rows(Draw(p, 20, 1, streams=Streams(2, "shift", range(1)))) for p in (plain, moved)]
    assert torch.equal(*rows)
    if isinstance(estimator, Referenced):
        np.testing.assert_allclose(estimator.reference(plain), estimator.reference(moved), atol=1e-12)


@pytest.mark.parametrize("estimator", BIASED, ids=repr)
def test_what_is_said_to_be_biased_is_biased(estimator: RowEstimator) -> None:
    """Against ∇ E f(z), by more than 5 standard errors and a tenth of the gradient, from 20 000 draws."""
    problem = problems()["B3"]
    rows = estimator.rows(Draw(problem, 20_000, 1, streams=Streams(11, "biased", range(1))))[:, 0].numpy()
    away = np.abs(rows.mean(0) - gradient(problem, values(problem)))
    standard_error = rows.std(0, ddof=1) / math.sqrt(len(rows))
    assert ((away > 5 * standard_error) & (away > 0.1 * np.abs(gradient(problem, values(problem))))).any()
    assert not estimator.facts.unbiased
