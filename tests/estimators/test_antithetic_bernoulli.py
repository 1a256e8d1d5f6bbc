"""ARM, DisARM and ARMS against sums over all pieces of their uniforms."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from pydantic.dataclasses import dataclass
from scipy.integrate import quad
from scipy.special import expit, ndtr, ndtri
from torch import Tensor

from estbench.draws import MAIN, Draw
from estbench.estimate import estimates
from estbench.estimators.antithetic.arm import Arm
from estbench.estimators.antithetic.arms import Arms
from estbench.estimators.antithetic.disarm import Disarm
from estbench.estimators.base import Estimator, Facts
from estbench.estimators.shared.copula import parted
from estbench.exact import exact
from estbench.moments import Floats
from estbench.names import ALIASES
from estbench.objectives.product import Product
from estbench.objectives.quadratic import Quadratic
from estbench.problem import Problem
from estbench.streams import Streams
from tests.estimators.noise import Measure, assert_same_law, dirichlet, intervals, mean, run, stacked, variance
from tests.estimators.states import f, marginals, problem, truth
from tests.problems import make
from tests.sizes import slow, thinned

LOGITS = ([0.8], [-1.3], [0.0], [0.7, -1.2], [0.4, -0.9, 1.6])


def mirrored(p: Problem) -> Measure:
    """u of all variables, [M, 1, D], in pieces between p and 1 − p."""
    m = stacked([intervals(*pi) for pi in marginals(p)], 1)
    return Measure(m.points[:, None], m.weights)


def pair(p: Problem, u: Floats) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """z₁ = 1[u > 1 − p] and z₂ = 1[u < p], by the textbook."""
    prob = marginals(p)[:, 1]
    return tuple(int(b) for b in u > 1 - prob), tuple(int(b) for b in u < prob)


@pytest.mark.parametrize("logits", LOGITS)
def test_arm_is_its_formula_and_unbiased(logits: Sequence[float]) -> None:
    """ARM is (f(z₁) − f(z₂))(u − ½) on every piece of the uniforms, and its mean there the exact gradient."""
    p = problem(logits)
    u = mirrored(p)
    g = run(Arm(), p, {MAIN: u.points})
    for row, point in zip(g, u.points[:, 0], strict=True):
        z1, z2 = pair(p, point)
        np.testing.assert_allclose(row, (f(p, z1) - f(p, z2)) * (point - 0.5), atol=1e-13)
    np.testing.assert_allclose(mean(g, u.weights), truth(p), atol=1e-12)


@pytest.mark.parametrize("logits", LOGITS)
def test_disarm_is_its_formula_and_unbiased(logits: Sequence[float]) -> None:
    """DisARM is ½ (f(z₁) − f(z₂)) (−1)^{z₂} 1[z₁ ≠ z₂] σ(|φ|) on every piece, and its mean the exact gradient."""
    p = problem(logits)
    u = mirrored(p)
    g = run(Disarm(), p, {MAIN: u.points})
    for row, point in zip(g, u.points[:, 0], strict=True):
        z1, z2 = pair(p, point)
        signs = [(-1.0) ** b * (a != b) for a, b in zip(z1, z2, strict=True)]
        np.testing.assert_allclose(row, 0.5 * (f(p, z1) - f(p, z2)) * expit(np.abs(logits)) * signs, atol=1e-13)
    np.testing.assert_allclose(mean(g, u.weights), truth(p), atol=1e-12)


def test_disarm_is_arm_with_the_uniforms_integrated_out() -> None:
    """DisARM is the mean of ARM given the samples of all variables: on each piece they differ by what u alone adds."""
    p = problem([0.7, -1.2])
    u = mirrored(p)
    a, d = run(Arm(), p, {MAIN: u.points}), run(Disarm(), p, {MAIN: u.points})
    samples = [pair(p, point) for point in u.points[:, 0]]
    for outcome in set(samples):
        here = np.array([s == outcome for s in samples])
        inside = u.weights * here / (u.weights * here).sum()
        np.testing.assert_allclose(mean(a, inside), mean(d, inside), atol=1e-13)
        np.testing.assert_allclose(variance(d, inside), 0, atol=1e-25)


@pytest.mark.parametrize(("t", "phi"), [(0.45, 0.0), (0.45, 1.0), (0.2, -1.7), (-0.6, 2.3)])
def test_closed_form_variances(t: float, phi: float) -> None:
    """On (z − t)² the exact variances are Δ²[⅔(⅛ − (½ − m)³) − p²q²] (ARM) and Δ² max(p, q)² m(½ − m) (DisARM)."""
    p, q = expit(phi), expit(-phi)
    m, delta = min(p, q), 1 - 2 * t
    target = make(Quadratic(target=t), torch.tensor([phi], dtype=torch.float64))
    expected: dict[Estimator, float] = {
        Arm(): delta**2 * (2 / 3 * (1 / 8 - (0.5 - m) ** 3) - (p * q) ** 2),
        Disarm(): delta**2 * max(p, q) ** 2 * m * (0.5 - m),
    }
    for estimator, value in expected.items():
        np.testing.assert_allclose(exact_variance(target, estimator), value, rtol=1e-9, atol=1e-15)


def exact_variance(p: Problem, estimator: Estimator) -> float:
    """The variance of one variable's estimate by the engine's quadrature."""
    return float(exact(p, estimator, 1).variance[0])


def test_published_variances() -> None:
    """At t = .45: ARM 2.0833e-4 and DisARM 0 at φ = 0; 3.6453e-4 and 3.3211e-4 at φ = 1."""
    at = [make(Quadratic(target=0.45), torch.tensor([phi], dtype=torch.float64)) for phi in (0.0, 1.0)]
    assert f"{exact_variance(at[0], Arm()):.4e}" == "2.0833e-04"
    np.testing.assert_allclose(exact_variance(at[0], Disarm()), 0, atol=1e-15)
    assert f"{exact_variance(at[1], Arm()):.4e}" == "3.6453e-04"
    assert f"{exact_variance(at[1], Disarm()):.4e}" == "3.3211e-04"


@pytest.mark.parametrize("phi", [-30.0, 30.0])
def test_mirrored_pairs_at_large_logits(phi: float) -> None:
    """At logits of ±30 the mean over the pieces is right to 9 digits: nothing is found by subtracting from 1."""
    p = problem([phi])
    m = float(expit(-30.0))
    u, weights = np.array([m / 2, 0.5, 1 - m / 2]), np.array([m, 1.0, m])  # what 1 − 2 m lacks does not count
    for estimator in (Arm(), Disarm()):
        g = mean(run(estimator, p, {MAIN: u[:, None, None]}), weights)
        np.testing.assert_allclose(g, m * (f(p, (1,)) - f(p, (0,))), rtol=1e-9)


def test_u2g_is_disarm() -> None:
    """U2G, found at the same time, is an alias."""
    assert ALIASES["u2g"] == "disarm"


# ARMS: the joint law of the N samples, by integration over the copula.


def coupled(p: Problem, N: int) -> tuple[Measure, Floats]:
    """Uniforms [M, N, D] in pieces on which all samples of the Dirichlet copula are constant; and z [M, N, D]."""
    parts, samples = [], []
    for q, prob in marginals(p):
        part = dirichlet(N, [1 - min(q, prob) ** (1 / (N - 1))])
        uniform = (1 - part.points) ** (N - 1)
        z = uniform < prob if prob <= 0.5 else 1 - uniform < prob
        parts.append(part)
        samples.append(Measure(z.astype(float), part.weights))
    d, z = stacked(parts, 2), stacked(samples, 2)
    return Measure(np.exp(-d.points), d.weights), z.points


def gaussian_pieces(prob: float) -> tuple[Measure, Floats]:
    """Uniforms [M, 3] for three normals of correlation −½ in pieces of constant z, and z: rays and radii of a plane.

    G_n = r cos(t − 2πn/3), t uniform and r²/2 exponential; on a ray z changes at the radii h/cos(t − 2πn/3).
    """
    s, w = np.polynomial.legendre.leggauss(40)
    h, turns = ndtri(min(prob, 1 - prob)), 2 * np.pi * np.arange(3) / 3
    G, weights = [], []
    for k, (node, weight) in itertools.product(range(12), zip(s, w, strict=True)):
        cos = np.cos((k + (node + 1) / 2) * np.pi / 6 - turns)
        radii = [0.0, *sorted(r for r in h / cos if r > 0)]
        for low, high in itertools.pairwise([*radii, math.inf]):
            if low < 9:  # what lies beyond weighs 1e-18
                G.append((low + min(high, low + 1)) / 2 * cos)
                weights.append(weight / 24 * (math.exp(-(low**2) / 2) - math.exp(-(high**2) / 2)))
    rare = np.array(G) < h
    u = ndtr(np.array(G) * math.sqrt(2 / 3))
    return Measure(u, np.array(weights)), (rare if prob <= 0.5 else ~rare).astype(float)


def formula(p: Problem, z: Floats, rho: Floats) -> Floats:
    """ρ/(N − 1) Σ_n (f(z_n) − f̄) (z_n − p) at one outcome z [N, D]."""
    values = np.array([f(p, tuple(int(b) for b in row)) for row in z])
    N = len(z)
    return np.asarray(
        rho / (N - 1) * sum((v - values.mean()) * (row - marginals(p)[:, 1]) for v, row in zip(values, z, strict=True))
    )


@pytest.mark.parametrize(
    ("logits", "N"),
    [
        ([0.8], 2),
        ([-1.3], 3),
        slow(([0.0], 3)),
        slow(([0.8], 4)),
        slow(([-0.3], 4)),
        ([0.7, -1.2], 2),
        ([0.7, -1.2], 3),
    ],
)
def test_arms_is_its_formula_and_unbiased(logits: Sequence[float], N: int) -> None:
    """With P₁₁ summed over the pieces of the copula, ARMS is its formula on each of them and unbiased over all."""
    p = problem(logits)
    u, z = coupled(p, N)
    prob = marginals(p)[:, 1]
    np.testing.assert_allclose(mean(z, u.weights), np.tile(prob, (N, 1)), atol=1e-11)  # each sample has its own law
    P11 = mean(z[:, 0] * z[:, 1], u.weights)
    rho = prob * (1 - prob) / (prob - P11)
    g = run(Arms(), p, {MAIN: u.points}, N)
    for i in range(0, len(g), max(1, len(g) // 500)):
        np.testing.assert_allclose(g[i], formula(p, z[i], rho), atol=1e-10)
    np.testing.assert_allclose(mean(g, u.weights), truth(p), atol=1e-10)


@pytest.mark.parametrize("logits", thinned(4, [[0.8, -0.5], [-1.3, 0.4], [0.0, -0.2], [3.0, 1.0]]))
def test_gaussian_arms_is_its_formula_and_unbiased(logits: list[float]) -> None:
    """The same for three samples of the Gaussian copula, whose law is integrated along rays of a plane.

    The first variable goes through all pieces, the second through one piece for each of its outcomes.
    """
    p = problem(logits)
    prob = marginals(p)[:, 1]
    (u, z), other = gaussian_pieces(prob[0]), gaussian_pieces(prob[1])
    few, which = np.unique(other[1], axis=0, return_index=True)
    totals = [other[0].weights[(other[1] == outcome).all(1)].sum() for outcome in few]
    noise = stacked([u, Measure(other[0].points[which], np.array(totals))], 2)
    samples = stacked([Measure(z, u.weights), Measure(few, np.array(totals))], 2).points  # [M, 3, 2]
    np.testing.assert_allclose(mean(samples, noise.weights), np.tile(prob, (3, 1)), atol=1e-11)
    P11 = mean(samples[:, 0] * samples[:, 1], noise.weights)
    rho = prob * (1 - prob) / (prob - P11)
    g = run(Arms("gaussian"), p, {MAIN: noise.points}, 3)
    for i in range(0, len(g), 17):
        np.testing.assert_allclose(g[i], formula(p, samples[i], rho), atol=1e-9)
    np.testing.assert_allclose(mean(g, noise.weights), truth(p), atol=1e-10)


@pytest.mark.parametrize("N", [2, 3, 4, 7, 40])
@pytest.mark.parametrize("prob", [1e-13, 0.003, 0.2, 0.5])
def test_gaussian_pairs_that_part(N: int, prob: float) -> None:
    """P(G₁ < h < G₂) is the bivariate normal integral ∫_{−∞}^h n(x) Φ(−(h − r x)/√(1 − r²)) dx, r = −1/(N − 1)."""
    h, r = float(ndtri(prob)), -1 / (N - 1)

    def density(x: float) -> float:
        above = float(x < -h) if N == 2 else float(ndtr((r * x - h) / math.sqrt(1 - r * r)))
        return math.exp(-x * x / 2) / math.sqrt(2 * math.pi) * above

    expected = quad(density, h - 12, h, epsabs=0, epsrel=1e-12, limit=200)[0]
    found = parted(torch.tensor([h], dtype=torch.float64), N)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("copula", ["dirichlet", "gaussian"])
@pytest.mark.parametrize("phi", [0.8, -1.3, 0.0])
def test_two_samples_are_disarm(copula: str, phi: float) -> None:
    """ARMS with N = 2 is DisARM: of one variable with u = U₁, draw by draw."""
    p = problem([phi])
    u = Streams(0, "pairs", range(1)).uniform(MAIN, 400, 2, 1)
    if copula == "dirichlet":
        U = torch.log(u[:, 1]) / torch.log(u).sum(1)  # 1 − d₁
    else:
        U = torch.special.ndtr((torch.special.ndtri(u[:, 0]) - torch.special.ndtri(u[:, 1])) / math.sqrt(2))
    estimator = Arms("dirichlet" if copula == "dirichlet" else "gaussian")
    expected = run(Disarm(), p, {MAIN: U[:, None].numpy()})
    np.testing.assert_allclose(run(estimator, p, {MAIN: u.numpy()}, 2), expected, atol=1e-13)
    assert expected.any()


def test_two_samples_are_disarm_in_law() -> None:
    """For two variables on both sides of ½ the laws of ARMS with N = 2 and of DisARM are one."""
    p = problem([0.7, -1.2])
    u, _ = coupled(p, 2)
    v = mirrored(p)
    assert_same_law((run(Arms(), p, {MAIN: u.points}, 2), u.weights), (run(Disarm(), p, {MAIN: v.points}), v.weights))


def test_arms_reads_the_first_samples() -> None:
    """An estimate from 3 of 5 samples is that from a draw of these 3, and equal f cancels exactly."""
    p = problem([0.4, -0.9])
    u = Streams(0, "prefix", range(1)).uniform(MAIN, 50, 5, 2)
    whole = Draw(p, 50, 5, noise={MAIN: u})
    for copula in (Arms(), Arms("gaussian")):
        three = copula.joint(whole, 3)
        assert torch.equal(three, copula.joint(Draw(p, 50, 3, noise={MAIN: u[:, :3].contiguous()}), 3))
        assert bool((three != copula.joint(whole, 5)).any())
    flat = make(Product(offset=0.1, slope=0.0), torch.tensor([1.0], dtype=torch.float64))  # 0.1, thrice, is not 0.3
    (g,) = estimates(Arms(), Draw(flat, 300, 3, streams=Streams(0, "flat", range(1))), [3])
    assert not bool(g.any())


@pytest.mark.parametrize("copula", ["dirichlet", "gaussian"])
@pytest.mark.parametrize("phi", [-30.0, 30.0])
def test_arms_at_large_logits(copula: str, phi: float) -> None:
    """At ±30 a pair with one rare value is weighted by ρ → max(p, q), for 2 samples and for 5."""
    p = problem([phi])
    estimator = Arms("dirichlet" if copula == "dirichlet" else "gaussian")
    for N in (2, 5):
        u = np.full((1, N, 1), 1 - 1e-15)
        u[0, 0] = 1e-300  # d₁ → 1
        if copula == "gaussian":
            u[:] = 0.5
            u[0, 0] = 1e-40
        z = np.full((N, 1), float(phi > 0))
        z[0] = 1 - z[0]
        np.testing.assert_allclose(run(estimator, p, {MAIN: u}, N)[0], formula(p, z, np.ones(1)), rtol=1e-6)


# Wrong on purpose: what the sums above must catch.


@dataclass(frozen=True)
class Half:
    """DisARM without max(p, q)."""

    @property
    def facts(self) -> Facts:
        """As DisARM's."""
        return Disarm().facts

    def rows(self, draw: Draw) -> Tensor:
        """½ (f(z₁) − f(z₂)) (z₁ − z₂)."""
        return draw.lift(draw.antithetic_difference) * (draw.antithetic - draw.z) / 2


