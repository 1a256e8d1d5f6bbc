"""Relaxations against the papers' formulas: row by row and by quadrature; limits; public mistakes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.integrate import quad
from scipy.special import expit, ndtri
from scipy.stats import norm

from estbench.draws import MAIN, Draw
from estbench.estimators.base import Estimator
from estbench.estimators.relaxation.gumbel import Gumbel
from estbench.estimators.relaxation.gumbel_rao import GumbelRao
from estbench.estimators.relaxation.gumbel_st import GumbelSt
from estbench.estimators.relaxation.hard_concrete import HardConcrete
from estbench.estimators.relaxation.igr import Igr
from estbench.estimators.straight_through.zgr import Zgr
from estbench.exact import exact
from estbench.moments import Floats
from estbench.objectives.quadratic import Quadratic
from estbench.problem import Problem
from estbench.streams import Streams
from tests.estimators.complex_steps import ByHand, Given, given, of_formula
from tests.estimators.noise import ONE, ONE_OF_THREE, SEVERAL, Logits, by_quadrature, cells, rows
from tests.estimators.states import Numbers, problem, truth, wave
from tests.problems import make
from tests.sizes import slow

EVERY: dict[str, Logits] = {**ONE, **ONE_OF_THREE, **SEVERAL}
BERNOULLI = [where for where in EVERY if not isinstance(EVERY[where][0], list)]


def gumbel(tau: float) -> ByHand:
    """∂ f(y)."""
    return lambda g: g.gradient(lambda g: wave(g.relaxed(g.x, tau)))


def slope(z: Numbers) -> Numbers:
    """∇f at flat samples, by complex steps."""
    return np.stack([wave(z + 1e-30j * e).imag / 1e-30 for e in np.eye(z.shape[-1])], -1)


def gumbel_st(tau: float) -> ByHand:
    """∂ (∇f(z)·y), z held still."""

    def formula(g: Given) -> Numbers:
        still = slope(g.flat(g.z))
        return g.gradient(lambda g: (still * g.relaxed(g.x, tau)).sum(-1))

    return formula


class Around(Given):
    """x̃ whose derivative is that of x: the point is drawn given z, and moves with the logits as x does."""

    @property
    def moving(self) -> Numbers:
        """x̃ + (x − x held still)."""
        held = Given(self.theta.real, self.z, self.noise, self.redraw)
        return held.x_tilde + 1j * self.x.imag


def gumbel_rao(tau: float) -> ByHand:
    """∂ (∇f(z)·ỹ), where x̃ moves as x does."""

    def formula(g: Given) -> Numbers:
        still, around = slope(g.flat(g.z)), Around(g.theta, g.z, g.noise, g.redraw)
        return around.gradient(lambda g: (still * g.relaxed(g.moving, tau)).sum(-1))  # type: ignore[attr-defined] # an Around

    return formula


def through_the_conditional(tau: float) -> ByHand:
    """Wrong: ∂ (∇f(z)·ỹ), where x̃ moves as its law given z does."""

    def formula(g: Given) -> Numbers:
        still = slope(g.flat(g.z))
        return g.gradient(lambda g: (still * g.relaxed(g.x_tilde, tau)).sum(-1))

    return formula


def igr(tau: float, sigma: float) -> ByHand:
    """f′(y) dy/dφ, y = σ((σ Φ⁻¹(p) − σ Φ⁻¹(u))/τ), Φ⁻¹(p) differentiated by differences."""

    def formula(g: Given) -> Numbers:
        h = 1e-3
        near = [norm.ppf(expit(g.theta + i * h)) for i in (-2, -1, 1, 2)]
        rate = sigma * (near[0] - 8 * near[1] + 8 * near[2] - near[3]) / (12 * h)
        mu = sigma * norm.ppf(expit(g.theta))
        shifted = Given(mu, g.z, g.noise, g.redraw)
        return rate * shifted.gradient(lambda g: wave(g.relaxed(g.theta - sigma * norm.ppf(g.noise), tau)))

    return formula


def hard_concrete(tau: float, gamma: float, zeta: float) -> ByHand:
    """∂ f(h), h = min(1, max(0, γ + (ζ − γ) y))."""

    def formula(g: Given) -> Numbers:
        def h(g: Given) -> Numbers:
            y = gamma + (zeta - gamma) * g.relaxed(g.x, tau)
            return np.where(y.real <= 0, 0, np.where(y.real >= 1, 1, y))

        return g.gradient(lambda g: wave(h(g)))

    return formula


PAIRS: dict[str, tuple[Estimator, ByHand]] = {
    "gumbel": (Gumbel(temperature=0.6), gumbel(0.6)),
    "gumbel_st": (GumbelSt(temperature=0.6), gumbel_st(0.6)),
    "gumbel_rao": (GumbelRao(temperature=0.6, inner=1), gumbel_rao(0.6)),
    "igr": (Igr(temperature=0.7), igr(0.7, 1.0)),
    "igr wide": (Igr(temperature=0.7, sigma=2.1), igr(0.7, 2.1)),
    "hard_concrete": (HardConcrete(), hard_concrete(2 / 3, -0.1, 1.1)),
    "hard_concrete wide": (HardConcrete(temperature=0.9, gamma=-0.4, zeta=1.2), hard_concrete(0.9, -0.4, 1.2)),
}
CASES = [(case, where) for case in PAIRS for where in EVERY if where in BERNOULLI or case.startswith("gumbel")]


@pytest.mark.parametrize(("case", "where"), CASES)
def test_rows(case: str, where: str) -> None:
    """Row by row the estimate is the paper's formula, its gradients taken by complex steps."""
    draw = Draw(problem(EVERY[where]), 60, 1, streams=Streams(7, "rows", range(1)))
    estimator, formula = PAIRS[case]
    np.testing.assert_allclose(rows(estimator, draw), formula(given(draw)), rtol=1e-9, atol=1e-11)


