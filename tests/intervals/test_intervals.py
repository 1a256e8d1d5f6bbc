"""Every formula of the intervals against a slow and obvious version on raw estimates."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from itertools import product
from math import sqrt

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq

from estbench.errors import UsageError
from estbench.intervals import (
    Estimate,
    Shards,
    bias_bound,
    bias_norm,
    bias_p_value,
    bias_squared,
    cosine,
    cosine_of_mean,
    exact_metrics,
    exact_verdict,
    flags,
    metrics,
    mse,
    precision,
    relative_bias,
    replicates_to_decide,
    scaled_bias_squared,
    scaled_variance,
    shards_needed,
    snr,
    variance,
    verdict,
)
from estbench.intervals.bias import bound_within
from estbench.intervals.quadratic import QuadraticForm
from tests.intervals.cells import categorical, reinforce, straight_through
from tests.intervals.sums import RNG, Floats, skewed, sums
from tests.sizes import thinned


def hall(x: float, a: float) -> float:
    """H as printed."""
    return x + a * x**2 / 3 + a**2 * x**3 / 27 + a / 6


def hall_ends(x: Floats, level: float = 0.95) -> tuple[float, float]:
    """The means that Hall's transformed t does not reject, by root finding."""
    a, se = float(stats.skew(x)) / sqrt(len(x)), x.std(ddof=1) / sqrt(len(x))
    z = stats.norm.ppf((1 + level) / 2)
    roots = [brentq(lambda t, target=target: hall(t, a) - target, -1e3, 1e3, xtol=1e-13) for target in (z, -z)]
    return x.mean() - se * roots[0], x.mean() - se * roots[1]


@dataclass(frozen=True)
class Form:
    """The law of T = ‖b̂‖² written out; x [S, P] with Σ xxᵀ = V̂, and the noise of shards along b̂, [S]."""

    T: float
    trV: float
    trVV: float
    x: Floats
    along: Floats
    inflate: float

    def spread(self, beta: float, least: float) -> float:
        """Q(β) by sums over pairs and triples of distinct shards."""
        S, x, y = len(self.x), self.x, self.along
        trVVV = w = 0.0
        for s, t in itertools.permutations(range(S), 2):
            w += y[s] * (x[s] @ x[t]) * y[t] * S / (S - 1)
            others = np.delete(x, [s, t], axis=0)
            trVVV += (x[s] @ x[t]) * ((others @ x[s]) @ (others @ x[t])) * S**2 / ((S - 1) * (S - 2))
        trVVV = float(np.clip(trVVV, self.trVV**2 / self.trV, self.trVV**1.5))
        q = float((y**2).sum())
        covariance = 4 * max(w - trVVV, 0) + 2 * trVVV
        slope = min(covariance / (4 * max(q - self.trVV, 0) + 2 * self.trVV), sqrt(self.trVV))
        Q = q - self.trVV + slope * (beta - self.T + self.trV)
        return self.inflate * float(np.clip(Q, least * beta, beta * self.trV))

    def root(self, at: float, probability: float, least: float = 0.0) -> float:
        """Solve F(at; β) = probability."""
        near, far = self.spread(0.0, least), self.spread(1e9, least)  # between its ends Q(β) is linear
        assert near == 0.0 < far

        def off(beta: float) -> float:
            return form_cdf(at, beta, self.trV, self.trVV, self.spread(beta, least)) - probability

        high = at
        while off(high) > 0:
            high *= 2
        return float(brentq(off, 0, high, xtol=1e-15, rtol=1e-14))

    @property
    def zero(self) -> float:
        """1 − F(T; 0)."""
        return 1 - form_cdf(self.T, 0, self.trV, self.trVV, 0.0)

    @property
    def least(self) -> float:
        """Half the spread along b̂, for the lower end."""
        return float((self.along**2).sum()) / self.T / 2


