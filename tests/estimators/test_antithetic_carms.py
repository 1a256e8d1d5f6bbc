"""CARMS against sums over the pieces of its copula and its orders, P(a, b) summed over them too."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass
from torch import Tensor

from estbench.draws import MAIN, Draw
from estbench.estimators.antithetic.arms import Arms
from estbench.estimators.antithetic.carms import Carms, _orders
from estbench.estimators.antithetic.disarm import Disarm
from estbench.estimators.base import CATEGORICAL, Facts
from estbench.moments import Floats
from estbench.objectives.product import Product
from estbench.problem import Problem
from estbench.streams import Streams
from tests.estimators.noise import Measure, assert_same_law, dirichlet, intervals, mean, product, run, stacked
from tests.estimators.states import f, marginals, problem, truth
from tests.problems import independent, make
from tests.sizes import thinned

COPULA, ORDER = "carms/copula", "carms/order"


def orders(K: int) -> list[list[int]]:
    """a, all others by index, b: for each a < b."""
    return [[a, *sorted(set(range(K)) - {a, b}), b] for a, b in itertools.combinations(range(K), 2)]


def inverse_cdf(pi: Floats, order: Sequence[int], uniform: float) -> int:
    """The class at which the CDF, summed in an order, passes a uniform."""
    total = 0.0
    for c in order[:-1]:
        total += pi[c]
        if uniform < total:
            return c
    return order[-1]


def one_variable(pi: Floats, N: int) -> tuple[Measure, NDArray[np.intp]]:
    """Points (d_1, …, d_N, order's uniform) in pieces on which all samples are constant; and the samples, [M, N]."""
    points, weights, samples = [], [], []
    every = orders(len(pi))
    for i, order in enumerate(every):
        cdf = np.cumsum(pi[order])[:-1]
        part = dirichlet(N, [1 - t ** (1 / (N - 1)) for t in cdf])
        points += [[*d, (i + 0.5) / len(every)] for d in part.points]
        weights += [w / len(every) for w in part.weights]
        samples += [[inverse_cdf(pi, order, (1 - d) ** (N - 1)) for d in row] for row in part.points]
    return Measure(np.array(points), np.array(weights)), np.array(samples)


def pair_probabilities(samples: NDArray[np.intp], weights: Floats, K: int) -> Floats:
    """P(z_1 = a, z_2 = b), [K, K], as sums of pieces."""
    P = np.zeros((K, K))
    np.add.at(P, (samples[:, 0], samples[:, 1]), weights)
    return P


def formula(p: Problem, z: NDArray[np.intp], P: Sequence[Floats]) -> Floats:
    """1/(N(N − 1)) Σ_{i≠j} (f_i − f_j) r(z_i, z_j) (e_{z_i} − π) at one outcome z [N, D], pair by pair."""
    pi, N = marginals(p), len(z)
    values = [f(p, tuple(int(k) for k in row)) for row in z]
    g = np.zeros_like(pi)
    for i, j in itertools.permutations(range(N), 2):
        for d, (a, b) in enumerate(zip(z[i], z[j], strict=True)):
            if a != b:
                g[d] += (values[i] - values[j]) * pi[d, a] * pi[d, b] / P[d][a, b] * (np.eye(len(pi[d]))[a] - pi[d])
    return g / (N * (N - 1))


def pieces(p: Problem, N: int) -> tuple[dict[str, Floats], Floats, NDArray[np.intp], list[Floats]]:
    """Noise, weights and samples [M, N, D] for all variables together; and P(a, b) of each."""
    parts = [one_variable(pi, N) for pi in marginals(p)]
    P = [pair_probabilities(z, m.weights, p.distribution.classes) for m, z in parts]
    joint = stacked([m for m, _ in parts], 2)  # [M, N + 1, D]
    samples = product([Measure(z.astype(float), m.weights) for m, z in parts])
    z = np.stack([part.points for part in samples], 2).astype(int)
    return {COPULA: np.exp(-joint.points[:, :N]), ORDER: joint.points[:, N]}, joint.weights, z, P


CASES = [
    ([[0.4, -0.7]], 2),
    ([[-0.4, 0.7]], 4),
    ([[0.3, -1.0, 0.6]], 2),
    ([[0.3, -1.0, 0.6]], 3),
    ([[0.9, -0.4, -0.6]], 4),
    ([[0.2, -0.7, 1.1, -0.4]], 3),
    ([[0.3, -1.0, 0.6], [-0.2, 0.9, -1.5]], 2),
    ([[0.5, -0.3], [-0.2, 0.9]], 3),
]


@pytest.mark.parametrize(("logits", "N"), thinned(6, CASES))
def test_formula_and_mean(logits: list[list[float]], N: int) -> None:
    """On every piece the estimate is the double sum with P(a, b) summed over the pieces, and its mean the gradient."""
    p = problem(logits)
    noise, weights, z, P = pieces(p, N)
    pi, K = marginals(p), p.distribution.classes
    for d, n in itertools.product(range(p.D), range(N)):  # each sample alone has its own law
        np.testing.assert_allclose(np.bincount(z[:, n, d], weights, K), pi[d], atol=1e-11)
    g = run(Carms(), p, noise, N)
    for i in range(0, len(g), max(1, len(g) // 250)):
        np.testing.assert_allclose(g[i], formula(p, z[i], P), atol=1e-9)
    np.testing.assert_allclose(mean(g, weights).ravel(), truth(p), atol=1e-10)


def closed_form(pi: Floats, N: int) -> Floats:
    """P(a, b) by the copula's closed form C, order by order."""

    def C(s: float, t: float) -> float:
        return float(max(0.0, s ** (1 / (N - 1)) + t ** (1 / (N - 1)) - 1) ** (N - 1))

    P = np.zeros((len(pi), len(pi)))
    for order in orders(len(pi)):
        ends = dict(zip(order, itertools.pairwise([0.0, *np.cumsum(pi[order])]), strict=True))
        for a, b in itertools.product(range(len(pi)), repeat=2):
            (la, ra), (lb, rb) = ends[a], ends[b]
            P[a, b] += (C(ra, rb) - C(la, rb) - C(ra, lb) + C(la, lb)) / len(orders(len(pi)))
    return P


@pytest.mark.parametrize("N", [2, 3, 6])
def test_formula_at_more_classes(N: int) -> None:
    """At K = 5, D = 3 the estimate from the first N of 6 samples is the double sum, draw by draw."""
    p = problem(np.sin(5 * np.arange(15.0)).reshape(3, 5).tolist())
    pi = marginals(p)
    P = [closed_form(row, N) for row in pi]
    draw = Draw(p, 40, 6, streams=Streams(0, "carms", range(1)))
    g = Carms().joint(draw, N).numpy()
    e = -np.log(draw.uniform(COPULA, 3).numpy()[:, :N])
    uniform = (1 - e / e.sum(1, keepdims=True)) ** (N - 1)
    which = (draw.uniform(ORDER, 3, per_replicate=True).numpy() * 10).astype(int)
    for r in range(40):
        z = [[inverse_cdf(pi[d], orders(5)[which[r, d]], uniform[r, n, d]) for d in range(3)] for n in range(N)]
        np.testing.assert_allclose(g[r], formula(p, np.array(z), P), atol=1e-10)


def test_two_classes_are_disarm_in_law() -> None:
    """With logits (0, φ) and N = 2 the law of class 1's estimates is DisARM's, for variables on both sides of ½."""
    conjunction = Product(offset=0.4, slope=1.3)
    two = make(conjunction, torch.tensor([[0.0, 0.7], [0.0, -1.2]], dtype=torch.float64))
    one = make(conjunction, torch.tensor([0.7, -1.2], dtype=torch.float64))
    noise, weights, _, _ = pieces(two, 2)
    v = stacked([intervals(*pi) for pi in marginals(one)], 1)
    assert_same_law(
        (run(Carms(), two, noise, 2)[..., 1], weights), (run(Disarm(), one, {MAIN: v.points[:, None]}), v.weights)
    )


@pytest.mark.parametrize("N", [2, 3, 5])
def test_two_classes_are_arms(N: int) -> None:
    """With logits (0, φ), φ > 0, both draw the rarer class in the lower tail: CARMS is ARMS, draw by draw."""
    phi = [0.7, 1.9]
    conjunction = Product(offset=0.4, slope=1.3)
    two = make(conjunction, torch.tensor([[0.0, x] for x in phi], dtype=torch.float64))
    one = make(conjunction, torch.tensor(phi, dtype=torch.float64))
    u = Streams(0, "arms", range(1)).uniform(MAIN, 300, N, 2).numpy()
    expected = run(Arms(), one, {MAIN: u}, N)
    assert expected.any()
    g = run(Carms(), two, {COPULA: u, ORDER: np.full((300, 2), 0.5)}, N)
    np.testing.assert_allclose(g[..., 1], expected, atol=1e-13)


def test_every_order_is_drawn() -> None:
    """The uniform of a variable picks one of the K(K − 1)/2 orders for all its samples; u → 0 gives its first class."""
    p = problem([[0.3, -1.0, 0.6, 0.2], [0.0, 0.5, 0.1, -0.4]])
    ends = {(order[0], order[-1]) for order in orders(4)}
    found = set()
    for i in range(6):
        u = np.full((1, 2, 2), 0.5)
        u[0, 0] = 1e-200, 1 - 1e-15  # d → 1 and U → 0 in the first sample of variable 0, the other way about in 1
        spied = replace(p, objective=Noted())
        SEEN.clear()
        run(Carms(), spied, {COPULA: u, ORDER: np.full((1, 2), (i + 0.5) / 6)}, 2)
        z = SEEN[0].view(2, 2, 4).argmax(-1)
        assert int(z[0, 0]) == int(z[1, 1])
        assert int(z[0, 1]) == int(z[1, 0])
        found.add((int(z[0, 0]), int(z[1, 0])))
    assert found == ends


SEEN: list[Tensor] = []


@dataclass(frozen=True)
class Noted:
    """Zero, noting what it is asked for."""

    on: ClassVar[Literal["flat"]] = "flat"
    distributions: ClassVar[frozenset[str]] = CATEGORICAL

    def value(self, z: Tensor) -> Tensor:
        """0."""
        SEEN.append(z)
        return z.sum(-1) * 0


@pytest.mark.parametrize("N", [2, 3, 8])
@pytest.mark.parametrize("logits", [[30.0, 0.0, -30.0, 1.0], [-30.0, 30.0, 30.0, 29.0], [700.0, 0.0, -100.0, 5.0]])
def test_weights_at_large_logits(logits: list[float], N: int) -> None:
    """At logits of ±30 and far beyond, r(a, b) is finite, in [0, K(K − 1)/2], symmetric, and 0 for a = b."""
    r = _orders(independent(problem([logits])), N)[2][0]
    off = r[~torch.eye(4, dtype=torch.bool)]
    assert bool(((off >= 0) & (off <= 6)).all())
    assert not bool(r.diagonal().any())
    assert torch.equal(r, r.mT)


@pytest.mark.parametrize("logits", [[30.0, 0.0, -30.0], [-30.0, 30.0, 30.0], [0.3, -20.0, 0.1]])
def test_pairs_at_large_logits(logits: list[float]) -> None:
    """For N = 2, r(a, b) P(a, b) is π_a π_b to 15 decimals, P the overlap of mirrored intervals in fractions."""
    p = problem([logits])
    pi = [Fraction(float(x)) for x in p.independent.marginals[0]]
    pi[int(np.argmax(logits))] += 1 - sum(pi)
    r = _orders(independent(p), 2)[2][0]
    for a, b in itertools.permutations(range(3), 2):
        P = Fraction(0)
        for order in orders(3):
            low = {c: sum((pi[k] for k in order[: order.index(c)]), Fraction(0)) for c in order}
            P += max(Fraction(0), min(low[a] + pi[a], 1 - low[b]) - max(low[a], 1 - low[b] - pi[b])) / 3
        assert abs(float(Fraction(float(r[a, b])) * P - pi[a] * pi[b])) < 1e-15


@pytest.mark.parametrize("N", [2, 5])
def test_rare_last_classes_at_large_logits(N: int) -> None:
    """Classes of probability 1e-13 and 1e-26 that end an order are drawn at d_n < 1 − (1 − π)^{1/(N−1)}, to 1e-10."""
    p = problem([[30.0, 0.0, -30.0]])
    last = np.exp(-30.0) + np.exp(-60.0), np.exp(-60.0)  # π₁ + π₂ and π₂, but for 1e-13 of each
    lower, upper, _ = _orders(independent(p), N)
    assert orders(3)[1] == [0, 1, 2]
    for c, tail in zip((1, 2), last, strict=True):
        np.testing.assert_allclose(float(lower[1, 0, c]), -np.expm1(np.log1p(-tail) / (N - 1)), rtol=1e-10)
    assert float(upper[1, 0, 2]) == 0


def test_equal_values_cancel_exactly() -> None:
    """Where all samples are of one class the estimate is exactly 0, and a constant in f moves no draw."""
    logits = [[2.0, -1.0, 0.6]]
    g, shifted = (
        Carms().joint(Draw(problem(logits, c), 400, 3, streams=Streams(0, "zero", range(1))), 3) for c in (0.1, 7.3)
    )
    assert bool((g == 0).all(-1).any())
    torch.testing.assert_close(g, shifted, rtol=0, atol=1e-13)
    flat = make(Product(offset=0.1, slope=0.0), torch.tensor([[0.3, -1.0, 0.6]], dtype=torch.float64))
    assert not bool(Carms().joint(Draw(flat, 300, 5, streams=Streams(0, "flat", range(1))), 5).any())


# Wrong on purpose: what the sums above must catch.


@dataclass(frozen=True)
class Shrunk:
    """CARMS divided by N²."""

    @property
    def facts(self) -> Facts:
        """As of CARMS."""
        return Carms().facts

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """1/N² Σ …"""
        return Carms().joint(draw, samples) * (samples - 1) / samples


@dataclass(frozen=True)
class OneOrder:
    """CARMS in the order of the index alone, with the weights of all orders."""

    @property
    def facts(self) -> Facts:
        """As of CARMS."""
        return Carms().facts

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """The same, where the last but one order is by index at K = 3."""
        noise = {COPULA: draw.uniform(COPULA, draw.problem.D), ORDER: torch.full((draw.R, draw.problem.D), 0.5)}
        return Carms().joint(Draw(draw.problem, draw.R, draw.N, noise=noise), samples)


@pytest.mark.parametrize("estimator", [Shrunk(), OneOrder()])
def test_wrong_on_purpose(estimator: Shrunk | OneOrder) -> None:
    """Estimators with a known mistake are off the exact gradient by far more than rounding."""
    p = problem([[0.3, -1.0, 0.6]])
    noise, weights, _, _ = pieces(p, 3)
    assert np.abs(mean(run(estimator, p, noise, 3), weights).ravel() - truth(p)).max() > 1e-3
