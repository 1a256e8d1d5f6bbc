"""Straight-through estimators against the papers' formulas, state by state, and the tables they were published with."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from decimal import Decimal
from typing import get_args

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.integrate import quad
from torch import Tensor

from estbench.distributions import Bernoulli
from estbench.draws import Draw
from estbench.estimators.base import Estimator, Facts, RowEstimator
from estbench.estimators.shared.proxies import FIXED, PROXIES, SCALED
from estbench.estimators.straight_through.darn import Darn
from estbench.estimators.straight_through.gapped_st import GappedSt
from estbench.estimators.straight_through.mve import Mve
from estbench.estimators.straight_through.reinmax import Reinmax
from estbench.estimators.straight_through.ste import Proxy, Ste
from estbench.estimators.straight_through.zgr import Zgr
from estbench.moments import Floats
from estbench.objectives.linear import Linear
from estbench.objectives.quadratic import Quadratic
from estbench.objectives.quadratic_form import QuadraticForm
from estbench.problem import Problem
from estbench.streams import Streams
from tests.estimators.decimals import (
    Matrix,
    OfOneVariable,
    Vector,
    by_hand,
    dot,
    gradient,
    jacobian,
    on_states,
    one_hot,
    probabilities,
    score,
    softmax,
    solve,
)
from tests.estimators.states import Wave, extreme, mean_and_variance, problems, samples, values, wave_slope
from tests.problems import make

NAMES = tuple(problems())
EXTREMES = tuple(extreme())

# The formulas, for one variable of logits θ with ∇f g at class k


def ste(slope: Decimal) -> OfOneVariable:
    """a J(softmax(aθ)) g."""
    return lambda theta, g, k: [slope * x for x in jacobian(softmax([slope * t for t in theta]), g)]  # noqa: ARG005


def identity(theta: Vector, g: Vector, k: int) -> Vector:
    """g − mean g."""
    del theta, k
    mean = sum(g, Decimal(0)) / len(g)
    return [x - mean for x in g]


def reinmax(tau: Decimal) -> OfOneVariable:
    """2 J((π_τ + e_k)/2) g − ½ J(π) g."""

    def formula(theta: Vector, g: Vector, k: int) -> Vector:
        flat = softmax([t / tau for t in theta])
        middle = [(p + z) / 2 for p, z in zip(flat, one_hot(k, len(g)), strict=True)]
        return [2 * a - b / 2 for a, b in zip(jacobian(middle, g), jacobian(softmax(theta), g), strict=True)]

    return formula


def zgr(theta: Vector, g: Vector, k: int) -> Vector:
    """½ [J(π) g + (g·s) s]."""
    s = score(theta, k)
    return [(a + dot(g, s) * b) / 2 for a, b in zip(jacobian(softmax(theta), g), s, strict=True)]


def darn(half: bool) -> OfOneVariable:
    """g·(e_k − c) s, c = 1/K or π."""

    def formula(theta: Vector, g: Vector, k: int) -> Vector:
        s, K = score(theta, k), len(g)
        centred = [z - Decimal(1) / K for z in one_hot(k, K)] if half else s
        return [dot(g, centred) * x for x in s]

    return formula


def gapped(tau: Decimal, gap: Decimal | None) -> OfOneVariable:
    """J(softmax(l/τ)) g/τ, l_k = max θ, l_i = min(θ_i, max θ − gap); gap None: −log(1 − π_k)/π_k."""

    def formula(theta: Vector, g: Vector, k: int) -> Vector:
        others, P = sum((p for i, p in enumerate(softmax(theta)) if i != k), Decimal(0)), softmax(theta)[k]
        top, least = max(theta), -others.ln() / P if gap is None else gap
        pushed = [top if i == k else min(t, top - least) for i, t in enumerate(theta)]
        return [x / tau for x in jacobian(softmax([t / tau for t in pushed]), g)]

    return formula


def covariance(pi: Vector) -> Matrix:
    """diag π − ππᵀ."""
    return [[p * ((i == j) - q) for j, q in enumerate(pi)] for i, p in enumerate(pi)]


def mve(t: Decimal) -> OfOneVariable:
    """S_xᵀ g with the rows of S_x and V as published, for finite t."""

    def formula(theta: Vector, g: Vector, x: int) -> Vector:
        pi, K = softmax(theta), len(g)
        J = covariance(pi)
        A = [[-t * pi[i] * pi[j] / (1 + t * (pi[i] + pi[j])) for j in range(K)] for i in range(K)]
        for i, p in enumerate(pi):
            A[i][i] = (1 + t * p) * sum(q / (1 + t * (p + q)) for q in pi) - t * p**2 / (1 + 2 * t * p)
        weighted = [[(1 + t * p) / (1 + 2 * t * p) * c for c in J[i]] for i, p in enumerate(pi)]
        V = solve(A, weighted)
        S = [
            [
                ((1 + t * pi[i]) * V[i][j] - t * pi[i] * V[x][j] + t * (i == x) * J[x][j]) / (1 + t * (pi[i] + pi[x]))
                for j in range(K)
            ]
            for i in range(K)
        ]
        return [dot(g, [row[j] for row in S]) for j in range(K)]

    return formula


def mve_without_bound(theta: Vector, g: Vector, x: int) -> Vector:
    """S_x = ½ [diag(1/(π + π_x)) (diag π − π e_xᵀ) L⁺ + e_x e_xᵀ/π_x] J, L the Laplacian of π_iπ_j/(π_i + π_j)."""
    pi, K = softmax(theta), len(g)
    W = [[pi[i] * pi[j] / (pi[i] + pi[j]) if i != j else Decimal(0) for j in range(K)] for i in range(K)]
    uniform = Decimal(1) / K
    L = [[(sum(W[i]) if i == j else Decimal(0)) - W[i][j] + uniform for j in range(K)] for i in range(K)]
    pseudo = [[c - uniform for c in row] for row in solve(L, [one_hot(i, K) for i in range(K)])]
    inner = [[pi[i] * (pseudo[i][j] - pseudo[x][j]) / (pi[i] + pi[x]) for j in range(K)] for i in range(K)]
    inner[x][x] += 1 / pi[x]
    J = covariance(pi)
    S = [[dot(inner[i], [row[j] for row in J]) / 2 for j in range(K)] for i in range(K)]
    return [dot(g, [row[j] for row in S]) for j in range(K)]


FORMULAS: dict[str, tuple[RowEstimator, OfOneVariable]] = {
    "ste": (Ste(), ste(Decimal(1))),
    "ste softmax": (Ste(proxy="softmax"), ste(Decimal(1))),
    "ste slope 3": (Ste(slope=3), ste(Decimal(3))),
    "ste slope .5": (Ste(slope=0.5), ste(Decimal("0.5"))),
    "reinmax": (Reinmax(), reinmax(Decimal(1))),
    "reinmax 2": (Reinmax(temperature=2), reinmax(Decimal(2))),
    "reinmax 1.25": (Reinmax(temperature=1.25), reinmax(Decimal("1.25"))),
    "zgr": (Zgr(), zgr),
    "darn half": (Darn(), darn(half=True)),
    "darn mean": (Darn(centre="mean"), darn(half=False)),
    "gapped": (GappedSt(), gapped(Decimal(1), Decimal(1))),
    "gapped .5, 2": (GappedSt(temperature=0.5, gap=2), gapped(Decimal("0.5"), Decimal(2))),
    "gapped p": (GappedSt(gap="p"), gapped(Decimal(1), None)),
    "gapped p 2": (GappedSt(temperature=2, gap="p"), gapped(Decimal(2), None)),
    "mve 0": (Mve(t=0), mve(Decimal(0))),
    "mve 1": (Mve(), mve(Decimal(1))),
    "mve 40": (Mve(t=40), mve(Decimal(40))),
    "mve 1e6": (Mve(t=1e6), mve(Decimal(10**6))),
    "mve inf": (Mve(t=math.inf), mve_without_bound),
}


def states_rows(problem: Problem, estimator: RowEstimator) -> Floats:
    """The estimate at every joint state, [states, D(, K)]."""
    rows: Floats = estimator.rows(on_states(problem))[:, 0].numpy()
    return rows


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", FORMULAS)
def test_every_state_gives_what_the_paper_writes(method: str, name: str) -> None:
    """In 250 digits, with Bernoulli as two classes with logits (0, φ); so are mean and variance, exactly."""
    problem, (estimator, formula) = problems()[name], FORMULAS[method]
    expected, P = by_hand(problem, formula), probabilities(problem)
    np.testing.assert_allclose(states_rows(problem, estimator), expected, rtol=1e-10, atol=1e-13)
    mean, variance = mean_and_variance(problem, estimator)
    np.testing.assert_allclose(mean, np.tensordot(P, expected, 1).ravel(), rtol=1e-10, atol=1e-12)
    spread = ((expected - np.tensordot(P, expected, 1)) ** 2).reshape(len(P), -1).sum(1)
    assert variance == pytest.approx(P @ spread, rel=1e-9)


@pytest.mark.parametrize("name", EXTREMES)
@pytest.mark.parametrize("method", FORMULAS)
def test_no_digit_is_lost_at_logits_of_thirty(method: str, name: str) -> None:
    """Where π is almost one-hot every number is right to 1e-9 of itself, and finite in float32."""
    problem, (estimator, formula) = extreme()[name], FORMULAS[method]
    expected = by_hand(problem, formula)
    np.testing.assert_allclose(states_rows(problem, estimator), expected, rtol=1e-9, atol=0)
    single = make(Wave(), problem.distribution.logits.float())
    rows = estimator.rows(on_states(single))
    assert rows.dtype == torch.float32
    assert rows.isfinite().all()


def test_identity_passes_the_derivative_through() -> None:
    """Bernoulli f′; categorical g − mean_k g, which at K = 2 and logits (0, φ) is half of the Bernoulli one."""
    estimator = Ste(proxy="identity")
    for name in ("C1x3", "C2x4"):
        np.testing.assert_allclose(
            states_rows(problems()[name], estimator), by_hand(problems()[name], identity), rtol=1e-12
        )
    problem = problems()["B3"]
    expected = [wave_slope(z.numpy()) for z in samples(problem)[:, 0]]
    np.testing.assert_allclose(states_rows(problem, estimator), expected, rtol=1e-12)
    bernoulli, categorical = two_ways(0.7)
    mean, twin = (mean_and_variance(p, estimator)[0] for p in (bernoulli, categorical))
    np.testing.assert_allclose(twin, [-mean[0] / 2, mean[0] / 2], rtol=1e-12)


# Proxies


def test_every_proxy_has_its_function() -> None:
    """The choices of the option are the functions plus the three that need none."""
    assert set(get_args(Proxy)) == PROXIES | {"sigmoid", "softmax", "identity"}
    assert set(AT_POINTS) == PROXIES
    with pytest.raises(ValidationError):
        Ste(proxy="relu6")  # type: ignore[arg-type] # wrong on purpose


AT_POINTS: dict[str, Callable[[float], float]] = {
    "hard_sigmoid": lambda x: 0.5 if -1 <= x <= 1 else 0.0,
    "relu": lambda x: 1.0 if x > 0 else 0.0,
    "clipped_relu": lambda x: 1.0 if 0 < x < 1 else 0.0,
    "hardtanh": lambda x: 1.0 if -1 <= x <= 1 else 0.0,
    "approx_sign": lambda x: 2 - 2 * abs(x) if abs(x) <= 1 else 0.0,
    "swish_sign": lambda x: 5 * (2 - 5 * x * math.tanh(2.5 * x)) / (1 + math.cosh(5 * x)),
    "fast_sigmoid": lambda x: 1 / (1 + 25 * abs(x)) ** 2,
    "steep_sigmoid": lambda x: 25 / (math.exp(12.5 * x) + math.exp(-12.5 * x)) ** 2,
    "atan": lambda x: 1 / (1 + (math.pi * x) ** 2),
    "piecewise_quadratic": lambda x: max(0.0, 1 - abs(x)),
    "piecewise_exponential": lambda x: 0.5 * math.exp(-abs(x)),
}
POINTS = (-3.0, -1.0, -0.4, 0.0, 0.1, 0.7, 1.0, 2.0)


@pytest.mark.parametrize("proxy", sorted(PROXIES))
def test_a_proxy_multiplies_the_derivative(proxy: str) -> None:
    """ψ(φ) f′(z) of every variable, at either side of every corner."""
    problem = make(Wave(), torch.tensor(POINTS, dtype=torch.float64))
    draw = Draw(problem, 3, 2, streams=Streams(0, "proxy", range(1)))
    psi = np.array([AT_POINTS[proxy](x) for x in POINTS])
    rows = Ste(proxy=proxy).rows(draw).numpy()  # type: ignore[arg-type] # a name as data
    slopes = np.array([[wave_slope(z) for z in pair] for pair in draw.z.numpy()])
    np.testing.assert_allclose(rows, psi * slopes, rtol=1e-11, atol=1e-15)
    assert Ste(proxy=proxy).facts.distributions == frozenset({"bernoulli"})  # type: ignore[arg-type] # a name as data


MASSES = dict.fromkeys(PROXIES, 1.0) | {"hardtanh": 2.0, "approx_sign": 2.0, "swish_sign": 2.0, "fast_sigmoid": 2 / 25}


@pytest.mark.parametrize("proxy", sorted(PROXIES - {"relu"}))
def test_the_mass_of_a_proxy(proxy: str) -> None:
    """∫ψ is 1, but 2 for those made for ±1 and 2/k for fast_sigmoid; any `scale` keeps it (or 2/k)."""

    def mass(psi: Callable[..., Tensor], *scale: float) -> float:
        def at(x: float) -> float:
            return float(psi(torch.tensor(x, dtype=torch.float64), *scale))

        pieces = [-math.inf, -1, 0, 1, math.inf]
        return sum(quad(at, a, b, epsabs=1e-10, limit=200)[0] for a, b in itertools.pairwise(pieces))

    if proxy in FIXED:
        assert mass(FIXED[proxy]) == pytest.approx(MASSES[proxy], abs=1e-7)
        return
    assert mass(SCALED[proxy]) == pytest.approx(MASSES[proxy], abs=1e-7)
    assert mass(SCALED[proxy], 3.0) == pytest.approx(2 / 3 if proxy == "fast_sigmoid" else MASSES[proxy], abs=1e-7)


@pytest.mark.parametrize("proxy", sorted(SCALED))
def test_the_scale_of_a_proxy_is_passed_on(proxy: str) -> None:
    """A scale of its own stretches ψ: c ψ(c x) at c times the scale, fast_sigmoid without the factor c."""
    problem = make(Wave(), torch.tensor(POINTS, dtype=torch.float64))
    paper = {"swish_sign": 5.0, "fast_sigmoid": 25.0, "steep_sigmoid": 25.0, "atan": 2.0}.get(proxy, 1.0)
    draw = Draw(problem, 1, 1, streams=Streams(0, "proxy", range(1)))
    rows = Ste(proxy=proxy, scale=1.5 * paper).rows(draw)[0, 0]  # type: ignore[arg-type] # a name as data
    factor = 1.0 if proxy == "fast_sigmoid" else 1.5
    psi = np.array([factor * AT_POINTS[proxy](1.5 * x) for x in POINTS])
    np.testing.assert_allclose(rows, psi * wave_slope(draw.z[0, 0].numpy()), rtol=1e-11, atol=1e-15)


def test_options_that_would_do_nothing_are_refused() -> None:
    """A slope for another proxy, a scale for one without."""
    with pytest.raises(ValidationError, match="slope is for proxy=sigmoid"):
        Ste(proxy="atan", slope=2)
    with pytest.raises(ValidationError, match="proxy=hardtanh has no scale; these have: swish_sign"):
        Ste(proxy="hardtanh", scale=2)


@pytest.mark.parametrize("name", NAMES)
def test_threshold_is_without_randomness(name: str) -> None:
    """Every replicate gets the backward factor times ∇f at 1[φ > 0], or at argmax θ."""
    problem = problems()[name]
    draw = Draw(problem, 20, 2, streams=Streams(0, "threshold", range(1)))
    theta = problem.distribution.logits.numpy()
    z = (theta > 0).astype(float) if theta.ndim == 1 else np.eye(theta.shape[1])[theta.argmax(1)]
    g = wave_slope(z.ravel()).reshape(theta.shape)
    rows = Ste(sample="threshold").rows(draw).numpy()
    pi = problem.independent.mean.numpy()
    expected = pi * (1 - pi) * g if theta.ndim == 1 else pi * (g - (pi * g).sum(1, keepdims=True))
    np.testing.assert_allclose(rows, np.broadcast_to(expected, rows.shape), rtol=1e-11)
    if theta.ndim == 1:
        hard = Ste(sample="threshold", proxy="hard_sigmoid").rows(draw).numpy()
        np.testing.assert_allclose(hard, np.broadcast_to(0.5 * (np.abs(theta) <= 1) * g, hard.shape), rtol=1e-11)


# Identities


def two_ways(phi: float) -> tuple[Problem, Problem]:
    """sin over an ordinal value as a Bernoulli variable and as two classes of logits (0, φ)."""
    objective = Quadratic(target=0.3)
    return (
        make(objective, torch.tensor([phi], dtype=torch.float64)),
        make(objective, torch.tensor([[0.0, phi]], dtype=torch.float64)),
    )


@pytest.mark.parametrize("name", NAMES)
def test_reinmax_at_one_is_zgr_draw_by_draw(name: str) -> None:
    """For any number of classes."""
    problem = problems()[name]
    np.testing.assert_allclose(states_rows(problem, Reinmax()), states_rows(problem, Zgr()), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("name", ["B1", "B3"])
def test_bernoulli_zgr_is_darn_at_a_half_draw_by_draw(name: str) -> None:
    """And MVE at t = ∞; with K > 2 classes they differ."""
    problem = problems()[name]
    for twin in (Darn(), Mve(t=math.inf)):
        np.testing.assert_allclose(states_rows(problem, Zgr()), states_rows(problem, twin), rtol=1e-12)
    three = problems()["C1x3"]
    for other in (Darn(), Mve(t=math.inf)):
        assert np.abs(states_rows(three, Zgr()) - states_rows(three, other)).max() > 0.01


@pytest.mark.parametrize("name", NAMES)
def test_mve_at_zero_is_straight_through_draw_by_draw(name: str) -> None:
    """No bound on the bias: the estimator of least variance of all."""
    problem = problems()[name]
    np.testing.assert_allclose(states_rows(problem, Mve(t=0)), states_rows(problem, Ste()), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("t", [1e9, 1e14, 1e15, 1e20, 1e300])
@pytest.mark.parametrize("name", NAMES)
def test_mve_tends_to_its_limit(name: str, t: float) -> None:
    """Large finite t, where A is next to singular, is t = ∞ up to O(1/t)."""
    problem = problems()[name]
    limit = states_rows(problem, Mve(t=math.inf))
    np.testing.assert_allclose(states_rows(problem, Mve(t=t)), limit, rtol=0, atol=1e-7 if t == 1e9 else 1e-12)


def test_mve_is_solved_once_per_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws of one problem share V; another t, and another problem, has its own."""
    solved: list[int] = []
    solve = torch.linalg.solve

    def counted(A: Tensor, B: Tensor) -> Tensor:
        solved.append(1)
        found: Tensor = solve(A, B)
        return found

    monkeypatch.setattr(torch.linalg, "solve", counted)
    for _ in range(2):
        problem = problems()["C2x4"]
        for t in (0.7, 0.7, 1.3):
            Mve(t=t).rows(on_states(problem))
    assert len(solved) == 4