def form_cdf(T: float, beta: float, trV: float, trVV: float, Q: float) -> float:
    """F(T; β): scaled noncentral χ² of mean β + trV, variance 2trV² + 4Q, the latter part by its noncentrality."""
    c = (trVV + Q) / (beta + trV)
    nu, shift = trVV / c**2, Q / c**2
    assert c * (nu + shift) == pytest.approx(beta + trV)
    assert c**2 * (2 * nu + 4 * shift) == pytest.approx(2 * trVV + 4 * Q)
    if shift > 1e5:
        return float(
            stats.gamma.cdf(T, (beta + trV) ** 2 / (2 * trVV + 4 * Q), scale=(2 * trVV + 4 * Q) / (beta + trV))
        )
    return float(stats.ncx2.cdf(T / c, nu, shift) if shift > 0 else stats.chi2.cdf(T / c, nu))


def trace_square(d: Floats, n: int, total: float, rank: int) -> float:
    """Trace Σ² by the P × P covariance of shard means, corrected as for a Wishart matrix, within its bounds."""
    k = len(d) - 1
    C = n * np.cov(d.T, ddof=1).reshape(d.shape[1], d.shape[1])
    square = k**2 / ((k + 2) * (k - 1)) * (np.trace(C @ C) - np.trace(C) ** 2 / k)
    return float(np.clip(square, total**2 / rank, total**2))


def close(found: Estimate, *wanted: float) -> None:
    """Compare value, low and high (sums of powers lose some digits against the raw numbers)."""
    np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("P", [1, 2, 5])
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_variance_and_its_jackknife(P: int, level: float) -> None:
    """v is np.var with ddof 1; its error comes from leaving out each shard in turn, and a floor of 2v²/R²."""
    raw, g = skewed(P)
    S, n, _ = raw.shape
    v = raw.reshape(-1, P).var(axis=0, ddof=1).sum()
    left = np.array([np.delete(raw, s, axis=0).reshape(-1, P).var(axis=0, ddof=1).sum() for s in range(S)])
    se = sqrt((S - 1) / S * ((left - left.mean()) ** 2).sum() + 2 * v**2 / (S * n) ** 2)
    t = stats.t.ppf((1 + level) / 2, S - 1)
    s = Shards.of(sums(raw, g), level)
    np.testing.assert_allclose(s.v_without, left, rtol=1e-9)
    close(variance(s), v, v * np.exp(-t * se / v), v * np.exp(t * se / v))
    assert precision(s, "variance") == pytest.approx(se / v, rel=1e-7)


def test_variance_floor() -> None:
    """Where shards do not differ (±1 in equal shares) only the floor is left: se/v = √2/R."""
    raw = np.tile([1.0, -1.0], (16, 10))[:, :, None]
    assert precision(Shards.of(sums(raw, np.zeros(1))), "variance") == pytest.approx(sqrt(2) / 320, rel=1e-6)


@pytest.mark.parametrize("P", [1, 4])
def test_mse(P: int) -> None:
    """The MSE is the mean of ‖ĝ − g‖², with the spread of its shard means as error; unknown without g."""
    raw, g = skewed(P)
    S = len(raw)
    shard = ((raw - g) ** 2).sum(-1).mean(1)
    se, t = shard.std(ddof=1) / sqrt(S), stats.t.ppf(0.975, S - 1)
    s, Y = Shards.of(sums(raw, g)), shard.mean()
    close(mse(s), Y, Y * np.exp(-t * se / Y), Y * np.exp(t * se / Y))
    assert precision(s, "mse") == pytest.approx(se / Y, rel=1e-7)
    assert np.isnan(mse(Shards.of(sums(raw, None)))).all()


def test_bias_of_one_parameter() -> None:
    """P = 1: bias² is debiased by v/R; its interval squares Hall's; the test and the one-sided bounds are Hall's."""
    covered = set()
    for offset in (0.0, 1.0, -1.0):
        raw, g = skewed(1)
        raw += g + offset - raw.mean()
        x = (raw - g).ravel()
        low, high = hall_ends(x)
        covered.add(low <= 0 <= high)
        s = Shards.of(sums(raw, g))
        value = x.mean() ** 2 - x.var(ddof=1) / len(x)
        close(bias_squared(s), value, 0 if low <= 0 <= high else min(low**2, high**2), max(low**2, high**2))
        h = hall(x.mean() / (x.std(ddof=1) / sqrt(len(x))), float(stats.skew(x)) / sqrt(len(x)))
        assert bias_p_value(s) == pytest.approx(2 * stats.norm.sf(abs(h)), rel=1e-6)
        assert bias_bound(s) == pytest.approx(max(e**2 for e in hall_ends(x, 0.9)), rel=1e-7)
    assert covered == {True, False}


