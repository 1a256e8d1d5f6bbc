"""Exact moments by quadrature, and of means of rows, against calculations that share no code with the package."""

from __future__ import annotations

import ast
import itertools
import math
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic.dataclasses import dataclass
from scipy import integrate, optimize, special, stats
from torch import Tensor

import estbench
from estbench import catalogue
from estbench.draws import Draw
from estbench.errors import UsageError
from estbench.estimators.base import Facts
from estbench.exact import Exact, Unavailable, exact
from estbench.exact.quadrature import adaptive, gamma, lattice, lobatto, nested, panels
from estbench.exact.routes import _of_mean
from estbench.intervals import exact_verdict
from estbench.moments import SCALARS, Moments, first, power_sums
from estbench.objectives.power import Power
from estbench.objectives.quadratic import Quadratic
from estbench.problem import Problem
from estbench.streams import Streams
from tests.problems import make
from tests.sizes import at_whole_size, thinned


def build(name: str, **options: Any) -> Any:
    """An estimator of the catalogue."""
    return catalogue.build(catalogue.estimator_class(name), options)


def problem(logits: Any, name: str = "power", **options: Any) -> Problem:
    """A problem of an objective of the catalogue."""
    return make(catalogue.build(catalogue.objective_class(name), options), torch.tensor(logits, dtype=torch.float64))


def mean_and_variance(x: Exact, of: Problem) -> tuple[Any, float]:
    """E ĝ, [P], and trace Cov ĝ."""
    del of
    return x.mean, float(x.variance.sum())


@pytest.mark.parametrize(
    ("name", "tau", "phi"), thinned(7, product(["gumbel", "gumbel_st"], [0.1, 0.37, 2.0], [-5.0, -1.3, 0.0, 2.2, 5.0]))
)
def test_one_bernoulli_variable(name: str, tau: float, phi: float) -> None:
    """Mean and variance are those of scipy's adaptive quadrature over logistic noise, to 1e-8; so says the error."""
    of = problem([phi], target=0.3)
    x = exact(of, build(name, temperature=tau), 1)
    mean, variance = mean_and_variance(x, of)

    def slope(y: float) -> float:
        return float(3 * (y - 0.3) ** 2 * np.sign(y - 0.3))

    def row(noise: float) -> float:
        t = phi + noise
        a = np.exp(-abs(t) / tau)
        at = special.expit(t / tau) if name == "gumbel" else float(t > 0)
        return float(slope(at) * a / (1 + a) ** 2 / tau)

    def expected(g: Any) -> float:
        kink = phi - tau * special.logit(0.3)  # where y passes the target
        points = sorted({-60.0, 60.0, -phi, -kink, *(-phi + c * tau for c in (-40, -5, -1, 1, 5, 40))})
        parts = [
            integrate.quad(lambda s: g(row(s)) * stats.logistic.pdf(s), a, b, epsabs=0, epsrel=1e-12, limit=500)[0]
            for a, b in itertools.pairwise(points)
        ]
        return float(sum(parts))

    m = expected(lambda g: g)
    v = expected(lambda g: (g - m) ** 2)
    np.testing.assert_allclose(mean, [m], rtol=1e-8, atol=1e-12)
    assert variance == pytest.approx(v, rel=1e-8)
    assert x.error < 1e-8


def panels_of(tau: float, end: float, n: int) -> Any:
    """Nodes from −end to 0, n on each panel, and their weights; next to 0 panels are short beside τ."""
    edges = [0.0]
    while edges[-1] < end:
        edges.append(edges[-1] + min(max(0.7 * tau, 0.35 * edges[-1]), 2.5))
    s, w = special.roots_legendre(n)
    widths = np.diff(edges)
    u = -(np.array(edges[:-1])[:, None] + widths[:, None] * (s + 1) / 2)
    return u.ravel(), (widths[:, None] * w / 2).ravel()