def test_gumbel_rao_averages_its_redraws() -> None:
    """With M redraws the estimate is the mean of the M estimates of one redraw each."""
    for logits in SEVERAL.values():
        draw = Draw(problem(logits), 60, 1, streams=Streams(7, "rows", range(1)))
        each = [gumbel_rao(0.6)(given(draw, m)) for m in range(5)]
        for M in (1, 2, 5):
            mean = np.mean(each[:M], 0)
            np.testing.assert_allclose(rows(GumbelRao(temperature=0.6, inner=M), draw), mean, rtol=1e-9, atol=1e-11)


def moments(estimator: Estimator, of: Problem) -> tuple[Floats, Floats, float]:
    """Exact mean, variance [P] and attained error of one sample."""
    found = exact(of, estimator, 1)
    return found.mean, found.variance, found.error


@pytest.mark.parametrize(
    ("case", "where"),
    [
        slow((case, where)) if case.startswith("igr") and (case, where) != ("igr", "high") else (case, where)
        for case, where in CASES
        if where in ONE or where in ONE_OF_THREE
    ],
)
def test_exact_moments(case: str, where: str) -> None:
    """Exact moments are those of the formula, by other nodes; a clipped one's by scipy.quad between its kinks."""
    of, (estimator, formula) = problem(EVERY[where]), PAIRS[case]
    mean, variance, error = moments(estimator, of)
    assert error < 1e-9
    if isinstance(estimator, Igr | HardConcrete):
        first, second = (by_quad(formula, of, power, kinks(estimator, of)) for power in (1, 2))
        np.testing.assert_allclose((mean[0], variance[0]), (first, second - first**2), rtol=1e-7)
    else:
        mean_, variance_ = by_quadrature(of_formula(formula, of), cells(of))
        np.testing.assert_allclose(mean, mean_, rtol=1e-9)
        np.testing.assert_allclose(variance, variance_, rtol=1e-8)


def kinks(estimator: Estimator, of: Problem) -> list[float]:
    """Where the integrand of one Bernoulli variable kinks, as x − φ."""
    phi = float(of.distribution.logits)
    if not isinstance(estimator, HardConcrete):
        return [-phi]
    a, b = estimator.gamma, estimator.zeta
    ends = [estimator.temperature * np.log(y / (1 - y)) for y in (-a / (b - a), (1 - a) / (b - a))]
    return sorted(float(x) - phi for x in [*ends, 0.0])