@pytest.mark.parametrize(("level", "size", "P"), thinned(18, product([0.95, 0.8], [0.0, 0.1, 0.6], [2, 5, 40])))
def test_bias_of_many_parameters(P: int, size: float, level: float) -> None:
    """P > 1: bounds of ‖b‖² with traces of V, V², V³, Q(β) and both tails as printed, also where P exceeds S."""
    raw, g = skewed(P)
    raw += size - 0.1
    S, n, _ = raw.shape
    R, flat = S * n, raw.reshape(-1, P)
    b, v = flat.mean(0) - g, flat.var(axis=0, ddof=1).sum()
    d = raw.mean(1) - flat.mean(0)
    T, trV, trVV = b @ b, v / R, trace_square(d, n, v, P) / R**2
    z, t = stats.norm.ppf((1 + level) / 2), stats.t.ppf((1 + level) / 2, S - 1)
    x = d / sqrt(S * (S - 1))
    form, tail = Form(T, trV, trVV, x, x @ b, (t / z) ** 2), (1 - level) / 2
    p0 = form.zero
    low = 0.0 if p0 >= 2 * tail else form.root(T, 1 - tail * (1 + p0 / (2 * tail)), form.least)
    s = Shards.of(sums(raw, g), level)
    close(bias_squared(s), T - trV, low, form.root(max(T, trV), tail))
    assert (bias_squared(s).low == 0) is (low == 0)
    norms = [sqrt(max(0, x)) for x in bias_squared(s)]
    close(bias_norm(bias_squared(s)), *norms)
    close(relative_bias(bias_squared(s), s.true_norm), *(x / float(np.linalg.norm(g)) for x in norms))
    one_sided = replace(form, inflate=(stats.t.ppf(0.95, S - 1) / stats.norm.ppf(0.95)) ** 2)
    assert bias_bound(s) == pytest.approx(one_sided.root(max(T, trV), 0.05), rel=1e-7)
    assert [bound_within(s, bias_bound(s) * (1 + x)) for x in (-1e-9, 1e-9)] == [False, True]


def isotropic(T: float, nu: float, eigenvalue: float) -> QuadraticForm:
    """V of one eigenvalue in ν dimensions: q and w are then known from T."""
    powers = (nu * eigenvalue, nu * eigenvalue**2, nu * eigenvalue**3)
    return QuadraticForm(T, *powers, q=eigenvalue * T, w=eigenvalue**2 * T)


@pytest.mark.parametrize("nu", [1.0, 3.0, 1e6])
@pytest.mark.parametrize("far", [0.5, 5.0, 400.0])
def test_bounds_where_the_law_is_known(nu: float, far: float) -> None:
    """If V has one eigenvalue, 2, in ν dimensions, Q = 2β, and T/2 is noncentral χ²: its 2.5 and 97.5 % bounds."""
    T = 2 * (nu + far * sqrt(2 * nu))
    form = isotropic(T, nu, 2.0)
    assert form.spread(3.0) == pytest.approx(6.0)
    assert stats.ncx2.cdf(max(T / 2, nu), nu, form.upper(0.025) / 2) == pytest.approx(0.025, abs=2e-4)
    if far > 2.5:
        assert stats.ncx2.cdf(T / 2, nu, form.lower(0.025) / 2) == pytest.approx(0.975, abs=2e-4)


def test_bounds_far_from_zero() -> None:
    """Beyond a noncentrality of 1e5 the bounds are those of a normal b̂ along its direction, to .2 % of their width."""
    for T in (0.9e5, 1.1e5, 1e7, 1e12):
        form, z = isotropic(T, 2.0, 1.0), stats.norm.ppf(0.975)
        for bound, expected in ((form.lower(0.025), sqrt(T - 1) - z), (form.upper(0.025), sqrt(T - 1) + z)):
            assert sqrt(bound) == pytest.approx(expected, abs=0.004 * z)