def forms(seed: int) -> QuadraticForm:
    """A quadratic of all variables and classes, coupled."""
    return QuadraticForm(seed=seed)


def assert_exact_on(problem: Problem, estimator: Estimator) -> None:
    """The exact mean is the exact gradient, to 1e-10."""
    assert problem.exact_gradient is not None
    np.testing.assert_allclose(mean_and_variance(problem, estimator)[0], problem.exact_gradient, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "estimator", [Ste(), Zgr(), Darn(), Reinmax(), *(Mve(t=t) for t in (0, 0.1, 1, 10, 1e6, math.inf))], ids=repr
)
def test_exact_on_linear_functions(estimator: Estimator, name: str) -> None:
    """Straight-through with the default proxy is first-order right; so are its corrections, MVE at every t."""
    assert_exact_on(problems(Linear(weights=(0.7, -1.9, 0.4)[: problems()[name].D]))[name], estimator)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("estimator", [Zgr(), Reinmax(), Mve(t=math.inf)], ids=repr)
def test_exact_on_quadratics(estimator: Estimator, name: str) -> None:
    """Coupled ones too, at any number of classes."""
    for seed in (1, 2):
        assert_exact_on(problems(forms(seed))[name], estimator)


@pytest.mark.parametrize("name", NAMES)
def test_darn_at_a_half_is_exact_on_quadratics_of_two_classes_alone(name: str) -> None:
    """Σ π_k (½ (g_k + g_k′)) is the trapezoid rule; 1/K is not for K > 2."""
    problem = problems(forms(1))[name]
    if isinstance(problem.distribution, Bernoulli):
        assert_exact_on(problem, Darn())
    else:
        with pytest.raises(AssertionError):
            assert_exact_on(problem, Darn())


