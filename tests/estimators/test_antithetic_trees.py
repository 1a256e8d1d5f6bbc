"""DisARM on trees of classes against sums over all outcomes of the nodes' uniforms."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import pytest
import torch
from pydantic.dataclasses import dataclass
from scipy.special import expit, logsumexp
from torch import Tensor

from estbench.draws import MAIN, Draw
from estbench.estimators.antithetic.disarm import Disarm
from estbench.estimators.antithetic.disarm_iw import DisarmIw
from estbench.estimators.antithetic.disarm_sb import DisarmSb
from estbench.estimators.antithetic.disarm_tree import DisarmTree
from estbench.estimators.base import Estimator, Facts, RowEstimator
from estbench.estimators.shared.trees import NODES, nodes, sticks
from estbench.exact import exact
from estbench.moments import Floats
from estbench.objectives.product import Product
from estbench.problem import Problem
from estbench.streams import Streams
from tests.estimators.noise import Measure, assert_same_law, intervals, mean, run, stacked, variance
from tests.estimators.states import Classes, f, marginals, problem, truth
from tests.problems import make

Split = tuple[tuple[int, ...], tuple[int, ...]]
"""The classes to the left and to the right of a node."""
Order = Literal["ascending", "descending", "index"]

LOGITS = ([[0.6, -0.7]], [[0.3, -1.0, 0.6]], [[0.2, -0.7, 1.1, -0.4]], [[0.3, -1.0, 2.1], [-0.2, 0.9, -1.5]])
ESTIMATORS: list[Estimator] = [DisarmSb(), DisarmSb("descending"), DisarmSb("index"), DisarmTree(), DisarmIw()]


def splits(estimator: Estimator, pi: Floats) -> list[Split]:
    """The nodes of an estimator's tree over one variable, from the root."""
    classes = list(range(len(pi)))
    if isinstance(estimator, DisarmTree):
        return halved(classes)
    order = "ascending" if isinstance(estimator, DisarmIw) else getattr(estimator, "order", "index")
    if order != "index":
        classes.sort(key=lambda c: pi[c], reverse=order == "descending")
    return [(tuple(classes[i + 1 :]), (classes[i],)) for i in range(len(pi) - 1)]


def halved(classes: list[int]) -> list[Split]:
    """The balanced tree, a node before its left and its right part."""
    if len(classes) < 2:
        return []
    middle = (classes[0] + classes[-1] + 1) // 2
    left, right = [c for c in classes if c < middle], [c for c in classes if c >= middle]
    return [(tuple(left), tuple(right)), *halved(left), *halved(right)]


def walk(tree: list[Split], turns: Sequence[bool]) -> tuple[int, list[int]]:
    """The class that turns lead to, and the nodes on the way."""
    here, way = set(tree[0][0] + tree[0][1]), []
    while len(here) > 1:
        n = next(i for i, (left, right) in enumerate(tree) if here == set(left + right))
        way.append(n)
        here = set(tree[n][turns[n]])
    return here.pop(), way


def weights(tree: list[Split], pi: Floats, u: Floats) -> tuple[int, int, Floats]:
    """z, z̃ and Σ_n h_n ∂α_n/∂θ of one variable, node by node as in the paper."""
    s = [sum(pi[c] for c in right) / sum(pi[c] for c in left + right) for left, right in tree]
    b = [bool(v < t) for v, t in zip(u, s, strict=True)]
    twin = [bool(1 - v < t) for v, t in zip(u, s, strict=True)]
    (z, way), (z_twin, way_twin) = walk(tree, b), walk(tree, twin)
    total = np.zeros(len(pi))
    for n, (left, right) in enumerate(tree):
        h = 0.0
        if n in way and n in way_twin:
            h = 0.5 * (-1) ** twin[n] * (b[n] != twin[n]) * max(s[n], 1 - s[n])
        elif n in way:
            h = 0.5 * (b[n] - s[n])
        elif n in way_twin:
            h = -0.5 * (twin[n] - s[n])
        for c in right:
            total[c] += h * pi[c] / sum(pi[k] for k in right)
        for c in left:
            total[c] -= h * pi[c] / sum(pi[k] for k in left)
    return z, z_twin, total