@pytest.mark.parametrize("P", [2, 5, 40])
def test_p_value_of_bias(P: int) -> None:
    """Corrected t's in a quadratic form with three moments of the correlations; a constant coordinate is left out."""
    raw, g = skewed(P)
    raw[..., 0] = 0.3
    S, n, _ = raw.shape
    R, flat = S * n, raw.reshape(-1, P)[:, 1:]
    sd = flat.std(axis=0, ddof=1)
    h = [
        hall((x.mean() - c) / (x.std(ddof=1) / sqrt(R)), stats.skew(x) / sqrt(R))
        for x, c in zip(flat.T, g[1:], strict=True)
    ]
    d = (raw.mean(1)[:, 1:] - flat.mean(0)) / sd
    trRR = trace_square(d, n, P - 1, P - 1)
    G = n / (S - 1) * d @ d.T
    cube = sum(G[i, j] * G[j, k] * G[k, i] for i, j, k in itertools.permutations(range(S), 3))
    trRRR = np.clip(cube * S**2 / ((S - 1) * (S - 2)), trRR**2 / (P - 1), trRR**1.5)
    nu = trRR**3 / trRRR**2
    p = stats.chi2.sf(nu + (sum(x**2 for x in h) - (P - 1)) * sqrt(nu / trRR), nu)
    assert bias_p_value(Shards.of(sums(raw, g))) == pytest.approx(p, rel=1e-6, abs=1e-300)


@pytest.mark.parametrize("P", [1, 3])
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_cosine(P: int, level: float) -> None:
    """E cos(ĝ, g) is the mean over replicates, zeros counting as 0, with Hall's interval cut at ±1."""
    raw, g = skewed(P)
    raw[:, 0] = 0
    flat = raw.reshape(-1, P)
    c = np.array([0.0 if not x.any() else x @ g / np.linalg.norm(x) / np.linalg.norm(g) for x in flat])
    low, high = hall_ends(c, level)
    close(cosine(Shards.of(sums(raw, g), level)), c.mean(), max(low, -1), min(high, 1))
    assert metrics(sums(raw, g))["zero_fraction"] == pytest.approx(1 / 30)
    assert precision(Shards.of(sums(raw, g)), "cosine") == pytest.approx(c.std(ddof=1) / sqrt(len(c)) / abs(c.mean()))


def test_cosine_is_clipped() -> None:
    """Hall's interval of two +1 and one −1, or of the opposite, reaches beyond ±1 and is cut there."""
    for sign in (1, -1):
        raw = sign * np.array([1.0, 1.0, -1.0]).reshape(3, 1, 1)
        np.testing.assert_allclose(cosine(Shards.of(sums(raw, np.ones(1)))), [sign / 3, -1, 1])


def direction(raw: Floats, g: Floats) -> tuple[str, list[float]]:
    """Cosine of the mean with its interval, and how that is had: `angle` (Fieller) or `bounds` (of the part across)."""
    S, n, P = raw.shape
    u, mean = g / np.linalg.norm(g), raw.mean((0, 1))
    Q = np.eye(P) - np.outer(u, u)
    a, h, d = mean @ u, Q @ mean, raw.mean(1) - mean
    V = np.cov(raw.mean(1).T, ddof=1) / S
    trV_h = np.trace(Q @ V @ Q)
    h0 = sqrt(max(0, h @ h - trV_h))
    trVV_h = trace_square(d @ Q, n, trV_h * S * n, P - 1) / (S * n) ** 2
    z, t = stats.norm.ppf(0.975), stats.t.ppf(0.975, S - 1)
    noise = np.cov(d @ np.stack([h / np.linalg.norm(h), u]).T, rowvar=False, ddof=1) / S  # of h₀ and a
    more = np.array([[trVV_h / (2 * h0**2) if h0 > 0 else np.inf, 0], [0, 0]])
    value = a / sqrt(a**2 + h0**2)
    if h0 > 2 * sqrt((noise + more)[0, 0]):
        centre = np.arctan2(h0, a)

        def rejected(theta: float) -> float:
            x = np.array([np.cos(theta), -np.sin(theta)])
            return float((x @ [h0, a]) ** 2 - t**2 * x @ (noise + more) @ x)

        angles = [brentq(rejected, centre, centre + x * np.pi / 2, xtol=1e-14) for x in (-1, 1)]
        return "angle", [value, *sorted(np.cos(np.clip(angles, 0, np.pi)))]
    T, x = h @ h, d / sqrt(S * (S - 1))
    form = Form(T, trV_h, trVV_h, x @ Q, x @ h - h0 / a * sqrt(T) * x @ u, (t / z) ** 2)
    low = 0.0 if form.zero >= 0.025 else form.root(T, 0.975, form.least)
    return "bounds", [value, *sorted(a / sqrt(a**2 + x) for x in (low, form.root(max(T, trV_h), 0.025)))]