def given_class(theta: Any, k: int, tau: float, end: float = 42.0, n: int = 11, scale: bool = False) -> tuple[Any, Any]:
    """Noisy logits x [M, K], θ + Gumbel, given that x_k is the largest, and weights that sum to 1.

    With x_i = x_k + u_i and ρ_i = e^{−u_i} − 1 the law of u is (K − 1)! Π π_i dρ_i/(1 + Σ π_i ρ_i)^K; x_k is 0, or
    −log T where the scale matters, and T^{K − 1} e^{−T (1 + Σ π_i ρ_i)} dT in the place of (K − 1)!/(…)^K. In log T
    a critic tanh(W x + b) has poles at a distance of π/(2 |Σ_i W_i|): the lattice, which converges like
    e^{−2π distance/step}, is fine enough for sums up to 2.
    """
    pi, K = special.softmax(theta), len(theta)
    u, w = panels_of(tau, end, n)
    grid = [a.ravel() for a in np.meshgrid(*[np.arange(len(u))] * (K - 1), indexing="ij")]
    total, weight, x = np.ones(len(grid[0])), np.ones(len(grid[0])), np.zeros((len(grid[0]), K))
    for i, index in zip((i for i in range(K) if i != k), grid, strict=True):
        x[:, i] = u[index]
        total += pi[i] * np.expm1(-u[index])
        weight *= pi[i] * w[index] * np.exp(-u[index])
    if not scale:
        return x, weight * special.factorial(K - 1) / total**K
    log_G = np.arange(-32 / K, 3.7, 0.16)  # G = T (1 + Σ π_i ρ_i)
    weight = (weight / total**K)[:, None] * 0.16 * np.exp(K * log_G - np.exp(log_G))
    log_T = log_G - np.log(total)[:, None]
    return (x[:, None, :] - log_T[:, :, None]).reshape(-1, K), weight.ravel()


def by_parts(of: Problem, parts: Any, tau: float, inner: int = 1, **options: Any) -> tuple[Any, float]:
    """E ĝ and trace Cov ĝ of a sum of functions of z and x, independent given z, or of a mean of `inner` of one."""
    theta = of.distribution.logits[0].numpy()
    pi, K, means, within = special.softmax(theta), len(theta), [], []
    for k in range(K):
        x, w = given_class(theta, k, tau, **options)
        rows = [part(np.eye(K)[k], x) for part in parts]
        means.append(sum(w @ row for row in rows))
        within.append(sum(w @ ((row - w @ row) ** 2).sum(1) for row in rows) / inner)
    mean = pi @ np.array(means)
    return mean, float(pi @ (np.array(within) + ((np.array(means) - mean) ** 2).sum(1)))


def relaxation(of: Problem, tau: float, at_sample: bool = False) -> Any:
    """J(y) ∇f(y)/τ, or J(y) ∇f(z)/τ, as a function of z and x."""

    def rows(z: Any, x: Any) -> Any:
        y = special.softmax(x / tau, axis=1)
        g = of.df(torch.from_numpy(z.reshape(1, 1, -1) if at_sample else y[:, None])).numpy().reshape(-1, len(z))
        return y * (g - (y * g).sum(1, keepdims=True)) / tau

    return rows


def conditioned(of: Problem, tau: float, eta: float) -> Any:
    """[f(z) − η f(ỹ)] s(z) − η T[J(ỹ) ∇f(ỹ)/τ] as a function of z and x̃; dx̃_i/dlog π_i = 1 − e^{x̃_i − x̃_k}."""
    pi = special.softmax(of.distribution.logits[0].numpy())

    def rows(z: Any, x: Any) -> Any:
        a = relaxation(of, tau)(z, x) * -np.expm1(x - (x @ z)[:, None])
        f, f_y = (
            of.f(torch.from_numpy(v)).numpy() for v in (z.reshape(1, 1, -1), special.softmax(x / tau, 1)[:, None])
        )
        return (f - eta * f_y)[:, None] * (z - pi) - eta * (a - pi * a.sum(1, keepdims=True))

    return rows


SMOOTH = ("quadratic", "sine", "mlp")


@pytest.mark.parametrize("seed", thinned(6, range(6)))
@pytest.mark.parametrize("K", [2, 3])
def test_relaxations_of_a_categorical(K: int, seed: int) -> None:
    """At random logits and τ, mean and variance are those of a product rule in other coordinates, to 1e-8."""
    rng = np.random.default_rng([K, seed])
    tau, theta = float(0.1 * 20 ** rng.random()), rng.uniform(-5, 5, K)
    of = problem([theta.tolist()], SMOOTH[seed % 3])
    y, y_z = relaxation(of, tau), relaxation(of, tau, at_sample=True)
    for name, options, parts, inner in (
        ("gumbel", {}, [y], 1),
        ("gumbel_st", {}, [y_z], 1),
        ("gumbel_rao", {"inner": 3}, [y_z], 3),
        ("rebar", {"eta": 0.7}, [lambda z, x: 0.7 * y(z, x), conditioned(of, tau, 0.7)], 1),
    ):
        x = exact(of, build(name, temperature=tau, **options), 1)
        agrees(x, of, *by_parts(of, parts, tau, inner))