def by_quad(formula: ByHand, of: Problem, power: int, points: list[float]) -> float:
    """E ĝ^power of one Bernoulli variable, over t = −logit u by scipy.quad between the points."""
    theta = of.distribution.logits.numpy()

    def integrand(t: float) -> float:
        u = np.array([[expit(-t)]])
        z = (u < expit(theta)).astype(float)
        return float(formula(Given(theta, z, u, u))[0, 0] ** power * expit(t) * expit(-t))

    ends = [-34.0, *points, 34.0]
    pieces = pairwise(ends)
    return sum(quad(integrand, a, b, epsabs=1e-12, epsrel=1e-10, limit=200)[0] for a, b in pieces)


@pytest.mark.parametrize("where", [*ONE, *ONE_OF_THREE])
def test_gumbel_rao_in_mean(where: str) -> None:
    """In mean gumbel_rao is gumbel_st, for every M; its variance is that between classes plus 1/M of that within."""
    of = problem(EVERY[where])
    st, st_variance, _ = moments(GumbelSt(temperature=0.4), of)
    variances = {}
    for M in (1, 2, 4, 100):
        mean, variances[M], _ = moments(GumbelRao(temperature=0.4, inner=M), of)
        np.testing.assert_allclose(mean, st, atol=1e-10)
    np.testing.assert_allclose(variances[1], st_variance, rtol=1e-8)
    between = 2 * variances[2] - variances[1]  # V(M) = between + within/M
    np.testing.assert_allclose(variances[4], between + (variances[1] - between) / 4, rtol=1e-8)
    np.testing.assert_allclose(variances[100], between + (variances[1] - between) / 100, rtol=1e-8)


@pytest.mark.parametrize("where", [*ONE, *ONE_OF_THREE])
def test_cold_limits(where: str) -> None:
    """As τ → 0 both means go to that of zgr, a third of the way or more at each halving; at M → ∞ the variance too."""
    of = problem(EVERY[where])
    zgr, zgr_variance, _ = moments(Zgr(), of)
    off, off_variance = [], []
    for tau in (0.1, 0.05):
        mean, one, _ = moments(GumbelRao(temperature=tau, inner=1), of)
        _, two, _ = moments(GumbelRao(temperature=tau, inner=2), of)
        off.append(np.abs(mean - zgr).max())
        off_variance.append(np.abs(2 * two - one - zgr_variance).max())  # V(∞), as V(M) = V(∞) + what is within/M
    for former, later in (off, off_variance):
        assert later < 2 / 3 * former


@pytest.mark.parametrize("phi", [0.0, 0.8, -1.3])
def test_through_the_conditional_is_caught(phi: float) -> None:
    """Differentiating through x̃'s own law shrinks the mean, more the colder: at φ = 0, τ = 1 from 1/6 to 1/24.

    The check that passes gumbel_rao against gumbel_st fails there.
    """
    of, shrunk = problem([phi]), []
    for tau in (1.0, 0.5, 0.1):
        (right, _), (wrong, _) = (
            by_quadrature(of_formula(formula(tau), of), cells(of)) for formula in (gumbel_rao, through_the_conditional)
        )
        st, _, _ = moments(GumbelSt(temperature=tau), of)
        np.testing.assert_allclose(right, st, rtol=1e-9)
        shrunk.append(right[0] / wrong[0])
    assert 2 < shrunk[0] < shrunk[1] < shrunk[2]
    if phi == 0:
        assert abs(shrunk[0] - 4) < 1e-9


# Gaussian and hard concrete