@pytest.mark.parametrize("P", [2, 5, 40])
@pytest.mark.parametrize("away", [0.0, 0.5])
@pytest.mark.parametrize("sign", [1, -1])
def test_cosine_of_mean(P: int, away: float, sign: int) -> None:
    """cos(E ĝ, g) is debiased across g; its ends are Fieller's angles, or from bounds of the part across."""
    raw, g = skewed(P, noise=0.2)
    across = RNG().normal(size=P)
    across -= across @ g / (g @ g) * g
    across /= np.linalg.norm(across)
    raw = raw - 0.1 - g + sign * g / np.linalg.norm(g) + away * across
    how, wanted = direction(raw, g)
    assert how == "angle" or away == 0
    close(cosine_of_mean(Shards.of(sums(raw, g))), *wanted)


def centred(shifts: tuple[float, float]) -> Floats:
    """Raw normal estimates of two parameters whose mean is that many of its standard errors from 0."""
    raw = RNG().normal(size=(20, 30, 2))
    raw -= raw.mean((0, 1))
    shifted: Floats = raw + np.array(shifts) * raw.mean(1).std(axis=0, ddof=1) / sqrt(20)
    return shifted


@pytest.mark.parametrize(
    ("along", "across", "how"),
    [
        (50, 1.9, "bounds"),
        (50, 2.06, "bounds"),
        (50, 2.13, "angle"),
        (-50, 2.13, "angle"),
        (50, 2.9, "angle"),
        (4, 4, "angle"),
        (-1, 5, "angle"),
        (0.5, 3.5, "angle"),
        (3.1, 0, "bounds"),
        (-3.1, 1, "bounds"),
    ],
)
def test_cosine_of_mean_near_zero(along: float, across: float, how: str) -> None:
    """A mean of a few standard errors: Fieller's angles, within 0 and π, once h₀ > 2 se(h₀)."""
    raw, g = centred((along, sqrt(1 + across**2))), np.array([2.0, 0.0])
    chosen, wanted = direction(raw, g)
    assert chosen == how
    close(cosine_of_mean(Shards.of(sums(raw, g))), *wanted)


def test_cosine_of_mean_without_a_direction() -> None:
    """Any cosine is possible if the mean is near 0: within 3 standard errors along g, and about 2 across it.

    P = 1: if Hall's interval of the mean holds 0.
    """
    g = np.array([1.0, 0.0])
    for shifts, known in (
        ((2.9, 0.0), False),
        ((3.1, 0.0), True),
        ((0.0, sqrt(1 + 2.1**2)), False),
        ((0.0, 4.0), True),
    ):
        _, low, high = cosine_of_mean(Shards.of(sums(centred(shifts), g)))
        assert ((low, high) == (-1, 1)) is not known
    short = Shards.of(sums(centred((0.3, sqrt(1 + 2.3**2))), g), level=0.99)  # h₀ is 2.3 se, and t 2.86
    assert tuple(cosine_of_mean(short))[1:] == (-1, 1)
    for shift, known in ((1.5, False), (2.5, True)):  # z is 1.96
        one = centred((0.0, 0.0))[..., :1]
        one += shift * one.std(ddof=1) / sqrt(one.size)
        expected = (1.0, 1.0, 1.0) if known else (1.0, -1.0, 1.0)
        assert tuple(cosine_of_mean(Shards.of(sums(one, g[:1])))) == expected
        assert tuple(cosine_of_mean(Shards.of(sums(-one, g[:1])))) == (
            (-1.0, -1.0, -1.0) if known else (-1.0, -1.0, 1.0)
        )