def agrees(x: Exact, of: Problem, mean: Any, variance: float, tolerance: float = 1e-8) -> None:
    """Mean and variance are those given, and the recorded error says so."""
    found, spread = mean_and_variance(x, of)
    assert of.exact_gradient is not None
    size = float(np.linalg.norm(of.exact_gradient.numpy()))
    found_bias = float(np.linalg.norm(mean - of.exact_gradient.numpy()))
    bias = max(found_bias, 1e-3 * size)  # of less, not so many digits are known
    assert x.error <= tolerance
    assert np.linalg.norm(found - mean) <= tolerance * bias
    assert spread == pytest.approx(variance, rel=tolerance)


@at_whole_size
@pytest.mark.slow
@pytest.mark.parametrize(("tau", "theta"), [(0.6, [1.1, -2.3, 0.4, 0.0]), (1.7, [-3.9, 1.0, 2.7, -0.8])])
def test_relaxations_of_four_classes(tau: float, theta: list[float]) -> None:
    """The same at K = 4; the error is that of the product rule, 1e-7."""
    of = problem([theta], "sine")
    x = exact(of, build("gumbel_st", temperature=tau), 1)
    assert x.error < 1e-9
    agrees(x, of, *by_parts(of, [relaxation(of, tau, at_sample=True)], 2.0, end=26), tolerance=1e-7)


@at_whole_size
@pytest.mark.parametrize(
    "theta",
    [
        [0.3, -0.9, 0.5, 0.0],
        [5.0, -5.0, 0.0, -3.0],
        [4.1, 4.8, -4.9, 2.0],
    ],
)
@pytest.mark.slow
def test_four_classes_at_a_low_temperature(theta: list[float]) -> None:
    """At K = 4 and τ = .1 the attained error is below 1e-9; two methods of one mean and an unbiased one bear it out."""
    of = problem([theta], "sine")
    st, rao, rebar = (exact(of, build(name, temperature=0.1), 1) for name in ("gumbel_st", "gumbel_rao", "rebar"))
    assert max(st.error, rao.error, rebar.error) < 1e-9
    assert of.exact_gradient is not None
    size = np.linalg.norm(of.exact_gradient.numpy())
    means = [mean_and_variance(x, of)[0] for x in (st, rao, rebar)]
    assert np.linalg.norm(means[0] - means[1]) <= 1e-9 * size
    assert np.linalg.norm(means[2] - of.exact_gradient.numpy()) <= 1e-10 * size


@pytest.mark.slow
@pytest.mark.parametrize("exponent", [1.5, 3.0])
def test_kinks_in_two_axes(exponent: float) -> None:
    """Where f′ has a kink or a root at y = t, three classes still have 8 digits: panels within panels find it."""
    tau, theta = 0.3, [0.8, -1.5, 0.2]
    of = problem([theta], exponent=exponent, target=0.3)
    x = exact(of, build("gumbel", temperature=tau), 1)

    def relaxed(u: float, v: Any, k: int) -> Any:
        logits = np.insert(np.stack(np.broadcast_arrays(u, v), -1), k, 0.0, axis=-1)
        y = special.softmax(logits / tau, axis=-1)
        return y, y @ [0.0, 0.5, 1.0] - 0.3

    pi, sums, (s, w) = special.softmax(theta), np.zeros(4), special.roots_legendre(20)
    t, w = (s + 1) / 2, w / 2 * 30 * ((1 - s**2) / 4) ** 2
    t = t**3 * (10 - 15 * t + 6 * t**2)  # clustered at both ends
    for k in range(3):
        a, b = (pi[i] for i in range(3) if i != k)

        def along(u: float, k: int = k, a: float = a, b: float = b) -> Any:
            def away(v: float) -> float:  # the kink is where this is 0
                return float(relaxed(u, v, k)[1])

            kink = [optimize.brentq(away, -40, 0, xtol=1e-15)] if away(-40) * away(0) < 0 else []
            ends = np.unique([-40.0, -20.0, -8.0, -3.0, -1.0, -0.3, 0.0, *kink])
            v, weight = (ends[:-1, None] + np.diff(ends)[:, None] * t).ravel(), (np.diff(ends)[:, None] * w).ravel()
            y, far = relaxed(u, v, k)
            slope = (exponent * np.abs(far) ** (exponent - 1) * np.sign(far))[:, None] * np.array([0.0, 0.5, 1.0])
            g = y * (slope - (y * slope).sum(1, keepdims=True)) / tau
            law = 2 * a * b * np.exp(-u - v) / (1 + a * np.expm1(-u) + b * np.expm1(-v)) ** 3
            return (weight * law) @ np.column_stack((g, (g**2).sum(1)))

        sums += pi[k] * integrate.quad_vec(along, -40, 0, epsabs=1e-11, epsrel=1e-10, points=[-0.2, -1, -4])[0]
    agrees(x, of, sums[:3], sums[3] - sums[:3] @ sums[:3])