BIASED: list[Estimator] = [
    Ste(),
    Ste(proxy="identity"),
    Ste(proxy="atan"),
    Ste(slope=2),
    Ste(sample="threshold"),
    Reinmax(),
    Reinmax(temperature=2),
    Zgr(),
    Darn(),
    Darn(centre="mean"),
    GappedSt(),
    GappedSt(gap="p"),
    Mve(),
    Mve(t=math.inf),
]


@pytest.mark.parametrize("estimator", BIASED, ids=repr)
def test_what_is_said_to_be_biased_is_biased(estimator: Estimator) -> None:
    """On the coupled wave, by more than 1 % of the gradient."""
    problem = problems()["B3"]
    truth = gradient(problem, values(problem))
    mean, _ = mean_and_variance(problem, estimator)
    assert not estimator.facts.unbiased
    assert np.linalg.norm(mean - truth) > 0.01 * np.linalg.norm(truth)


BOTH = [e for e in BIASED if e not in (Ste(proxy="identity"), Ste(proxy="atan"))]


@pytest.mark.parametrize("estimator", BOTH, ids=repr)
def test_two_classes_agree_in_mean_with_a_bernoulli_variable(estimator: Estimator) -> None:
    """Logits (0, φ) against φ: the gradient of class 1, and its opposite for class 0."""
    bernoulli, categorical = two_ways(-0.8)
    mean, twin = (mean_and_variance(p, estimator)[0] for p in (bernoulli, categorical))
    np.testing.assert_allclose(twin, [-mean[0], mean[0]], rtol=1e-11)