@pytest.mark.parametrize("P", [1, 4])
def test_snr_and_scaled_metrics(P: int) -> None:
    """Debiased norm of the mean over √v; bias² and variance after rescaling the mean to the length of g."""
    raw, g = skewed(P, noise=0.3)
    raw += 2 - raw.mean((0, 1))
    flat = raw.reshape(-1, P)
    v = flat.var(axis=0, ddof=1).sum()
    norm = sqrt(flat.mean(0) @ flat.mean(0) - v / len(flat))
    s = Shards.of(sums(raw, g))
    assert snr(s) == pytest.approx(norm / sqrt(v))
    assert scaled_variance(s) == pytest.approx(v * (g @ g) / norm**2)
    assert scaled_bias_squared(s) == pytest.approx(2 * (g @ g) * (1 - cosine_of_mean(s).value), abs=1e-12)
    assert snr(Shards.of(sums(raw, None))) == pytest.approx(norm / sqrt(v))


def test_scaled_bias_forgets_the_scale() -> None:
    """Doubling every estimate leaves the scaled bias² and variance as they were, and changes the plain ones."""
    raw, g = skewed(3, noise=0.3)
    once, twice = metrics(sums(raw, g)), metrics(sums(2 * raw, g))
    for name in ("scaled_bias_squared", "scaled_variance", "snr", "cosine_of_mean", "cosine"):
        assert twice[name] == pytest.approx(once[name], rel=1e-7)
    assert twice["variance"] == pytest.approx(4 * float(once["variance"]))
    b = 2 * raw.mean((0, 1)) - g
    assert twice["bias_squared"] == pytest.approx(b @ b - 4 * float(once["variance"]) / 600)


def test_replicates_to_decide() -> None:
    """n = c·h(ν)·R/(δ‖g‖)², with h(1) = 8.56 = (z.9 + z.95)² less a hair, found here by root finding."""
    raw, g = skewed(3)
    s = Shards.of(sums(raw, g))
    trSS = trace_square(raw.mean(1) - raw.mean((0, 1)), 30, s.v, 3)
    nu = s.v**2 / trSS
    h = brentq(lambda x: stats.ncx2.cdf(stats.chi2.ppf(0.8, nu), nu, x) - 0.05, 1, 100)
    assert replicates_to_decide(s, 0.02) == pytest.approx(trSS / s.v * h / (0.02 * np.linalg.norm(g)) ** 2, rel=1e-6)
    raw, g = skewed(1)
    s = Shards.of(sums(raw, g))
    assert replicates_to_decide(s, 0.01) / (s.v / (0.01 * abs(g[0])) ** 2) == pytest.approx(8.563, abs=1e-3)


def test_verdict() -> None:
    """Equivalence is asked first, then the adjusted p; an inconclusive one names the replicates to run."""
    raw, g = skewed(3)
    s = Shards.of(sums(raw, g))
    wide = 1.01 * sqrt(bias_bound(s)) / float(np.linalg.norm(g))
    assert verdict(s, 1e-9, delta=wide) == "unbiased"
    assert verdict(s, 0.049, delta=0.98 * wide) == "biased"
    n = int(verdict(s, 0.051, delta=0.98 * wide).removeprefix("inconclusive: about ").removesuffix(" more replicates"))
    wanted = replicates_to_decide(s, 0.98 * wide)
    assert wanted <= n <= 1.11 * wanted + 1
    assert verdict(s, float("nan"), delta=0.98 * wide).startswith("inconclusive")
    assert verdict(Shards.of(sums(raw, None)), 0.001) == ""