def fitted(name: str, of: Problem, seed: int = 0, **options: Any) -> Any:
    """An estimator of the catalogue, fitted to a problem on the draw of a seed."""
    estimator = build(name, n_fit=2048, steps=100, **options)
    return estimator.fit(of, Draw(of, estimator.n_fit, 1, streams=Streams(seed, "fit", range(1))))


@pytest.mark.parametrize(
    ("theta", "seed"),
    [
        *thinned(4, (([0.4, -1.2], seed) for seed in range(4))),
        *(pytest.param([0.3, -0.9, 0.5], seed, marks=pytest.mark.slow) for seed in range(4)),
    ],
)
def test_critics_of_noisy_logits(theta: list[float], seed: int) -> None:
    """Where the scale of the exponentials matters, fitted relax and lax agree with an integral over it, and with g.

    Both are unbiased, so the integral itself must have the mean g: it is right to 1e-11.
    """
    of = problem([theta], "sine")
    relax, lax = fitted("relax", of, seed, eta=0.0), fitted("lax", of, seed)
    H, K, pi = 10, len(theta), special.softmax(theta)

    def critic(numbers: Any, x: Any) -> tuple[Any, Any]:
        W, b, a = np.split(np.array(numbers[:-1]), [H * K, H * K + H])
        h = np.tanh(x @ W.reshape(H, K).T + b)
        return h @ a, (1 - h**2) @ (a[:, None] * W.reshape(H, K))

    def projected(h: Any) -> Any:
        return h - pi * h.sum(1, keepdims=True)

    def f(z: Any) -> float:
        return float(of.f(torch.from_numpy(z.reshape(1, 1, -1))))

    def with_score(z: Any, x: Any) -> Any:
        c, dc = critic(relax.fitted, x)
        pulled = projected(dc * -np.expm1(x - (x @ z)[:, None]))
        return (f(z) - c)[:, None] * (z - pi) - pulled

    def of_noise(z: Any, x: Any) -> Any:  # x here is log π − log e
        c, dc = critic(lax.fitted, x + (np.array(theta) - np.log(pi)))
        return (f(z) - c)[:, None] * (1 - pi * np.exp(-x)) + dc

    parts = [lambda _, x: projected(critic(relax.fitted, x)[1]), with_score]
    assert of.exact_gradient is not None
    for estimator, rows in ((relax, parts), (lax, [of_noise])):
        mean, variance = by_parts(of, rows, 2.0, end=30, n=14 if K == 2 else 9, scale=True)
        np.testing.assert_allclose(mean, of.exact_gradient.numpy(), rtol=0, atol=1e-11)
        agrees(exact(of, estimator, 1), of, mean, variance, tolerance=1e-7)


@pytest.mark.slow
def test_a_fitted_critic_against_simulation() -> None:
    """Fitted relax at K = 3: mean and variance within 5 standard errors of 4·10⁵ estimates (false-fail rate 3e-6).

    A difference of 7 standard errors is seen with 97 %.
    """
    of = problem([[0.3, -0.9, 0.5]], "sine")
    estimator = fitted("relax", of)
    mean, variance = mean_and_variance(exact(of, estimator, 1), of)
    g = estimator.rows(Draw(of, 400_000, 1, streams=Streams(1, "relax", range(1)))).view(-1, 3).numpy()
    assert (np.abs(g.mean(0) - mean) < 5 * g.std(0) / len(g) ** 0.5).all()
    squares = ((g - mean) ** 2).sum(1)
    assert abs(squares.mean() - variance) < 5 * squares.std() / len(g) ** 0.5


