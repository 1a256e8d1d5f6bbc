"""AR, ARS and ARSM against sums over the pieces of their simplices between which any pseudo-sample changes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from estbench.draws import MAIN, Draw
from estbench.estimators.antithetic.ar import Ar
from estbench.estimators.antithetic.arm import Arm
from estbench.estimators.antithetic.ars import Ars
from estbench.estimators.antithetic.arsm import Arsm
from estbench.estimators.base import Estimator, Facts, RowEstimator, evaluations
from estbench.estimators.score_function.reinforce import Reinforce
from estbench.estimators.shared.swaps import f_all_swapped, f_swapped
from estbench.exact import exact
from estbench.moments import Floats
from estbench.objectives.base import Objective
from estbench.objectives.mlp import Mlp
from estbench.objectives.product import Product
from estbench.objectives.sine import Sine
from estbench.problem import Problem
from estbench.streams import Streams
from tests.estimators.noise import Measure, intervals, mean, product, run, simplex, stacked, variance
from tests.estimators.states import f, marginals, problem, truth
from tests.problems import make
from tests.sizes import slow, thinned

REFERENCE = "ars/reference"
LOGITS = ([[0.4, -0.8]], [[0.3, -1.0, 0.6]], [[0.3, -0.5], [-0.7, 0.9]], [[0.3, -1.0, 0.6], [-0.2, 0.9, -0.6]])


def swappable(p: Problem, degree: int = 1) -> Measure:
    """w [M, 1, D, K], uniform on D simplices, in pieces on which f is constant at z and at all its pseudo-samples."""
    parts = []
    for pi in marginals(p):
        K, planes = len(pi), []
        for (i, j), (a, b) in itertools.product(
            itertools.combinations(range(K), 2), itertools.permutations(range(K), 2)
        ):
            planes.append(np.eye(K)[i] / pi[a] - np.eye(K)[j] / pi[b])  # w_i at place a against w_j at place b
        parts.append(simplex(K, planes, degree))
    whole = stacked(parts, 1)
    return Measure(whole.points[:, None], whole.weights)


def swapped(p: Problem, w: Floats, m: int, j: int) -> float:
    """f^{m⇌j} at w [D, K], by the textbook."""
    w = w.copy()
    w[:, [m, j]] = w[:, [j, m]]
    return f(p, tuple(int(k) for k in np.argmin(np.log(w) - p.distribution.logits.numpy(), -1)))


def ars(p: Problem, w: Floats, j: int) -> Floats:
    """ARS at w [D, K], component by component."""
    D, K = w.shape
    values = [swapped(p, w, m, j) for m in range(K)]
    return np.array([[(values[m] - sum(values) / K) * (1 - K * w[d, j]) for m in range(K)] for d in range(D)])


def arsm(p: Problem, w: Floats) -> Floats:
    """ARSM at w [D, K], component by component."""
    D, K = w.shape
    F = [[swapped(p, w, m, j) for j in range(K)] for m in range(K)]
    centred = [[F[m][j] - sum(F[o][j] for o in range(K)) / K for j in range(K)] for m in range(K)]
    g = [[sum(centred[m][j] * (1 / K - w[d, j]) for j in range(K)) for m in range(K)] for d in range(D)]
    return np.array(g)


def referenced(p: Problem, degree: int = 1) -> tuple[Measure, Floats]:
    """As `swappable`, for every reference class j: the second is its uniforms [M, 1]."""
    K = p.distribution.classes
    w, j = product([swappable(p, degree), intervals(*(k / K for k in range(1, K)))])
    return w, j.points[:, None]


@pytest.mark.parametrize("logits", LOGITS)
def test_ar_is_unbiased(logits: Sequence[Sequence[float]]) -> None:
    """AR is f(z)(1 − K w) on every piece of the simplex, and its mean the exact gradient."""
    p = problem(logits)
    w = swappable(p)
    g = run(Ar(), p, {MAIN: w.points})
    K = p.distribution.classes
    for i in range(0, len(g), max(1, len(g) // 200)):
        point = w.points[i, 0]
        np.testing.assert_allclose(g[i], swapped(p, point, 0, 0) * (1 - K * point), atol=1e-12)
    np.testing.assert_allclose(mean(g, w.weights).ravel(), truth(p), atol=1e-11)


def test_ar_given_z_is_reinforce() -> None:
    """Given the sample, the mean of AR is REINFORCE without a baseline."""
    p = problem([[0.3, -1.0, 0.6]])
    w = swappable(p)
    a, r = (run(estimator, p, {MAIN: w.points}) for estimator in (Ar(), Reinforce()))
    for k in range(3):
        here = np.isclose(r, f(p, (k,)) * (np.eye(3)[k] - marginals(p))).all((1, 2))
        inside = w.weights * here / (w.weights * here).sum()
        np.testing.assert_allclose(mean(a, inside), mean(r, inside), atol=1e-11)


@pytest.mark.parametrize("logits", thinned(2, LOGITS))
def test_ars_is_its_formula_and_unbiased(logits: Sequence[Sequence[float]]) -> None:
    """ARS is its formula on pieces of the simplices, and its mean the exact gradient, for every j."""
    p = problem(logits)
    w, u = referenced(p)
    g = run(Ars(), p, {MAIN: w.points, REFERENCE: u})
    j = (u[:, 0] * p.distribution.classes).astype(int)
    for i in range(0, len(g), max(1, len(g) // 150)):
        np.testing.assert_allclose(g[i], ars(p, w.points[i, 0], j[i]), atol=1e-12)
    for k in range(p.distribution.classes):
        given = w.weights * (j == k) * p.distribution.classes
        np.testing.assert_allclose(mean(g, given).ravel(), truth(p), atol=1e-11)


@pytest.mark.parametrize("logits", thinned(2, LOGITS))
def test_arsm_is_its_formula_and_unbiased(logits: Sequence[Sequence[float]]) -> None:
    """ARSM is its formula on pieces of the simplices, and its mean the exact gradient."""
    p = problem(logits)
    w = swappable(p)
    g = run(Arsm(), p, {MAIN: w.points})
    for i in range(0, len(g), max(1, len(g) // 150)):
        np.testing.assert_allclose(g[i], arsm(p, w.points[i, 0]), atol=1e-12)
    np.testing.assert_allclose(mean(g, w.weights).ravel(), truth(p), atol=1e-11)


def test_merging_never_adds_variance() -> None:
    """Exact variances by points of degree 2: AR's is the engine's; ARSM's is below ARS's, coordinate by coordinate."""
    p = problem([[0.3, -1.0, 0.6]])
    w, (v, u) = swappable(p, 2), referenced(p, 2)
    merged = variance(run(Arsm(), p, {MAIN: w.points}), w.weights)
    single = variance(run(Ars(), p, {MAIN: v.points, REFERENCE: u}), v.weights)
    assert (merged < single).all()
    found = exact(p, Ar(), 1).variance
    np.testing.assert_allclose(variance(run(Ar(), p, {MAIN: w.points}), w.weights)[0], found, rtol=1e-9)


@pytest.mark.parametrize("K", [2, *map(slow, (4, 5))])
def test_formulas_at_more_classes(K: int) -> None:
    """ARS and ARSM are their formulas draw by draw at D = 3 and N = 2, and ARSM is the mean of ARS over j."""
    p = problem(np.linspace(-1.2, 0.9, 3 * K).reshape(3, K)[:, np.arange(K)[::-1]].tolist())
    e = -torch.log(Streams(0, "swaps", range(1)).uniform(MAIN, 40, 2, 3, K))
    w = (e / e.sum(-1, keepdim=True)).numpy()
    merged = Arsm().rows(Draw(p, 40, 2, noise={MAIN: e}))
    each = []
    for j in range(K):
        u = torch.full((40, 2), (j + 0.5) / K, dtype=torch.float64)
        each.append(Ars().rows(Draw(p, 40, 2, noise={MAIN: e, REFERENCE: u})))
    torch.testing.assert_close(torch.stack(each).mean(0), merged, rtol=0, atol=1e-12)
    for r, n in itertools.product(range(40), range(2)):
        np.testing.assert_allclose(merged[r, n], arsm(p, w[r, n]), atol=1e-12)
        np.testing.assert_allclose(each[r % K][r, n], ars(p, w[r, n], r % K), atol=1e-12)


def test_two_classes_are_arm() -> None:
    """With logits (0, φ), ARS for either j and ARSM are ARM with u = w₁, draw by draw."""
    phi = [0.7, -1.2]
    two, one = (make(Sine(), torch.tensor(t, dtype=torch.float64)) for t in ([[0.0, x] for x in phi], phi))
    e = -torch.log(Streams(0, "two", range(1)).uniform(MAIN, 500, 1, 2, 2))
    u = e[..., 1] / e.sum(-1)
    expected = Arm().rows(Draw(one, 500, 1, noise={MAIN: u}))
    assert bool(expected.any())
    for estimator, j in ((Ars(), 0.2), (Ars(), 0.7), (Arsm(), 0.5)):
        reference = torch.full((500, 1), j, dtype=torch.float64)
        g = estimator.rows(Draw(two, 500, 1, noise={MAIN: e, REFERENCE: reference}))
        torch.testing.assert_close(g[..., 1], expected, rtol=0, atol=1e-13)


def test_swapping_a_class_with_itself_changes_nothing() -> None:
    """f^{j⇌j} is f(z) to the bit."""
    p = problem([[0.3, -1.0, 0.6, 0.1], [-0.2, 0.9, -0.6, 0.2]])
    draw = Draw(p, 100, 2, streams=Streams(0, "itself", range(1)))
    for j, one_hot in enumerate(torch.eye(4, dtype=torch.float64)):
        assert torch.equal(f_swapped(p, draw.noise(), one_hot.expand(100, 2, 4))[..., j], draw.fz)


@pytest.mark.parametrize("objective", [Sine(), Mlp()])
@pytest.mark.parametrize("K", [2, 3, 4, 7])
def test_all_swaps_at_once_are_the_swaps_one_by_one(K: int, objective: Objective) -> None:
    """The best two against two scores give the same f^{m⇌j} as the argmax over all classes, and differences of 0."""
    p = make(objective, torch.linspace(-1, 1, 3 * K, dtype=torch.float64).reshape(3, K))
    draw = Draw(p, 400, 2, streams=Streams(0, "all", range(1)))
    found = f_all_swapped(p, draw.noise(), draw.fz)
    for j, one_hot in enumerate(torch.eye(K, dtype=torch.float64)):
        f = f_swapped(p, draw.noise(), one_hot.expand(400, 2, K)) - draw.fz.unsqueeze(-1)
        torch.testing.assert_close(found[:, j].permute(1, 2, 0), f, rtol=0, atol=1e-13)
        assert f.count_nonzero() > f.numel() / 4
    assert bool(((found == 0) | (found.abs() > 1e-12)).all())


@pytest.mark.parametrize("K", [2, 3, 5])
def test_cost_grows_with_the_classes(K: int) -> None:
    """One estimate takes 1 (AR), K (ARS) and K(K − 1)/2 + 1 (ARSM) values of f."""
    for estimator, count in ((Ar(), 1), (Ars(), K), (Arsm(), K * (K - 1) // 2 + 1)):
        p = problem(np.linspace(-1, 1, 2 * K).reshape(2, K).tolist())
        estimator.rows(Draw(p, 1, 1, streams=Streams(0, "cost", range(1))))
        assert p.evaluations.f == count == evaluations(estimator.facts.f, 2, K, 1)
        assert p.evaluations.df == 0


def test_equal_values_cancel_exactly() -> None:
    """Where f is the same at all pseudo-samples the estimate is exactly 0, and a constant in f moves no draw."""
    logits = [[0.3, -6.0, 0.6], [5.0, 0.9, -0.6]]
    for estimator in (Ars(), Arsm()):
        g, shifted = (
            estimator.rows(Draw(problem(logits, c), 400, 1, streams=Streams(0, "zero", range(1)))) for c in (0.1, 7.3)
        )
        assert bool((g == 0).all((-1, -2)).any())
        torch.testing.assert_close(g, shifted, rtol=0, atol=1e-13)
        flat = make(Product(offset=0.1, slope=0.0), torch.tensor([[0.3, -1.0, 0.6]], dtype=torch.float64))
        assert not bool(estimator.rows(Draw(flat, 50, 1, streams=Streams(0, "flat", range(1)))).any())


# Wrong on purpose: what the sums above must catch.


@dataclass(frozen=True)
class ArOfOneClass:
    """AR with 1 − π for 1 − K w, as some code has it: f(z)(1 − π)."""

    @property
    def facts(self) -> Facts:
        """As AR's."""
        return Ar().facts

    def rows(self, draw: Draw) -> Tensor:
        """f(z) (1 − w)."""
        e = draw.noise()
        return draw.lift(draw.fz) * (1 - e / e.sum(-1, keepdim=True))