@pytest.mark.parametrize("method", FORMULAS)
def test_classes_sum_to_zero_permute_and_ignore_a_constant(method: str) -> None:
    """Σ_k ĝ_k = 0 in every draw; permuted classes permute the mean; f + 2.5 changes no bit."""
    estimator, _ = FORMULAS[method]
    problem = problems()["C2x4"]
    rows = states_rows(problem, estimator)
    np.testing.assert_allclose(rows.sum(-1), 0, atol=1e-12)
    np.testing.assert_array_equal(rows, states_rows(problems(Wave(2.5))["C2x4"], estimator))
    order = [2, 0, 3, 1]
    flat = [4 * d + k for d in range(2) for k in order]
    form = forms(3)
    rng = np.random.default_rng(3)
    G, b = rng.standard_normal((8, 8)), rng.standard_normal(8)
    A = (G + G.T) / 2
    permuted = QuadraticForm(A=tuple(map(tuple, A[np.ix_(flat, flat)])), b=tuple(b[flat]))
    mean = mean_and_variance(make(form, problem.distribution.logits), estimator)[0].reshape(2, 4)
    moved = mean_and_variance(make(permuted, problem.distribution.logits[:, order]), estimator)[0].reshape(2, 4)
    np.testing.assert_allclose(moved, mean[:, order], rtol=1e-9, atol=1e-12)