@pytest.mark.parametrize("phi", [-30.0, -12.0, 12.0])
@pytest.mark.parametrize("tau", [0.1, 1.0])
def test_large_logits(tau: float, phi: float) -> None:
    """At large logits unbiased rebar has the mean g; uniforms next to 1 tell q to 1e-16 only, and the error says so."""
    of = problem([phi], "sine")
    x = exact(of, build("rebar", temperature=tau), 1)
    assert of.exact_gradient is not None
    found = np.abs(mean_and_variance(x, of)[0] - of.exact_gradient.numpy())
    assert float(found.max()) < 1e-8 * float(of.exact_gradient.abs().max()) + 1e-16
    assert max(1e-12, 0.99 * 2**-53 * math.exp(abs(phi))) < x.error + 1e-12 < 2e-8 + 2**-53 * math.exp(abs(phi))


@pytest.mark.parametrize(
    ("name", "phi"),
    thinned(3, product(["arm", "disarm", "gumbel_st", "gumbel"], [-34.0, -30.0, -25.0, -20.0, 20.0, 25.0, 30.0, 34.0])),
)
def test_the_error_at_large_logits_is_not_understated(name: str, phi: float) -> None:
    """Mirrored problems (φ, target) and (−φ, 1 − target) have mirrored moments, to the errors that are recorded.

    And no estimator that is unbiased is called biased there.
    """
    two = [make(Quadratic(target=t), torch.tensor([x]).double()) for x, t in ((phi, 0.31), (-phi, 0.69))]
    a, b = (exact(of, build(name), 1) for of in two)
    (mean, variance), (mirrored, other) = (mean_and_variance(x, of) for x, of in zip((a, b), two, strict=True))
    assert np.abs(mean + mirrored).max() <= 2 * (a.mean_error + b.mean_error) + 1e-12 * np.abs(mean).max()
    assert abs(variance - other) <= 2 * (a.error + b.error) * variance
    for x, of in zip((a, b), two, strict=True):
        assert of.exact_gradient is not None
        moments = Moments.unpack(x.packed, of.exact_gradient.numpy())
        if build(name).facts.unbiased:
            assert exact_verdict(moments, x.mean_error) in ("unbiased", "inconclusive")


@pytest.mark.slow
def test_a_bias_that_is_hardly_known_is_not_called_none() -> None:
    """Where a kink in three axes leaves a large error, gumbel is still found biased, as its bias is larger."""
    of = make(Power(target=0.31, exponent=1.0), torch.tensor([[0.37, -1.9, 0.8, -0.31]]).double())
    x = exact(of, build("gumbel", temperature=0.05), 1)
    assert of.exact_gradient is not None
    assert x.error > 1e-3  # else this test says nothing
    assert exact_verdict(Moments.unpack(x.packed, of.exact_gradient.numpy()), x.mean_error) == "biased"


@pytest.mark.parametrize("N", [2, 3])
def test_tuples_of_states(N: int) -> None:
    """A mean of N rows has the same mean and variance/N, by the tuples of all states as by the rule."""
    of = problem([0.4, -1.0], "mlp")
    one, many = (mean_and_variance(exact(of, build("reinforce"), n), of) for n in (1, N))
    np.testing.assert_allclose(many[0], one[0], atol=1e-14)
    assert many[1] == pytest.approx(one[1] / N, rel=1e-12)


def test_means_of_integrated_rows() -> None:
    """A mean of N rows whose noise is integrated has the mean of one, 1/N of its variance, and more of its tails."""
    of = problem([0.4], "sine")
    one, five = (exact(of, build("gumbel", temperature=0.5), N) for N in (1, 5))
    (mean, v), (mean_of_5, v_of_5) = mean_and_variance(one, of), mean_and_variance(five, of)
    np.testing.assert_allclose(mean_of_5, mean, rtol=1e-14)
    assert v_of_5 == pytest.approx(v / 5, rel=1e-12)
    fourth, of_5 = (x.packed[0, SCALARS.index("d4")] for x in (one, five))
    assert of_5 / v_of_5**2 - 3 == pytest.approx((fourth / v**2 - 3) / 5, rel=1e-9)  # cumulants of a sum add up