@dataclass(frozen=True)
class Unswapped:
    """ARS with its own w_m in place of the reference's w_j."""

    @property
    def facts(self) -> Facts:
        """As of ARS."""
        return Ars().facts

    def rows(self, draw: Draw) -> Tensor:
        """Component m: (f^{m⇌0} − mean_m′ f^{m′⇌0}) (1 − K w_m)."""
        e, K = draw.noise(), draw.distribution.classes
        values = f_swapped(draw.problem, e, torch.eye(K).to(e)[0].expand(draw.R, draw.N, K))
        return (values - values.mean(-1, keepdim=True)).unsqueeze(-2) * (1 - K * e / e.sum(-1, keepdim=True))


@dataclass(frozen=True)
class Averaged:
    """ARSM averaged over j where it is to be summed."""

    @property
    def facts(self) -> Facts:
        """As of ARSM."""
        return Arsm().facts

    def rows(self, draw: Draw) -> Tensor:
        """1/K Σ_j …"""
        return Arsm().rows(draw) / draw.distribution.classes


@pytest.mark.parametrize("estimator", [ArOfOneClass(), Unswapped(), Averaged()])
def test_wrong_on_purpose(estimator: Estimator) -> None:
    """Estimators with a known mistake are off the exact gradient by far more than rounding."""
    assert isinstance(estimator, RowEstimator)
    p = problem([[0.3, -1.0, 0.6]])
    w = swappable(p)
    assert np.abs(mean(run(estimator, p, {MAIN: w.points}), w.weights).ravel() - truth(p)).max() > 1e-3