def importance(tree: list[Split], pi: Floats, u: Floats) -> tuple[int, int, Floats]:
    """z, z̃ and ½ ω (e_z − e_z̃) of one variable, ω from the positions in the ascending order."""
    z, z_twin, _ = weights(tree, pi, u)
    order = [right[0] for _, right in tree] + [tree[-1][0][0]]
    i = min(order.index(z), order.index(z_twin))
    s = [pi[order[k]] / sum(pi[c] for c in order[k:]) for k in range(len(order))]
    omega = max(s[i], 1 - s[i]) * np.prod([(1 - s[k]) ** 2 / (1 - 2 * s[k]) for k in range(i)])
    K = len(pi)
    return z, z_twin, omega / 2 * (np.eye(K)[z] - np.eye(K)[z_twin])


def formula(estimator: Estimator, p: Problem, u: Floats) -> Floats:
    """The estimate at one outcome u [D, K − 1], one variable after the other."""
    one: Callable[..., tuple[int, int, Floats]] = importance if isinstance(estimator, DisarmIw) else weights
    found = [one(splits(estimator, pi), pi, row) for pi, row in zip(marginals(p), u, strict=True)]
    z: Classes = tuple(row[0] for row in found)
    z_twin: Classes = tuple(row[1] for row in found)
    return (f(p, z) - f(p, z_twin)) * np.array([row[2] for row in found])


def outcomes(estimator: Estimator, p: Problem) -> Measure:
    """u [M, 1, D (K − 1)] in pieces between s_n and 1 − s_n of every node."""
    parts = []
    for pi in marginals(p):
        for left, right in splits(estimator, pi):
            s = sum(pi[c] for c in right) / sum(pi[c] for c in left + right)
            parts.append(intervals(s, 1 - s))
    whole = stacked(parts, 1)
    return Measure(whole.points[:, None], whole.weights)