@pytest.mark.parametrize("logits", [[0.4], [0.4, -1.0]])
def test_fourth_moments_of_means(logits: list[float]) -> None:
    """That of a mean of N rows from those of one row is that of all tuples, less 2 (N − 1)/N³ Σ_{d≠e} Σ_de²."""
    of, d4, N = problem(logits, "mlp"), SCALARS.index("d4"), 3
    one, many = (exact(of, build("reinforce"), n).packed for n in (1, N))
    ((z, P),) = of.enumerate()
    rows = of.f(z).unsqueeze(-1) * of.distribution.score(z)
    covariance = torch.cov(rows.T, correction=0, aweights=P).view(len(logits), -1).numpy()
    across = (covariance**2).sum() - (np.diag(covariance) ** 2).sum()
    assert (across > 0) == (len(logits) > 1)
    left_out = 2 * (N - 1) / N**3 * across
    assert _of_mean(one, N)[0, d4] == pytest.approx(many[0, d4] - left_out, rel=1e-12)


def test_cosines_are_known_for_tuples_alone() -> None:
    """Where only the moments of a row are known, the cosine of a mean of rows is not, and is NaN."""
    of = problem([0.4, -1.0, 0.3, 0.9, 0.2], "mlp")
    c1 = SCALARS.index("c1")
    assert np.isfinite(exact(of, build("reinforce"), 3).packed[0, c1])  # 2^15 tuples
    assert np.isnan(exact(of, build("reinforce"), 16).packed[0, c1])


def test_parts_add_up() -> None:
    """Integrating over independent parts one by one gives what the product grid gives, for rebar at K = 2."""
    of = problem([[0.0, 0.7]], target=0.3)
    additive = build("rebar", temperature=0.5, eta=0.6)
    assert additive.facts.additive
    whole = type("Whole", (), {"facts": replaced(additive.facts, additive=False), "rows": additive.rows})()
    a, b = (mean_and_variance(exact(of, estimator, 1), of) for estimator in (additive, whole))
    np.testing.assert_allclose(a[0], b[0], atol=1e-9)
    assert a[1] == pytest.approx(b[1], rel=1e-7)


def replaced(facts: Facts, **changes: Any) -> Facts:
    """Facts with some changed."""
    return Facts(**{**vars(facts), **changes})


def test_inner_draws_average() -> None:
    """gumbel_rao of M inner draws has the mean of one, and the variance by the law of total variance."""
    of = problem([0.7], target=0.3)
    means, variances = zip(
        *(mean_and_variance(exact(of, build("gumbel_rao", inner=M), 1), of) for M in (1, 2, 1000)), strict=True
    )
    np.testing.assert_allclose(means[0], means[2], atol=1e-10)
    within = 2 * (variances[0] - variances[1])
    assert variances[2] == pytest.approx(variances[0] - within * (1 - 1 / 1000), rel=1e-9)


@pytest.mark.parametrize(
    ("of", "name", "N", "reason"),
    [
        (([0.1, 0.2],), "gumbel", 1, "one variable only"),
        (([[0.1, 0.2, 0.0, 0.3, 0.1]],), "gumbel", 1, "at most 4 classes"),
        (([0.0] * 21,), "reinforce", 1, r"2\^21 joint states are more than 1048576"),
        (([0.1, 0.2, 0.3],), "rloo", 16, r"245157 multisets of 16 out of 2\^3 joint states are more than 65536"),
        (([0.1],), "rloo", 9000, r"9001 estimates evaluate f or ∇f 81009000 times in all, more than 67108864"),
        (([0.0] * 21, "mlp"), "reinforce", 1, "exact gradient is not known"),
    ],
)
def test_what_is_not_available_says_why(of: tuple[Any, ...], name: str, N: int, reason: str) -> None:
    """A cell without exact moments has a reason."""
    with pytest.raises(Unavailable, match=reason):
        exact(problem(*of), build(name), N)


def test_moving_averages_have_none() -> None:
    """What looks across replicates has no exact moments."""
    with pytest.raises(Unavailable, match="not a function of z alone"):
        exact(problem([0.1]), build("reinforce", baseline="moving_average"), 1)


@dataclass(frozen=True)
class Wrong:
    """Reads noise that its facts do not mention."""

    facts: ClassVar[Facts] = Facts("relaxation", exact="z")

    def rows(self, draw: Draw) -> Tensor:
        """The noise itself."""
        return draw.x