# Closed forms and published tables


@pytest.mark.parametrize("t", [0.45, -0.3])
@pytest.mark.parametrize("phi", [-2.0, 0.0, 1.0])
def test_straight_through_on_the_toy(t: float, phi: float) -> None:
    """(z − t)²: mean pq(p f₁′ + q f₀′), variance (pq)³(f₁′ − f₀′)²."""
    p = 1 / (1 + math.exp(-phi))
    q, slope_one, slope_zero = 1 - p, 2 * (1 - t), -2 * t
    mean, variance = mean_and_variance(make(Quadratic(target=t), torch.tensor([phi], dtype=torch.float64)), Ste())
    assert mean[0] == pytest.approx(p * q * (p * slope_one + q * slope_zero), rel=1e-12)
    assert variance == pytest.approx((p * q) ** 3 * (slope_one - slope_zero) ** 2, rel=1e-11)


def test_published_numbers_on_the_toy() -> None:
    """t = .45 at φ = 0 and 1, to all printed digits."""
    at_zero, at_one = (make(Quadratic(), torch.tensor([phi], dtype=torch.float64)) for phi in (0.0, 1.0))
    for estimator in (Ste(), Reinmax(), Zgr()):
        mean, variance = mean_and_variance(at_zero, estimator)
        assert (f"{mean[0]:.3f}", f"{variance:.4f}") == ("0.025", "0.0625")
    mean, variance = mean_and_variance(at_one, Ste())
    assert (f"{mean[0]:.6f}", f"{variance:.7f}") == ("0.110519", "0.0304011")