@pytest.mark.parametrize("logits", LOGITS)
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_formula_and_mean(estimator: Estimator, logits: Sequence[Sequence[float]]) -> None:
    """On every piece of the nodes' uniforms the estimate is the paper's sum over nodes, and its mean the gradient."""
    p = problem(logits)
    u = outcomes(estimator, p)
    g = run(estimator, p, {NODES: u.points})
    D, K = p.distribution.event_shape
    for i in range(0, len(g), max(1, len(g) // 250)):
        np.testing.assert_allclose(g[i], formula(estimator, p, u.points[i].reshape(D, K - 1)), atol=1e-13)
    np.testing.assert_allclose(mean(g, u.weights).ravel(), truth(p), atol=1e-12)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_formula_at_more_classes(estimator: Estimator) -> None:
    """At K = 7, D = 2 and N = 2 the estimate is the paper's sum over nodes, draw by draw."""
    p = problem(np.sin(5 * np.arange(14.0)).reshape(2, 7).tolist())
    draw = Draw(p, 60, 2, streams=Streams(0, "trees", range(1)))
    u = nodes(draw).numpy()
    assert isinstance(estimator, RowEstimator)
    g = estimator.rows(draw).numpy()
    for r, n in itertools.product(range(60), range(2)):
        np.testing.assert_allclose(g[r, n], formula(estimator, p, u[r, n]), atol=1e-12)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_engine_finds_the_same_moments(estimator: Estimator) -> None:
    """By its break points the engine finds the exact mean and variance of one variable."""
    p = problem([[0.3, -1.0, 0.6]])
    u = outcomes(estimator, p)
    found = exact(p, estimator, 1)
    assert p.exact_gradient is not None
    np.testing.assert_allclose(found.mean, p.exact_gradient.numpy(), atol=1e-12)
    np.testing.assert_allclose(found.variance, variance(run(estimator, p, {NODES: u.points}), u.weights)[0], rtol=1e-9)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_two_classes_are_disarm_in_law(estimator: Estimator) -> None:
    """With logits (0, φ) the law of class 1's estimates is DisARM's, for two variables on both sides of ½."""
    product = Product(offset=0.4, slope=1.3)
    two = make(product, torch.tensor([[0.0, 0.7], [0.0, -1.2]], dtype=torch.float64))
    one = make(product, torch.tensor([0.7, -1.2], dtype=torch.float64))
    u = outcomes(estimator, two)
    v = stacked([intervals(*pi) for pi in marginals(one)], 1)
    assert_same_law(
        (run(estimator, two, {NODES: u.points})[..., 1], u.weights),
        (run(Disarm(), one, {MAIN: v.points[:, None]}), v.weights),
    )


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
@pytest.mark.parametrize("logits", [[30.0, 0.0, -30.0], [-30.0, 30.0, 29.0], [0.0, -30.0, 1.0, 30.0]])
def test_large_logits(estimator: Estimator, logits: list[float]) -> None:
    """At logits of ±30 the mean over the pieces is right to 9 digits of its smallest component."""
    p, theta = problem([logits]), np.array(logits)
    parts = []
    for left, right in splits(estimator, marginals(p)[0]):
        m = float(expit(-abs(logsumexp(theta[list(right)]) - logsumexp(theta[list(left)]))))
        parts.append((np.array([m / 2, 0.5, 1 - m / 2]), np.array([m, 1 - 2 * m, m])))
    u = np.array(list(itertools.product(*(part[0] for part in parts))))
    probability = np.array([np.prod(w) for w in itertools.product(*(part[1] for part in parts))])
    g = mean(run(estimator, p, {NODES: u[:, None]}), probability)[0]
    pi = np.exp(theta - logsumexp(theta))
    largest = int(theta.argmax())
    over = np.array([f(p, (k,)) - f(p, (largest,)) for k in range(len(theta))])
    np.testing.assert_allclose(g, pi * (over - pi @ over), rtol=1e-9)


def test_order_of_sticks() -> None:
    """Node n turns right to the n-th class in ascending (the default), descending or index order; ties go by index."""
    p = problem([[0.3, -1.0, 0.6, 0.3]])
    first = {"ascending": [1, 0, 3], "descending": [2, 0, 3], "index": [0, 1, 2]}
    for order, classes in first.items():
        tree = DisarmSb(order).breakpoints(p)[NODES]  # type: ignore[arg-type] # the key of a dict of orders
        pi, rest = marginals(p)[0], 1.0
        for c, points in zip(classes, tree, strict=True):
            np.testing.assert_allclose(points, [pi[c] / rest, 1 - pi[c] / rest], rtol=1e-12)
            rest -= pi[c]
    assert DisarmSb().order == "ascending"


def test_equal_pairs_are_exactly_zero() -> None:
    """Where z = z̃ the estimate is exactly 0, and a constant in f moves no draw."""
    for estimator in ESTIMATORS:
        assert isinstance(estimator, RowEstimator)
        g, shifted = (
            estimator.rows(Draw(problem([[2.0, -1.0, 0.6]], c), 400, 1, streams=Streams(0, "zero", range(1))))
            for c in (0.1, 7.3)
        )
        assert 0.1 < float((g == 0).all(-1).double().mean()) < 0.9
        torch.testing.assert_close(g, shifted, rtol=0, atol=1e-13)


# Wrong on purpose: what the sums above must catch.


@dataclass(frozen=True)
class AnyOrder:
    """DisARM-IW down the tree in the order of the index, as some code lets it."""

    @property
    def facts(self) -> Facts:
        """As of DisARM-IW."""
        return DisarmIw().facts

    def rows(self, draw: Draw) -> Tensor:
        """½ (f(z) − f(z̃)) ω (e_z − e_z̃), ω by the index."""
        tree = sticks(draw.distribution, "index")
        z, z_twin = tree.coupled(draw)
        omega = torch.maximum(tree.s, 1 - tree.s)
        omega[:, 1:] *= ((1 - tree.s) ** 2 / (1 - 2 * tree.s))[:, :-1].cumprod(-1)
        weight = (tree.parting(z, z_twin).abs() * omega).sum(-1, keepdim=True)
        return draw.lift(draw.problem.f(z) - draw.problem.f(z_twin)) / 2 * weight * (z - z_twin)


@dataclass(frozen=True)
class Unweighted:
    """A coupled pair with the weight of an independent one."""

    @property
    def facts(self) -> Facts:
        """As of DisARM-SB."""
        return DisarmSb().facts

    def rows(self, draw: Draw) -> Tensor:
        """½ (f(z) − f(z̃)) (e_z − e_z̃)."""
        z, z_twin = sticks(draw.distribution, "ascending").coupled(draw)
        return draw.lift(draw.problem.f(z) - draw.problem.f(z_twin)) / 2 * (z - z_twin)


@pytest.mark.parametrize(("estimator", "order"), [(AnyOrder(), "index"), (Unweighted(), "ascending")])
def test_wrong_on_purpose(estimator: Estimator, order: Order) -> None:
    """Estimators with a known mistake are off the exact gradient by far more than rounding."""
    p = problem([[0.9, -1.0, 0.6]])
    u = outcomes(DisarmSb(order), p)
    assert np.abs(mean(run(estimator, p, {NODES: u.points}), u.weights).ravel() - truth(p)).max() > 1e-3
