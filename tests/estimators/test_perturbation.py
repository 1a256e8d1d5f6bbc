"""Perturbation estimators against sums over directions and outcomes, quadrature, and closed forms."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import expit, ndtr
from scipy.stats import norm
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import RowEstimator
from estbench.estimators.perturbation import es, spsa
from estbench.estimators.perturbation.es import Es
from estbench.estimators.perturbation.imle import Imle
from estbench.estimators.perturbation.spsa import Spsa
from estbench.estimators.perturbation.stochastic_ad import StochasticAd
from estbench.estimators.straight_through.darn import Darn
from estbench.estimators.straight_through.zgr import Zgr
from estbench.moments import Floats
from estbench.objectives.linear import Linear
from estbench.objectives.quadratic_form import QuadraticForm
from estbench.problem import Problem
from estbench.streams import Streams
from tests.estimators.states import (
    Wave,
    check_unbiased,
    f,
    marginals,
    over_states,
    problem,
    put,
    states,
    truth,
    wave,
    wave_slope,
)
from tests.problems import independent, make

Rows = Callable[[Draw], Tensor]

SIZES = [[0.8], [0.7, -1.3], [0.4, -0.9, 1.6]]
CATEGORICAL = [[0.3, -1.0, 0.6], [-0.2, 0.9, -1.5]]


def pieces(cuts: list[float]) -> list[tuple[float, float]]:
    """The middle and the length of each piece of (0, 1) between the cuts."""
    inside = sorted({0.0, 1.0, *(c for c in cuts if 0 < c < 1)})
    return [((a + b) / 2, b - a) for a, b in itertools.pairwise(inside)]


def moments(p: Problem, rows: Rows, noise: dict[str, Floats], weights: Floats) -> tuple[Floats, Floats]:
    """Mean and variance [P] of the unchanged estimator over weighted outcomes of its noise [M, D]."""
    assert weights.sum() == pytest.approx(1, abs=1e-11)
    outcomes = {name: torch.from_numpy(u).unsqueeze(1) for name, u in noise.items()}
    g = p.project(rows(Draw(p, len(weights), 1, noise=outcomes)))[:, 0].numpy()
    mean = weights @ g
    return mean, weights @ (g - mean) ** 2


def expected_f(p: Problem, phi: Floats) -> float:
    """E f at Bernoulli logits φ."""
    q = [(float(expit(-x)), float(expit(x))) for x in phi]
    every = itertools.product((0, 1), repeat=p.D)
    return sum(f(p, c) * math.prod(q[d][k] for d, k in enumerate(c)) for c in every)


def pairs(above: float, below: float) -> list[tuple[int, int, float]]:
    """1[u < above], 1[u < below] of a common uniform u, with probabilities."""
    both, either = min(above, below), max(above, below)
    return [(1, 1, both), (1, 0, max(above - below, 0.0)), (0, 1, max(below - above, 0.0)), (0, 0, 1 - either)]


# spsa


def check_spsa(rows: Rows, logits: list[float], c: float) -> None:
    """Mean and variance over all Δ and all pieces of u are those of the formula by hand."""
    p = problem(logits)
    u, v, w = [], [], []
    first, second = np.zeros(p.D), np.zeros(p.D)
    central = np.zeros(p.D)
    phi = np.array(logits)
    for signs in itertools.product((1.0, -1.0), repeat=p.D):
        delta = np.array(signs)
        above, below = expit(phi + c * delta), expit(phi - c * delta)
        for choice in itertools.product(*(pieces([a, b]) for a, b in zip(above, below, strict=True))):
            u.append([middle for middle, _ in choice])
            v.append(np.where(delta > 0, 0.25, 0.75))
            w.append(math.prod(length for _, length in choice) / 2**p.D)
        central += (expected_f(p, phi + c * delta) - expected_f(p, phi - c * delta)) / (2 * c) * delta / 2**p.D
        for outcome in itertools.product(*(pairs(a, b) for a, b in zip(above, below, strict=True))):
            P = math.prod(q for _, _, q in outcome) / 2**p.D
            z_above, z_below = tuple(a for a, _, _ in outcome), tuple(b for _, b, _ in outcome)
            g = (f(p, z_above) - f(p, z_below)) / (2 * c) * delta
            first, second = first + P * g, second + P * g**2
    np.testing.assert_allclose(first, central, rtol=0, atol=1e-12)
    mean, variance = moments(p, rows, {"main": np.array(u), spsa.DIRECTION: np.array(v)}, np.array(w))
    np.testing.assert_allclose(mean, central, rtol=0, atol=1e-11)
    np.testing.assert_allclose(variance, second - first**2, rtol=1e-9)


@pytest.mark.parametrize("c", [0.1, 1.0])
@pytest.mark.parametrize("logits", SIZES, ids=str)
def test_spsa_over_all_outcomes(logits: list[float], c: float) -> None:
    """The mean is the mean over Δ of the central difference of E f; the variance is that of common noise."""
    check_spsa(Spsa(c).rows, logits, c)


def test_spsa_bias_falls_as_c_squared_and_variance_grows_as_one_over_c() -> None:
    """Halving c divides the bias by 4 and doubles the second moment, to leading order."""
    p = problem([0.8])

    def bias_and_square(c: float) -> tuple[float, float]:
        cuts = pieces([float(expit(0.8 + c)), float(expit(0.8 - c))])
        u = np.array([[middle] for middle, _ in cuts] * 2)
        v = np.array([[0.25]] * len(cuts) + [[0.75]] * len(cuts))
        mean, variance = moments(
            p, Spsa(c).rows, {"main": u, spsa.DIRECTION: v}, np.array([length / 2 for _, length in cuts] * 2)
        )
        return float((mean - truth(p))[0]), float((variance + mean**2)[0])

    (wide, w2), (narrow, n2) = bias_and_square(0.02), bias_and_square(0.01)
    assert wide / narrow == pytest.approx(4, rel=1e-3)
    assert n2 / w2 == pytest.approx(2, rel=1e-3)


def _fresh_noise(draw: Draw) -> Tensor:
    """Wrong: the two samples do not share their noise (the second has its mirror image)."""
    v = draw.uniform(spsa.DIRECTION, draw.problem.D)
    delta = torch.where(v < 0.5, 1.0, -1.0).double()
    hard, x = draw.distribution.hard, draw.x
    other = 2 * draw.distribution.logits - x
    return draw.lift(draw.problem.f(hard(x + delta)) - draw.problem.f(hard(other - delta))) / 2 * delta


def _forward(draw: Draw) -> Tensor:
    """Wrong: a forward difference."""
    delta = torch.where(draw.uniform(spsa.DIRECTION, draw.problem.D) < 0.5, 1.0, -1.0).double()
    return draw.lift(draw.problem.f(draw.distribution.hard(draw.x + delta)) - draw.fz) * delta


def _not_halved(draw: Draw) -> Tensor:
    """Wrong: divided by c, not 2c."""
    return 2 * Spsa(1.0).rows(draw)


@pytest.mark.parametrize("mutant", [_fresh_noise, _forward, _not_halved], ids=lambda m: m.__name__)
def test_wrong_central_differences_are_caught(mutant: Rows) -> None:
    """Two samples of different noise, a forward difference or a wrong factor fail the check that spsa passes."""
    with pytest.raises(AssertionError, match="Mismatched"):
        check_spsa(mutant, [0.7, -1.3], 1.0)


# es


def gaussian(n: int) -> tuple[Floats, Floats]:
    """Nodes and weights for the standard normal law, split at 0, where |ε| has a kink."""
    x, w = np.polynomial.legendre.leggauss(n)
    epsilon = np.concatenate((4 * x - 4, 4 * x + 4))
    return epsilon, np.asarray(4 * np.tile(w, 2) * norm.pdf(epsilon))


def es_outcomes(logits: list[float], sigma: float, n: int) -> tuple[dict[str, Floats], Floats]:
    """Nodes for every ε, and for each of them all pieces of u."""
    epsilon, normal = gaussian(n)
    each = []
    for x in logits:
        own = []
        for e, q in zip(epsilon, normal, strict=True):
            cuts = pieces([float(expit(x + sigma * e)), float(expit(x - sigma * e))])
            own += [(middle, e, q * length) for middle, length in cuts]
        each.append(own)
    u, eps, w = (np.array([[o[i] for o in choice] for choice in itertools.product(*each)]) for i in range(3))
    return {"main": u, es.DIRECTION: ndtr(eps)}, w.prod(1)


@pytest.mark.parametrize("sigma", [0.5, 1.0])
def test_es_mean_and_variance_of_one_variable(sigma: float) -> None:
    """The mean is the gradient of E f smoothed by N(0, σ²), the variance that of common noise; both by quadrature."""
    p, phi = problem([0.8]), 0.8
    jump = f(p, (1,)) - f(p, (0,))
    mean, variance = moments(p, Es(sigma).rows, *es_outcomes([phi], sigma, 60))

    def density(e: float) -> float:
        return float(norm.pdf(e))

    def slope_at(e: float) -> float:
        return float(density(e) * expit(phi + sigma * e) * expit(-phi - sigma * e) * jump)

    smoothed = quad(slope_at, -12, 12, epsabs=1e-13)[0]

    def square(e: float) -> float:
        changed = expit(phi + sigma * e) - expit(phi - sigma * e)
        return float(density(e) * e**2 * changed * (jump / (2 * sigma)) ** 2)

    second = 2 * quad(square, 0, 12, epsabs=1e-13)[0]
    assert float(mean[0]) == pytest.approx(smoothed, rel=1e-9)
    assert float(variance[0]) == pytest.approx(second - smoothed**2, rel=1e-9)


def test_es_mean_of_two_variables() -> None:
    """For coupled f the mean is E ∇F(φ + σε), F = E f, by Gauss–Hermite nodes."""
    p, phi, sigma = problem([0.7, -1.3]), np.array([0.7, -1.3]), 0.8
    mean, _ = moments(p, Es(sigma).rows, *es_outcomes([0.7, -1.3], sigma, 24))
    table = np.array([[f(p, (a, b)) for b in (0, 1)] for a in (0, 1)])
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    one, other = (np.meshgrid(*(x + sigma * nodes for x in phi), indexing="ij")[i] for i in (0, 1))
    W = np.outer(weights, weights)
    P0, P1 = (np.stack((expit(-x), expit(x))) for x in (one, other))
    slope0 = expit(one) * expit(-one) * np.einsum("bij,b->ij", P1, table[1] - table[0])
    slope1 = expit(other) * expit(-other) * np.einsum("aij,a->ij", P0, table[:, 1] - table[:, 0])
    np.testing.assert_allclose(mean, [(W * slope0).sum(), (W * slope1).sum()], rtol=0, atol=1e-8)


def test_es_at_a_small_sigma_is_nearly_unbiased() -> None:
    """The bias falls as σ²: at σ = .05 it is some 100 times smaller than at σ = .5."""
    p = problem([0.8])
    wide, narrow = (moments(p, Es(s).rows, *es_outcomes([0.8], s, 60))[0] - truth(p) for s in (0.5, 0.05))
    assert 80 < float((wide / narrow)[0]) < 120


# imle


def imle_outcomes(p: Problem, lam: float) -> tuple[dict[str, Floats], Floats]:
    """The pieces of u on which neither z nor any z′ changes."""
    phi = p.distribution.logits.numpy()
    z = np.array(list(itertools.product((0.0, 1.0), repeat=p.D)))
    cuts = [pieces([float(expit(phi[d])), *expit(phi[d] - lam * wave_slope(z)[:, d]).tolist()]) for d in range(p.D)]
    u, w = (np.array([[o[i] for o in choice] for choice in itertools.product(*cuts)]) for i in (0, 1))
    return {"main": u}, w.prod(1)


def check_imle(rows: Rows, logits: list[float], lam: float) -> None:
    """Mean and variance over all pieces of u are those of (z − z′)/λ by hand, state by state."""
    p, phi = problem(logits), np.array(logits)
    first, second = np.zeros(p.D), np.zeros(p.D)
    for c, P in states(p):
        at, target = expit(phi), expit(phi - lam * wave_slope(np.array(c, float)))
        down = np.maximum(at - target, 0) / at  # z = 1 turns to 0
        up = np.maximum(target - at, 0) / (1 - at)  # z = 0 turns to 1
        turned = np.where(np.array(c) == 1, down, up)
        first += P * turned * np.where(np.array(c) == 1, 1, -1) / lam
        second += P * turned / lam**2
    mean, variance = moments(p, rows, *imle_outcomes(p, lam))
    np.testing.assert_allclose(mean, first, rtol=0, atol=1e-11)
    np.testing.assert_allclose(variance, second - first**2, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("lam", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("logits", SIZES, ids=str)
def test_imle_over_all_outcomes(logits: list[float], lam: float) -> None:
    """The mean and the variance are those of a common logistic noise moved by −λ f′(z)."""
    check_imle(Imle(lam).rows, logits, lam)


@pytest.mark.parametrize("slopes", [(1.5, 0.4), (-1.5, 0.4), (1.5, -0.4), (-1.5, -0.4)], ids=str)
def test_imle_closed_form_of_one_variable(slopes: tuple[float, float]) -> None:
    """[(σ(φ) − σ(φ − λf′(1)))₊ − (σ(φ − λf′(0)) − σ(φ))₊]/λ, and p q [max(f′(1), 0) + min(f′(0), 0)] as λ → 0."""
    at1, at0 = slopes
    phi, b = 0.8, at0
    p = make(QuadraticForm(A=(((at1 - at0) / 2,),), b=(b,)), torch.tensor([phi], dtype=torch.float64))
    for lam in (2.0, 1e-5):
        cuts = pieces([float(expit(x)) for x in (phi, phi - lam * at1, phi - lam * at0)])
        u, w = np.array([[middle] for middle, _ in cuts]), np.array([length for _, length in cuts])
        mean, _ = moments(p, Imle(lam).rows, {"main": u}, w)
        up, down = float(expit(phi - lam * at0) - expit(phi)), float(expit(phi) - expit(phi - lam * at1))
        assert float(mean[0]) == pytest.approx((max(down, 0) - max(up, 0)) / lam, rel=1e-9, abs=1e-12)
    limit = float(expit(phi) * expit(-phi)) * (max(at1, 0) + min(at0, 0))
    assert float(mean[0]) == pytest.approx(limit, rel=1e-4, abs=1e-12)


def test_imle_on_linear_objectives() -> None:
    """On linear f the mean is (σ(φ) − σ(φ − λw))/λ, which is the gradient as λ → 0 and not at λ = 1."""
    p = make(Linear((1.5, -0.5)), torch.tensor([0.7, -1.3], dtype=torch.float64))
    phi, w = np.array([0.7, -1.3]), np.array([1.5, -0.5])
    for lam, tolerance in ((1.0, 1e-12), (1e-6, 1e-9)):
        cuts = [pieces([float(expit(x)), float(expit(x - lam * a))]) for x, a in zip(phi, w, strict=True)]
        u, q = (np.array([[o[i] for o in choice] for choice in itertools.product(*cuts)]) for i in (0, 1))
        mean, _ = moments(p, Imle(lam).rows, {"main": u}, q.prod(1))
        np.testing.assert_allclose(mean, (expit(phi) - expit(phi - lam * w)) / lam, rtol=0, atol=tolerance)
        assert (np.abs(mean - expit(phi) * expit(-phi) * w).max() < 1e-6) == (lam < 1)


def _without_lambda(draw: Draw) -> Tensor:
    """Wrong: without 1/λ."""
    return Imle(2.0).rows(draw) * 2.0


def _up_the_gradient(draw: Draw) -> Tensor:
    """Wrong: moved up the gradient."""
    return (draw.z - draw.distribution.hard(draw.x + 2.0 * draw.dfz)) / 2.0


def _mirrored_noise(draw: Draw) -> Tensor:
    """Wrong: the second sample has other noise (the mirror image)."""
    other = 2 * draw.distribution.logits - draw.x
    return (draw.z - draw.distribution.hard(other - 2.0 * draw.dfz)) / 2.0


@pytest.mark.parametrize("mutant", [_without_lambda, _up_the_gradient, _mirrored_noise], ids=lambda m: m.__name__)
def test_wrong_imle_is_caught(mutant: Rows) -> None:
    """A missing 1/λ, the wrong direction or other noise fail the check that imle passes."""
    check_imle(Imle(2.0).rows, [0.7, -1.3], 2.0)
    with pytest.raises(AssertionError, match="Mismatched"):
        check_imle(mutant, [0.7, -1.3], 2.0)


# Categorical variables: draw by draw in numpy, and means by sampling.


def by_draw(p: Problem, e: Floats, moved: Floats) -> Floats:
    """One-hot of argmax(θ + h − log e), [M, D, K]."""
    x = p.distribution.logits.numpy() - np.log(e) + moved
    return np.asarray(np.eye(e.shape[-1])[x.argmax(-1)])


@pytest.mark.parametrize("step", [0.3, 2.0])
def test_categorical_draws_are_the_formulas(step: float) -> None:
    """For two variables of three classes every row of spsa, es and imle is its formula on Gumbel noise, in numpy."""
    p = problem(CATEGORICAL)
    draw = Draw(p, 400, 1, streams=Streams(0, "categorical", range(1)))
    e = draw.noise()[:, 0].numpy()
    delta = np.where(draw.uniform(spsa.DIRECTION, 2, 3)[:, 0].numpy() < 0.5, 1.0, -1.0)
    epsilon = norm.ppf(draw.uniform(es.DIRECTION, 2, 3)[:, 0].numpy())
    for rows, direction in ((Spsa(step).rows, delta), (Es(step).rows, epsilon)):
        ends = (by_draw(p, e, sign * step * direction) for sign in (1, -1))
        above, below = (wave(z.reshape(400, -1)) for z in ends)
        change = above - below
        expected = (change / (2 * step))[:, None, None] * direction
        np.testing.assert_allclose(rows(draw)[:, 0], expected, rtol=0, atol=1e-10)
        assert (change != 0).mean() > 0.1
    z = by_draw(p, e, np.zeros_like(e))
    g = wave_slope(z.reshape(400, -1)).reshape(z.shape)
    expected = (z - by_draw(p, e, -step * g)) / step
    np.testing.assert_allclose(Imle(step).rows(draw)[:, 0], expected, rtol=0, atol=1e-12)


def agrees(g: Tensor, expected: Floats, detects: float) -> None:
    """The mean of rows [R, P] is `expected`, by a z-test of false-fail rate 1e-6 over all P coordinates.

    An error of `detects` times ‖expected‖ in any coordinate would be found with a chance of 1 − 1e-6.
    """
    se = (g.std(0) / len(g) ** 0.5).numpy()
    critical = norm.isf(0.5e-6 / len(expected))
    assert ((critical + norm.isf(1e-6)) * se).max() < detects * np.linalg.norm(expected)
    assert (np.abs(g.mean(0).numpy() - expected) / se).max() < critical


def test_imle_mean_of_one_categorical_variable() -> None:
    """The mean is that of two coupled Gumbel races, P(z = k, z′ = j) by one integral each.

    With races E_i ~ Exp(π_i) and E_j = r E_k: ∫ π_k π_j/(π_k + π_j r + Σ_i π_i max(1, r e^{h_i − h_j}))² dr over
    1 < r < e^{h_j − h_k}, h = −λ ∇f(e_k).
    """
    A, b, lam = np.array([[1.2, 0.3, -0.4], [0.3, 0.8, 0.2], [-0.4, 0.2, 1.5]]), np.array([0.2, -0.1, 0.3]), 0.7
    form = QuadraticForm(A=tuple(map(tuple, A.tolist())), b=tuple(b.tolist()))
    p = make(form, torch.tensor([CATEGORICAL[0]], dtype=torch.float64))
    pi = marginals(p)[0]
    expected = np.zeros(3)
    for k, j in itertools.permutations(range(3), 2):
        h = -lam * (2 * A[k] + b)
        (i,) = {0, 1, 2} - {j, k}

        def density(r: float, k: int = k, j: int = j, i: int = i, h: Floats = h) -> float:
            rate = pi[k] + pi[j] * r + pi[i] * max(1.0, r * math.exp(h[i] - h[j]))
            return float(pi[k] * pi[j] / rate**2)

        if h[j] > h[k]:
            end = math.exp(h[j] - h[k])
            kink = [x for x in [math.exp(h[j] - h[i])] if 1 < x < end]
            expected += quad(density, 1, end, points=kink or None)[0] * (np.eye(3)[k] - np.eye(3)[j]) / lam
    draw = Draw(p, 1_000_000, 1, streams=Streams(0, "races", range(1)))
    agrees(p.project(Imle(lam).rows(draw))[:, 0], expected, detects=0.06)


def test_spsa_and_es_means_of_one_categorical_variable() -> None:
    """spsa: the mean over Δ of the central difference of E f in all K logits; es: Gauss–Hermite of the smoothed E f."""
    p, theta, c = problem([CATEGORICAL[0]]), np.array(CATEGORICAL[0]), 1.0
    values = np.array([f(p, (k,)) for k in range(3)])

    def mean_f(t: Floats) -> float:
        return float(np.exp(t) @ values / np.exp(t).sum())

    central = np.mean(
        [
            (mean_f(theta + c * np.array(s)) - mean_f(theta - c * np.array(s))) / (2 * c) * np.array(s)
            for s in itertools.product((1.0, -1.0), repeat=3)
        ],
        axis=0,
    )
    nodes, weights = np.polynomial.hermite_e.hermegauss(24)
    smoothed = np.zeros(3)
    for index in itertools.product(range(24), repeat=3):
        pi = np.exp(theta + c * nodes[list(index)])
        pi = pi / pi.sum()
        smoothed += weights[list(index)].prod() / weights.sum() ** 3 * pi * (values - pi @ values)
    draw = Draw(p, 400_000, 1, streams=Streams(0, "smoothed", range(1)))
    agrees(p.project(Spsa(c).rows(draw))[:, 0], central, detects=0.06)
    agrees(p.project(Es(c).rows(draw))[:, 0], smoothed, detects=0.08)


# stochastic_ad


@pytest.mark.parametrize("logits", SIZES, ids=str)
def test_one_sided_is_its_formula_and_unbiased(logits: list[float]) -> None:
    """At every state 1[z_i = 0] p_i (f(z^{i→1}) − f(z)); its mean is the gradient."""
    p = problem(logits)
    prob = expit(np.array(logits))
    expected = [[(c[i] == 0) * prob[i] * (f(p, put(c, i, 1)) - f(p, c)) for i in range(p.D)] for c, _ in states(p)]
    np.testing.assert_allclose(over_states(p, StochasticAd())[0], expected, rtol=0, atol=1e-13)
    check_unbiased(p, StochasticAd())


@pytest.mark.parametrize("logits", SIZES, ids=str)
def test_smoothed_is_zgr_and_the_half_estimator(logits: list[float]) -> None:
    """At every state the smoothed variant is ½ q f′ (z = 1) or ½ p f′ (z = 0), which is zgr and darn with ½."""
    p = problem(logits)
    prob = expit(np.array(logits))
    z = np.array([c for c, _ in states(p)], float)
    rows = over_states(p, StochasticAd("smoothed"))[0]
    np.testing.assert_allclose(rows, np.where(z == 1, 1 - prob, prob) / 2 * wave_slope(z), rtol=0, atol=1e-12)
    for same in (Zgr(), Darn()):
        np.testing.assert_allclose(rows, over_states(p, same)[0], rtol=0, atol=1e-12)


def test_smoothed_is_exact_on_quadratics_and_biased_beyond() -> None:
    """On a coupled quadratic form its mean is the gradient; on the coupled objective it is not."""
    logits = torch.tensor(SIZES[2], dtype=torch.float64)
    quadratic = make(QuadraticForm(seed=1), logits)
    z, P = (torch.cat(parts) for parts in zip(*quadratic.enumerate(), strict=True))
    mean = (P.unsqueeze(-1) * StochasticAd("smoothed").rows(Draw(quadratic, len(z), 1, z=z.unsqueeze(1)))[:, 0]).sum(0)
    assert quadratic.exact_gradient is not None
    torch.testing.assert_close(mean, quadratic.exact_gradient, rtol=0, atol=1e-12)
    with pytest.raises(AssertionError, match="Mismatched"):
        check_unbiased(problem(SIZES[2]), StochasticAd("smoothed"))


class WrongRate:
    """Wrong: the jump from 0 to 1 weighed by p q, as if it were leg, or by q."""

    def __init__(self, rate: str) -> None:
        self.rate = rate
        self.facts = replace(StochasticAd().facts)

    def rows(self, draw: Draw) -> Tensor:
        """1[z_i = 0] times the wrong rate times the jump."""
        d = draw.distribution
        return StochasticAd().rows(draw) / d.mean * (d.mean_jac(torch.ones_like(d.mean)) if self.rate == "pq" else d.q)


@pytest.mark.parametrize("rate", ["pq", "q"])
def test_wrong_rates_are_caught(rate: str) -> None:
    """Jumps weighed by another rate fail the check that the one-sided variant passes."""
    with pytest.raises(AssertionError, match="Mismatched"):
        check_unbiased(problem([0.7, -1.3]), WrongRate(rate))


# What holds for several.


@pytest.mark.parametrize("estimator", [Spsa(), Es(), Imle(), StochasticAd()], ids=repr)
def test_samples_are_rows_of_their_own(estimator: RowEstimator) -> None:
    """N samples in one replicate are N rows: the same noise in another shape gives the same rows."""
    p = problem([0.7, -1.3])
    draw = Draw(p, 30, 4, streams=Streams(0, "rows", range(1)))
    names = {"main", *estimator.facts.noise}
    noise = {n: draw.uniform(n, 2).reshape(120, 1, 2) for n in names}
    apart = estimator.rows(Draw(p, 120, 1, noise=noise))
    torch.testing.assert_close(estimator.rows(draw).reshape(120, 1, 2), apart, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_perturbation_moves_nothing(dtype: torch.dtype) -> None:
    """The sample at logits moved by 0 is z itself, and a sample moved far follows the direction, at ±30 too."""
    for logits in ([30.0, -30.0, 0.5], [[30.0, -30.0, 0.0], [0.4, 0.1, -0.3]]):
        p = make(Wave(), torch.tensor(logits, dtype=dtype))
        draw = Draw(p, 2000, 1, streams=Streams(0, "still", range(1)))
        assert torch.equal(independent(p).hard(draw.x), draw.z)
        far = torch.full_like(draw.x, -1e3)
        far[..., 0] = 1e3
        moved = independent(p).hard(draw.x + far)
        assert bool((moved[..., 0] == 1).all())
        assert bool((moved[..., 1:] == 0).all())