def test_igr_keeps_the_probability() -> None:
    """y > ½ just where z = 1, so that P(y > ½) = p; only σ/τ matters."""
    draw = Draw(problem(SEVERAL["B3"]), 500, 1, streams=Streams(7, "rows", range(1)))
    phi = draw.distribution.logits.numpy()
    x = ndtri(expit(phi)) - ndtri(draw.noise().numpy())
    assert np.array_equal(x > 0, draw.z.numpy() == 1)
    a, b = (rows(Igr(temperature=0.3 * c, sigma=c), draw) for c in (1.0, 2.7))
    np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_igr_at_large_logits(dtype: torch.dtype) -> None:
    """From −80 to 80 the rows are right in both types; there dμ/dφ, p q/n(Φ⁻¹(p)), is near 1/|Φ⁻¹| by the tail of n."""
    phi = np.linspace(-80, 80, 81)
    tail = norm.isf(expit(-abs(phi)))
    rate = expit(phi) * expit(-phi) / norm.pdf(tail)
    far = abs(phi) >= 30
    assert (abs(rate * tail - 1)[far] < 1 / tail[far] ** 2).all()
    of = make(Quadratic(target=3.0), torch.tensor(phi, dtype=dtype))
    u = torch.tensor([0.3, 0.9], dtype=dtype).view(2, 1, 1).expand(2, 1, 81).contiguous()
    x = (tail * np.sign(phi) - ndtri(u[:, 0].double().numpy())) / 8
    by_hand = expit(x) * expit(-x) / 8 * 2 * (expit(x) - 3) * rate
    got = rows(Igr(temperature=8.0), Draw(of, 2, 1, noise={MAIN: u}))
    np.testing.assert_allclose(got, by_hand, rtol=30 * torch.finfo(dtype).eps)


def test_hard_concrete_has_mass_at_both_ends() -> None:
    """h > ½ just where z = 1; h is 0 or 1, and the estimate 0, with the mass that the stretch gives (4 SE of 10⁵).

    P(h = 0) = σ(τ log(−γ/ζ) − φ); a fault of 1.3 % of a probability of one half would be seen.
    """
    phi, tau, gamma, zeta, R = 0.4, 2 / 3, -0.1, 1.1, 100_000
    draw = Draw(problem([phi]), R, 1, streams=Streams(7, "rows", range(1)))
    stretched = gamma + (zeta - gamma) * draw.relaxed(tau).y
    assert torch.equal(stretched > 0.5, draw.z == 1)
    zero = float((rows(HardConcrete(), draw) == 0).mean())
    low, high = expit(tau * np.log(-gamma / zeta) - phi), expit(phi - tau * np.log((1 - gamma) / (zeta - 1)))
    mass = float(low + high)
    assert abs(zero - mass) < 4 * np.sqrt(mass * (1 - mass) / R)


def test_hard_concrete_breaks_where_it_says() -> None:
    """On one side of each of its break points the estimate is 0, and on the other it is not."""
    of = problem([0.4])
    for estimator in (HardConcrete(), HardConcrete(temperature=0.9, gamma=-0.4, zeta=1.2)):
        (points,) = estimator.breakpoints(of)[MAIN]
        for u in points.tolist():
            sides = torch.tensor([u * (1 - 1e-9), u * (1 + 1e-9)], dtype=torch.float64).view(2, 1, 1)
            below, above = rows(estimator, Draw(of, 2, 1, noise={MAIN: sides}))[:, 0]
            assert (below == 0) != (above == 0)


def test_hard_concrete_unstretched() -> None:
    """As γ → 0 and ζ → 1 the hard concrete variable is the concrete one, and the estimate that of gumbel."""
    draw = Draw(problem(SEVERAL["B3"]), 100, 1, streams=Streams(7, "rows", range(1)))
    a = rows(HardConcrete(temperature=0.8, gamma=-1e-13, zeta=1 + 1e-13), draw)
    np.testing.assert_allclose(a, rows(Gumbel(temperature=0.8), draw), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "options"),
    [(GumbelRao, {"inner": 0}), (Igr, {"sigma": 0.0}), (HardConcrete, {"gamma": 0.0}), (HardConcrete, {"zeta": 1.0})],
)
def test_options_are_checked(kind: type[Estimator], options: dict[str, float]) -> None:
    """An option outside its range is refused when the estimator is built."""
    with pytest.raises(ValidationError):
        kind(**options)


def test_the_true_gradient_is_another() -> None:
    """All of them are biased on this objective: by more than 1 % of the gradient."""
    of = problem(EVERY["high"])
    for estimator, _ in PAIRS.values():
        assert abs(moments(estimator, of)[0][0] / truth(of)[0] - 1) > 0.01