def test_shards_needed() -> None:
    """⌈S·(S−1)/χ²_.05·(r/target)²⌉, no less than the pilot, no more than the cap; a flagged pilot goes to the cap."""
    s = Shards.of(reinforce(0.3, 2).draw(RNG(), 32, 200))
    assert flags(s) == ()
    for metric in ("variance", "mse", "cosine"):
        r = precision(s, metric)
        assert shards_needed(s, r / 3, 10**6, metric) == int(np.ceil(32 * 9 * 31 / stats.chi2.ppf(0.05, 31)))
        assert shards_needed(s, r / 3, 100, metric) == 100
        assert shards_needed(s, 3 * r, 10**6, metric) == 32
    rare = Shards.of(reinforce(0.0005, 1).draw(RNG(), 32, 50))
    assert shards_needed(rare, 1e9, 10**6) == 10**6


def test_flag_few_events_counts_effective_events() -> None:
    """k rare jumps of one size: R·v²/Var‖ĝ − m‖² is about k, so 5 are few and 20 are not."""
    for k, few in ((5, True), (20, False)):
        raw = np.zeros((32, 300, 1))
        raw[:k, 0] = 1
        assert ("few_events" in flags(Shards.of(sums(raw, np.zeros(1))))) is few


def test_flag_few_events_forgives_what_does_not_vary() -> None:
    """‖ĝ − m‖² of ±1 in equal shares does not vary: even 6 estimates are enough events."""
    assert flags(Shards.of(sums(np.tile([[1.0], [-1.0]], (3, 1, 1)), np.ones(1)))) == ()


def test_flag_few_events_sees_one_dominant_estimate() -> None:
    """One estimate that holds more than a fifth of Σ‖ĝ − m‖⁴ is flagged, below it is not, at n_eff > 10 both."""
    for size, few in ((8.5, True), (5.5, False)):
        raw = np.where(RNG().random((32, 300, 1)) < 0.5, 1.0, -1.0)
        raw[0, 0] = size  # size⁴ against 9599: 5220/14819 = .35, and 915/10514 = .09
        assert ("few_events" in flags(Shards.of(sums(raw, np.zeros(1))))) is few


def test_flag_heavy_tail() -> None:
    """Cauchy estimates are flagged, normal ones are not, and small or few shards are not judged."""
    rng = RNG()
    draws = {"cauchy": rng.standard_cauchy((64, 200, 1)), "normal": rng.normal(size=(64, 200, 1))}
    heavy = {name: "heavy_tail" in flags(Shards.of(sums(raw, np.zeros(1)))) for name, raw in draws.items()}
    # the statistic, a Hill estimate from 16 maxima (nearly Gamma of shape 16), is 2.15 ± .54 and .17 ± .04: either
    # crosses .45 with a chance of 1e-6
    assert heavy == {"cauchy": True, "normal": False}
    assert "heavy_tail" not in flags(Shards.of(sums(draws["cauchy"][:, :99], np.zeros(1))))
    assert "heavy_tail" not in flags(Shards.of(sums(draws["cauchy"][:31], np.zeros(1))))


def test_flag_skewed_mean() -> None:
    """k of R estimates jump: skewness/√R is 1/√k, above .3 for k = 8 and below for k = 14; cosines count, too."""
    for k, is_skewed in ((8, True), (14, False)):
        raw = np.ones((32, 40, 2))
        raw[:k, 0, 1] = 3
        assert ("skewed_mean" in flags(Shards.of(sums(raw, np.ones(2))))) is is_skewed
        raw = np.where(RNG().random((32, 40, 1)) < 0.5, 1.0, 2.0)
        raw[:k, 0] = -1.0  # the estimates are not skewed by it, the cosines (1 or −1) are
        assert ("skewed_mean" in flags(Shards.of(sums(raw, np.ones(1))))) is is_skewed