A = (
    (2.1060479, 1.6258701, 0.2605351, -1.2370610),
    (1.6258701, 4.9346223, 1.0101153, -1.6590885),
    (0.2605351, 1.0101153, 1.5323331, 0.6088441),
    (-1.2370610, -1.6590885, 0.6088441, 4.8184962),
)
PUBLISHED = make(
    QuadraticForm(A=A, b=(-0.7192576, -0.4033435, -0.5966353, 0.1820365)),
    torch.tensor([[-0.8566746, 1.1006042, -1.0711874, 0.1227012]], dtype=torch.float64),
)


def assert_printed(found: float, printed: float) -> None:
    """Half a unit of the sixth digit, and 1e-6 of it for the seven digits of the published matrices."""
    unit = 10.0 ** (math.floor(math.log10(printed)) - 5) if printed else 1e-12
    assert abs(found - printed) <= unit / 2 + 1e-6 * printed


def bias_and_variance(estimator: Estimator, scaled: bool) -> tuple[float, float]:
    """Squared bias and variance, of the estimate or of the estimate times ‖g‖/‖E ĝ‖."""
    assert PUBLISHED.exact_gradient is not None
    g = PUBLISHED.exact_gradient.numpy()
    mean, variance = mean_and_variance(PUBLISHED, estimator)
    c = np.linalg.norm(g) / np.linalg.norm(mean) if scaled else 1.0
    return float(((c * mean - g) ** 2).sum()), float(c**2 * variance)