@dataclass(frozen=True)
class Flipped:
    """ARM with the samples mirrored in place of the uniforms."""

    @property
    def facts(self) -> Facts:
        """As ARM's."""
        return Arm().facts

    def rows(self, draw: Draw) -> Tensor:
        """(f(1 − z₂) − f(z₂)) (u − ½)."""
        return draw.lift(draw.problem.f(1 - draw.z) - draw.fz) * (draw.noise() - 0.5)


@dataclass(frozen=True)
class Shrunk:
    """ARMS divided by N."""

    @property
    def facts(self) -> Facts:
        """As of ARMS."""
        return Arms().facts

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """ρ/N Σ …"""
        return Arms().joint(draw, samples) * (samples - 1) / samples


@dataclass(frozen=True)
class Unweighted:
    """The leave-one-out sum of coupled samples, ρ = 1."""

    @property
    def facts(self) -> Facts:
        """As of ARMS."""
        return Arms().facts

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """1/(N − 1) Σ … at N = 2, where ρ = max(p, q)."""
        return Arms().joint(draw, samples) / torch.sigmoid(draw.distribution.logits.abs())


@pytest.mark.parametrize(("estimator", "N"), [(Half(), 1), (Flipped(), 1), (Shrunk(), 2), (Unweighted(), 2)])
def test_wrong_on_purpose(estimator: Estimator, N: int) -> None:
    """Estimators with a known mistake are off the exact gradient by far more than rounding."""
    p = problem([0.7, -1.2])
    u = mirrored(p) if N == 1 else coupled(p, N)[0]
    g = run(estimator, p, {MAIN: u.points}, N)
    assert np.abs(mean(g, u.weights) - truth(p)).max() > 1e-3