def test_exact_metrics_are_the_truth() -> None:
    """Exact moments (states weighted by probability) give the written-out value of each metric, with no interval."""
    turned = replace(reinforce(0.2, 3), g=np.array([0.1, -0.2, 0.3]))
    for cell in (reinforce(0.2, 3), straight_through(0.2, 3), straight_through(0.1, 1), categorical(5, 0), turned):
        found, truth = exact_metrics(cell.of_counts(cell.prob[None])), cell.truth
        for name, value in truth.items():
            assert found[name] == pytest.approx(value, rel=1e-10, abs=1e-12), name
            if name != "cosine_of_mean":
                assert found[name] == found[f"{name}_low"] == found[f"{name}_high"]
        g, mean = cell.g, cell.prob @ cell.values
        norm = np.linalg.norm(mean)
        length = np.linalg.norm(g) / norm
        assert found["scaled_bias_squared"] == pytest.approx(((length * mean - g) ** 2).sum(), rel=1e-10, abs=1e-15)
        assert found["scaled_variance"] == pytest.approx(length**2 * truth["variance"])
        assert found["snr"] == pytest.approx(norm / sqrt(truth["variance"]))
        assert found["relative_bias"] == pytest.approx(sqrt(truth["bias_squared"]) / np.linalg.norm(g), abs=1e-10)
        assert np.isnan(float(found["bias_p_value"]))
        assert found["flags"] == ""
        averaged = exact_metrics(cell.of_counts(cell.prob[None]), samples=4)
        assert averaged["variance"] == pytest.approx(truth["variance"] / 4)
        assert averaged["mse"] == pytest.approx(truth["bias_squared"] + truth["variance"] / 4)
        assert averaged["bias_squared"] == found["bias_squared"]
        assert np.isnan(float(averaged["cosine"]))
        assert np.isnan(float(averaged["zero_fraction"]))


def test_exact_verdict() -> None:
    """Exact moments of REINFORCE are unbiased, also for rare events; of straight-through biased; g unknown: neither."""
    for cell, expected in (
        (reinforce(0.2, 3), "unbiased"),
        (reinforce(1e-9, 2), "unbiased"),
        (reinforce(0.3, 3, baseline=1e8), "unbiased"),  # the mean is rounded at 1e-8, far more than 1e-9‖g‖
        (straight_through(0.2, 3), "biased"),
    ):
        assert exact_verdict(cell.of_counts(cell.prob[None])) == expected
    cell = reinforce(0.2, 3)
    off = cell.of_counts(cell.prob[None] * (1 + 1e-6 * np.cos(np.arange(8))))
    assert exact_verdict(off) == "biased"
    assert off.exact_gradient is not None
    moved = float(np.linalg.norm(off.s1.sum(0) / off.n.sum() - off.exact_gradient))
    assert exact_verdict(off, error=moved / 3.1) == "biased"
    assert exact_verdict(off, error=moved / 2.9) == "unbiased"
    assert exact_verdict(off, error=float(np.linalg.norm(off.exact_gradient)) / 301) == "unbiased"  # known to 1 %
    assert exact_verdict(off, error=float(np.linalg.norm(off.exact_gradient)) / 299) == "inconclusive"
    assert exact_verdict(off, error=moved, delta=1e-9) == "inconclusive"


def test_columns_are_those_of_the_interface() -> None:
    """`metrics` and `exact_metrics` give the same columns, in the order of results.csv."""
    single = "cosine_of_mean snr scaled_bias_squared scaled_variance zero_fraction non_finite flags"
    triple = ("bias_squared", "bias_norm", "relative_bias", "variance", "mse", "cosine")
    spread = {name: [name, f"{name}_low", f"{name}_high"] for name in triple}
    wanted = ["true_norm"]
    wanted += [*spread["bias_squared"], *spread["bias_norm"], *spread["relative_bias"], "bias_p_value"]
    wanted += [*spread["variance"], *spread["mse"], *spread["cosine"], *single.split()]
    cell = reinforce(0.2, 3)
    assert list(metrics(cell.draw(RNG(), 16, 10))) == wanted
    assert list(exact_metrics(cell.of_counts(cell.prob[None]))) == wanted


def test_level_is_checked() -> None:
    """A level given in percent is refused in one message."""
    with pytest.raises(UsageError, match=r"level: 95 is not .* such as 0\.95"):
        Shards.of(reinforce(0.2, 1).draw(RNG(), 16, 10), 95)