def test_undeclared_noise_is_an_error() -> None:
    """An estimator that reads noise without saying so gets no exact moments that are wrong, but an error."""
    with pytest.raises(LookupError, match="no noise named 'main'"):
        exact(problem([0.1]), Wrong(), 1)


def test_noise_that_is_not_integrated_is_pointed_out() -> None:
    """Facts that name noise but claim a function of z alone contradict each other, and the reason says so."""
    with pytest.raises(Unavailable, match="say exact='smooth'"):
        exact(problem([0.1]), Own(Facts("relaxation", exact="z", noise=("mine",))), 1)


@dataclass(frozen=True)
class Own:
    """ĝ = 2 u f(z) s(z) with a uniform of its own: unbiased, whatever its facts say of the noise."""

    facts: Facts

    def rows(self, draw: Draw) -> Tensor:
        """2 u f(z) s(z)."""
        return 2 * draw.uniform("mine", draw.problem.D) * draw.lift(draw.fz) * draw.score


@dataclass(frozen=True)
class OwnDeclared(Own):
    """The same, with the place where its uniform breakpoints: nowhere."""

    def breakpoints(self, of: Problem) -> dict[str, list[Tensor]]:
        """No points on one axis."""
        return {"mine": [torch.empty(0, dtype=of.distribution.logits.dtype)]}


def test_what_is_said_of_undeclared_noise_helps() -> None:
    """Noise that is declared as the error says it should be is integrated; with exact='none' there is no error."""
    of, facts = problem([0.1]), Facts("score function", f=1, exact="smooth")
    with pytest.raises(LookupError, match=r"declare it in facts\.noise, with exact='smooth'"):
        exact(of, Own(facts), 1)
    assert of.exact_gradient is not None
    mean, variance = mean_and_variance(exact(of, OwnDeclared(replace(facts, noise=("mine",))), 1), of)
    np.testing.assert_allclose(mean, of.exact_gradient.numpy(), rtol=1e-10)
    _, without = mean_and_variance(exact(of, build("reinforce"), 1), of)
    np.testing.assert_allclose(variance + mean**2, 4 / 3 * (without + mean**2), rtol=1e-10)  # E (2u)² = 4/3
    with pytest.raises(Unavailable, match="not a function of z alone"):
        exact(of, Own(replace(facts, exact="none")), 1)


def record_of(values: Any, weights: Any, pieces: int) -> Any:
    """Power sums, one record for each of so many equal parts, of estimates of one parameter."""
    x, w = torch.from_numpy(values).view(pieces, -1, 1), torch.from_numpy(weights).view(pieces, -1)
    return power_sums(x, torch.zeros(1), w, torch.zeros(1)).numpy()


@pytest.mark.parametrize(
    ("g", "integral"),
    [
        (np.log, -1.0),
        (np.log1p, 2 * np.log(2) - 1),
        (np.sqrt, 2 / 3),
        (lambda u: np.abs(u - 0.3) ** 0.5, (0.3**1.5 + 0.7**1.5) / 1.5),
        (lambda u: np.where(u > 1 / 3, 1.0, 0.0), 2 / 3),
    ],
)
def test_panels_find_kinks(g: Any, integral: float) -> None:
    """Panels that are halved where it moves something integrate singular ends, kinks and jumps to 1e-12."""

    def evaluate(parts: Any) -> Any:
        u, w = lobatto(parts[:, 1], parts[:, 2])
        return record_of(g(u.ravel()), w.ravel(), len(parts))

    coarse, fine = adaptive(evaluate, panels(0, np.array([0.0, 0.5, 1.0])), 1e-13)
    assert first(fine)[0, 0] == pytest.approx(integral, abs=1e-12)
    assert abs(first(fine) - first(coarse))[0, 0] < 1e-11


@pytest.mark.parametrize("gap", [1e-1, 3e-3, 1e-4, 1e-6])
def test_panels_find_kinks_next_to_an_edge(gap: float) -> None:
    """A kink that lies nearer to the edge of a panel than inner nodes do is found too."""

    def evaluate(parts: Any) -> Any:
        u, w = lobatto(parts[:, 1], parts[:, 2])
        return record_of(np.maximum(u.ravel() - 1 + gap, 0), w.ravel(), len(parts))

    _, fine = adaptive(evaluate, panels(0, np.array([0.0, 1.0])))
    assert first(fine)[0, 0] == pytest.approx(gap**2 / 2, rel=1e-9, abs=1e-16)