def test_the_gradient_of_the_published_quadratic() -> None:
    """Hooper & Shekhovtsov 2026, K = 4."""
    assert PUBLISHED.exact_gradient is not None
    printed = [f"{x:.6f}" for x in PUBLISHED.exact_gradient]
    assert printed == ["-0.236300", "0.254566", "-0.222195", "0.203928"]


@pytest.mark.parametrize(
    ("estimator", "bias", "variance"),
    [
        (Ste(), 1.65134, 6.83080),
        (Reinmax(temperature=2), 0.804586, 12.5766),
        (Zgr(), 0.0, 13.7856),
        (Mve(t=1), 0.650268, 8.63396),
        (Mve(t=math.inf), 0.0, 13.3403),
    ],
    ids=repr,
)
def test_published_bias_and_variance(estimator: Estimator, bias: float, variance: float) -> None:
    """Of the plain estimates, to six digits."""
    for found, printed in zip(bias_and_variance(estimator, scaled=False), (bias, variance), strict=True):
        assert_printed(found, printed)


@pytest.mark.parametrize(
    ("estimator", "bias", "variance"),
    [
        (Ste(), 0.278082, 0.772404),
        (Reinmax(temperature=2), 0.0551452, 1.65559),
        (Mve(t=0.09931098), 0.267907, 0.882603),
        (Mve(t=0.99769776), 0.194299, 1.99378),
        (Mve(t=10.0230755), 0.0278691, 8.50056),
    ],
    ids=repr,
)
def test_published_scale_invariant_bias_and_variance(estimator: Estimator, bias: float, variance: float) -> None:
    """Of the estimates rescaled to the length of the gradient, to six digits."""
    for found, printed in zip(bias_and_variance(estimator, scaled=True), (bias, variance), strict=True):
        assert_printed(found, printed)