def test_groups_of_panels_are_apart() -> None:
    """Each group has a sum of its own, whichever panels are halved how often."""

    def evaluate(parts: Any) -> Any:
        u, w = lobatto(parts[:, 1], parts[:, 2])
        return record_of(np.abs(u - parts[:, :1] / 7).ravel(), w.ravel(), len(parts))

    _, fine = adaptive(evaluate, np.concatenate([panels(i, np.array([0.0, 1.0])) for i in range(7)]))
    c = np.arange(7) / 7
    np.testing.assert_allclose(first(fine)[:, 0], (c**2 + (1 - c) ** 2) / 2, rtol=1e-11)


@pytest.mark.parametrize("log_pi", [(-1.0,), (-0.5, -2.0), (-9.0, -0.1), (-1.0, -2.0, -5.0)])
def test_lattices_have_their_law(log_pi: tuple[float, ...]) -> None:
    """Ratios of exponentials to one more have E 1, E 1/(1 + Σ r) and E 1/(1 + a r_i) as they should, to 1e-10."""
    n, (r, w) = len(log_pi), lattice(log_pi, 0.2)
    assert float(w.sum()) == pytest.approx(1, abs=1e-11)
    assert float(w @ (1 / (1 + r.sum(1)))) == pytest.approx(1 / (n + 1), abs=1e-11)
    for i, own in enumerate(log_pi):
        a = np.exp(-own)  # E 1/(1 + a r) = a (log a)/(a − 1)² − 1/(a − 1)
        expected = a * np.log(a) / (a - 1) ** 2 - 1 / (a - 1)
        assert float(w @ (1 / (1 + a * r[:, i]))) == pytest.approx(expected, rel=1e-10)


def test_two_ratios_by_panels_within_panels() -> None:
    """P(r₁ > a, r₂ > b) = 1/(1 + a + b), a jump in each axis, and a kink across both, to 1e-9."""

    def evaluate(where: Any) -> Any:
        return lambda r, w, pieces: record_of(where(r).astype(float), w, pieces)

    edges = np.array([-36.0, -10, -4, -2, 0, 2, 4, 10, 40])
    _, both = nested(evaluate(lambda r: (r[:, 0] > 0.5) & (r[:, 1] > 1.2)), edges, edges)
    assert first(both)[0, 0] == pytest.approx(1 / 2.7, abs=1e-9)
    _, across = nested(evaluate(lambda r: np.maximum(1 - r[:, 0] - r[:, 1], 0)), edges, edges)
    assert first(across)[0, 0] == pytest.approx(1.5 - 2 * np.log(2), abs=1e-10)


def test_gamma_variables() -> None:
    """E 1, E G, E G² and E log G of gamma variables, to 1e-11."""
    for K in (2, 3, 4):
        G, w = gamma(K, 0.25)
        found = [float(w @ v) for v in (torch.ones_like(G), G, G**2, G.log())]
        np.testing.assert_allclose(found, [1, K, K * (K + 1), special.digamma(K)], rtol=1e-11)


def test_the_engine_knows_no_estimator() -> None:
    """Nothing that feeds draws to estimators imports one: only the contract in `estimators.base`."""
    root = Path(estbench.__file__).parent
    for path in (root / "estimate.py", *root.glob("exact/*.py"), *root.glob("engine/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("estbench.estimators"):
                assert node.module == "estbench.estimators.base", path


@pytest.mark.parametrize("name", catalogue.ESTIMATORS)
def test_what_an_estimator_does_not_serve_is_said(name: str) -> None:
    """Of variables, or numbers of them or of samples, that it does not serve there is one message, and no traceback."""
    kind = catalogue.estimator_class(name)
    estimator = catalogue.build(kind, {"temperature": 1.0} if "temperature" in catalogue.option_names(kind) else {})
    facts = estimator.facts
    for of in problem([0.4, -1.2]), problem([[0.4, -1.2, 0.9]]):
        if facts.unserved(of.distribution.name) is not None or facts.min_samples > 1:
            with pytest.raises(UsageError, match=r"(serves|needs) .*; here are "):
                exact(of, estimator, 1)