# Wrong on purpose


class DarnSummed:
    """Wrong on purpose: the first-order term is summed over all variables."""

    facts = Darn().facts

    def rows(self, draw: Draw) -> Tensor:
        """(Σ_d g_d (z_d − ½)) s."""
        return (draw.dfz * (draw.z - 0.5)).sum(-1, keepdim=True) * draw.score


class ReinmaxOverTau:
    """Wrong on purpose: the Jacobian of the flattened softmax, 1/τ and all."""

    facts = Reinmax().facts

    def rows(self, draw: Draw) -> Tensor:
        """ReinMax with its first term over τ = 2."""
        half = draw.distribution.mean_jac(draw.dfz) / 2
        return (Reinmax(temperature=2).rows(draw) + half) / 2 - half


class ZgrWithoutHalf:
    """Wrong on purpose: straight-through and DARN added, not averaged."""

    facts = Zgr().facts

    def rows(self, draw: Draw) -> Tensor:
        """2 ZGR."""
        return Zgr().rows(draw) * 2


class MveWithoutSample:
    """Wrong on purpose: the term of the sampled class alone is forgotten."""

    facts: Facts = Mve().facts

    def rows(self, draw: Draw) -> Tensor:
        """MVE(∞) less ½ (g·z) s."""
        return Mve(t=math.inf).rows(draw) - (draw.dfz * draw.z).sum(-1, keepdim=True) * draw.score / 2


@pytest.mark.parametrize(
    ("mutant", "name"),
    [(DarnSummed(), "B3"), (ReinmaxOverTau(), "B3"), (ZgrWithoutHalf(), "C1x3"), (MveWithoutSample(), "C1x3")],
    ids=lambda m: type(m).__name__,
)
def test_mistakes_are_caught_on_quadratics(mutant: Estimator, name: str) -> None:
    """The very check that the right ones pass."""
    with pytest.raises(AssertionError):
        assert_exact_on(problems(forms(1))[name], mutant)


@pytest.mark.parametrize("estimator", BIASED, ids=repr)
def test_one_gradient_is_paid_for_per_sample(estimator: Estimator) -> None:
    """Counted and declared: one ∇f at a vertex, no f."""
    assert isinstance(estimator, RowEstimator)
    problem = problems()["B3"]
    estimator.rows(Draw(problem, 5, 2, streams=Streams(0, "cost", range(1))))
    assert (problem.evaluations.f, problem.evaluations.df) == (0, 10)
    assert (estimator.facts.f, estimator.facts.df, estimator.facts.evaluates_relaxed) == (0, 1, False)
