"""Sums that cancel, over samples, classes or states: what is left of them is rounding, and counts as 0 everywhere."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from estbench import catalogue
from estbench.config.choice import read_estimator
from estbench.distributions import Bernoulli, Categorical
from estbench.draws import Draw
from estbench.estimate import estimates
from estbench.estimators.base import Estimator
from estbench.estimators.control_variate.double_cv import DoubleCv
from estbench.estimators.control_variate.rodeo import Rodeo
from estbench.estimators.score_function.rloo import Rloo
from estbench.estimators.straight_through.ste import Ste
from estbench.exact import exact
from estbench.intervals import exact_metrics
from estbench.moments import Moments
from estbench.objectives.function import function_of
from estbench.objectives.quadratic import Quadratic
from estbench.objectives.quadratic_form import QuadraticForm
from estbench.problem import Problem, make
from estbench.streams import Streams
from tests.sizes import slow


@pytest.mark.parametrize(("target", "N"), [(0.25, 4), (0.3, 10)])
def test_samples_that_cancel_leave_0(target: float, N: int) -> None:
    """Seven rows of 0.3 s and three of −0.7 s leave 0 in any order, or one of 1.5 s and three of −0.5 s."""
    problem = make(Quadratic(target=target), torch.tensor([0.7], dtype=torch.float64), "bernoulli")
    draw = Draw(problem, 2000, N, streams=Streams(0, "x", range(1)))
    (g,) = estimates(Ste(), draw, [N])
    cancels = draw.z.sum((1, 2)) == round(target * N)
    assert bool(cancels.any())
    assert torch.equal((g == 0).flatten(), cancels)


@pytest.mark.parametrize("N", [4, 8])
def test_exact_rows_have_the_share_of_zeros_of_the_binomial(N: int) -> None:
    """P(Σ z = N/4) for Bernoulli variables with p = σ(0.7), with all tuples as with multisets."""
    problem = make(Quadratic(target=0.25), torch.tensor([0.7], dtype=torch.float64), "bernoulli")
    packed = exact(problem, Ste(), N).packed
    assert problem.exact_gradient is not None
    found = exact_metrics(Moments.unpack(packed, problem.exact_gradient.numpy()))
    p, k = 1 / (1 + math.exp(-0.7)), N // 4
    share = math.comb(N, k) * p**k * (1 - p) ** (N - k)
    assert float(found["zero_fraction"]) == pytest.approx(share, rel=1e-12)


def test_small_numbers_beside_large_ones_are_kept() -> None:
    """A coordinate of 1e-20 beside one of 1, and rows that are not finite, are no rounding."""

    class Rows:
        facts = Ste().facts

        def rows(self, _: Draw) -> torch.Tensor:
            rows = torch.tensor([[1.0, 1e-20], [1.0, 1e-20], [1.0, 1e-20]], dtype=torch.float64)
            other = torch.tensor([[torch.inf, 0.1], [1.0, 0.2], [1.0, -0.3]], dtype=torch.float64)
            return torch.stack((rows, other))

    problem = make(Quadratic(), torch.zeros(2, dtype=torch.float64), "bernoulli")
    (g,) = estimates(Rows(), Draw(problem, 2, 3, streams=Streams(0, "x", range(1))), [3])
    assert g[0].tolist() == pytest.approx([1.0, 1e-20], rel=1e-15)
    assert g[1].tolist() == [torch.inf, 0.0]


TIES: dict[str, Bernoulli | Categorical] = {
    "bernoulli": Bernoulli(torch.tensor([math.log(3), 0.0, 0.4], dtype=torch.float64)[:2]),
    "three variables": Bernoulli(torch.tensor([0.4, -0.9, 1.3], dtype=torch.float64)),
    "categorical": Categorical(torch.tensor([[0.1, 0.5, -0.3]] * 2, dtype=torch.float64)),
    "one variable": Categorical(torch.zeros(1, 4, dtype=torch.float64)),
    "four classes": Categorical(torch.tensor([[0.0] * 4, [0.3, -0.2, 0.8, 0.1]], dtype=torch.float64)),
}


def parity(c: Tensor) -> Tensor:
    """.7 where the classes have an even sum, .1 elsewhere: no two of these differ by a binary fraction."""
    return torch.where(c.sum(-1) % 2 == 0, 0.7, 0.1).double()


def one_of_four(c: Tensor) -> Tensor:
    """.1, .2, .3 or .7: .1 + .2 is .3 but for rounding."""
    return torch.tensor([0.1, 0.2, 0.3, 0.7], dtype=torch.float64)[c.sum(-1).long() % 4]


def of_classes(f: Callable[[Tensor], Tensor], d: Bernoulli | Categorical) -> Problem:
    """The problem of a function of the classes."""
    return Problem(d, function_of(lambda z: f(d.numbers(z)), d))


@pytest.mark.parametrize("where", TIES)
@pytest.mark.parametrize("f", [*map(slow, (parity, one_of_four, 0.5)), 0.3])
def test_no_estimate_is_rounding_alone(where: str, f: Callable[[Tensor], Tensor] | float) -> None:
    """Estimates of the whole catalogue are 0, or no smaller than 1e-13 of the largest, where values of f are tied."""
    d, found = TIES[where], []
    problem = Problem(d, Quadratic(target=f)) if isinstance(f, float) else of_classes(f, d)
    for name in catalogue.ESTIMATORS:
        estimator = catalogue.estimator(read_estimator(name).specs((1.0,))[0])
        facts = estimator.facts
        if facts.unserved(d.name, "sigmoid") or (facts.df and not isinstance(f, float)):
            continue
        for N in (1, 2, 4, 8):
            if facts.min_samples <= N:
                (g,) = estimates(estimator, Draw(problem, 1000, N, streams=Streams(0, "x", range(1))), [N])
                size = torch.linalg.vector_norm(g, dim=1)
                if bool(((size > 0) & (size < 1e-13 * size.max())).any()):
                    found.append((name, N))
    assert not found


@pytest.mark.parametrize("where", TIES)
@pytest.mark.parametrize(
    "estimator",
    [*(DoubleCv(a=a) for a in (-1.0, 0.3)), *(Rodeo(a=a, b=b) for a, b in ((1, 0), (0, 1), (1, 1), (-0.5, 0.5)))],
)
def test_no_number_is_rounding_alone_whatever_the_coefficients(where: str, estimator: Estimator) -> None:
    """Each coordinate of each estimate is 0, or no smaller than 1e-13 of the largest."""
    for target in (0.5, 0.3):
        problem = Problem(TIES[where], Quadratic(target=target))
        for N in (2, 4):
            (g,) = estimates(estimator, Draw(problem, 1000, N, streams=Streams(0, "x", range(1))), [N])
            assert not bool(((g != 0) & (g.abs() < 1e-13 * g.abs().max())).any())


def test_what_is_infinite_is_no_rounding() -> None:
    """A sum of terms of infinite size is as it is, and where f is infinite no estimate is 0 for it."""
    problem = make(Quadratic(), torch.zeros(2, dtype=torch.float64), "bernoulli")
    draw = Draw(problem, 1, 2, streams=Streams(0, "x", range(1)))
    infinite = torch.tensor([torch.inf], dtype=torch.float64)
    assert draw.cancelled(infinite, infinite, 2).tolist() == [torch.inf]
    d = TIES["three variables"]
    of_states = of_classes(lambda c: torch.where(c.sum(-1) == 3, torch.inf, c.sum(-1)).double(), d)
    draw = Draw(of_states, 500, 2, streams=Streams(0, "x", range(1)))
    vars(draw)["dfz"] = torch.ones_like(draw.z)
    hit = draw.fz.isinf().any(1)
    for estimator in (DoubleCv(a=0.5), Rodeo(a=0.5, b=0.5)):
        assert bool((~estimator.joint(draw, 2)[hit].isfinite()).any(1).all())


@pytest.mark.parametrize("estimator", [Rloo(), DoubleCv(a=0.0), Rodeo(a=0.0, b=0.0)])
@pytest.mark.parametrize("N", [4, 8])
def test_exact_rows_of_joint_estimators_have_the_share_of_zeros_of_rationals(estimator: Estimator, N: int) -> None:
    """p = 3/4 and 1/2, tied values: against all counts of the four states in rational numbers; so is the cosine."""
    problem = Problem(TIES["bernoulli"], QuadraticForm(A=((0.1, -0.1), (-0.1, 0.1)), b=(0.0, 0.0)))
    found = exact_metrics(Moments.unpack(exact(problem, estimator, N).packed, np.asarray(problem.exact_gradient)))
    states = [(a, b) for a in (0, 1) for b in (0, 1)]
    P, f = [Fraction(2 * a + 1, 8) for a, _ in states], [Fraction(a ^ b, 10) for a, b in states]
    p = (Fraction(3, 4), Fraction(1, 2))
    g = [float(sum(P[i] * f[i] * (s[d] - p[d]) for i, s in enumerate(states))) for d in (0, 1)]
    zeros, cosine = Fraction(0), 0.0
    for c in itertools.product(range(N + 1), repeat=4):
        if sum(c) == N:
            weight = math.prod(
                (P[i] ** k / math.factorial(k) for i, k in enumerate(c)), start=Fraction(math.factorial(N))
            )
            mean = sum(k * f[i] for i, k in enumerate(c)) / N
            e = [sum(k * (f[i] - mean) * (states[i][d] - p[d]) for i, k in enumerate(c)) for d in (0, 1)]
            zeros += weight if e == [0, 0] else 0
            inner, size = e[0] * g[0] + e[1] * g[1], math.hypot(*e) * math.hypot(*g)
            cosine += 0.0 if e == [0, 0] else float(weight) * float(inner) / size
    assert found["zero_fraction"] == pytest.approx(float(zeros), rel=1e-12)
    assert found["cosine"] == pytest.approx(cosine, rel=1e-12)


def rodeo_in_rationals(
    f: Callable[[list[Fraction]], Fraction],
    df: Callable[[list[Fraction]], list[Fraction]],
    p: tuple[Fraction, ...],
    samples: list[list[Fraction]],
    a: Fraction,
    b: Fraction,
) -> list[Fraction]:
    """Rodeo of Bernoulli variables by its definition: h_n is the model of the others, and A redraws each variable."""
    N, D = len(samples), len(p)

    def mean(values: Iterable[Fraction]) -> Fraction:
        return sum(values, start=Fraction(0)) / (N - 1)

    def h(n: int, y: list[Fraction]) -> Fraction:
        others = [z for j, z in enumerate(samples) if j != n]
        return mean(f(z) + sum(g * (u - v) for g, u, v in zip(df(z), y, z, strict=True)) for z in others)

    def h_score(n: int, d: int, y: list[Fraction]) -> Fraction:
        return h(n, y) * (y[d] - p[d])

    def stein(of: Callable[[list[Fraction]], Fraction], z: list[Fraction]) -> Fraction:
        redrawn = [(d, value) for d in range(D) for value in (0, 1)]
        return sum(
            (p[d] if value else 1 - p[d]) * (of([*z[:d], Fraction(value), *z[d + 1 :]]) - of(z)) for d, value in redrawn
        ) / Fraction(D)

    found = []
    for d in range(D):
        total = Fraction(0)
        for n, z in enumerate(samples):
            rest = mean(f(y) + a * stein(partial(h, j), y) for j, y in enumerate(samples) if j != n)
            total += (f(z) - rest) * (z[d] - p[d]) + b * stein(partial(h_score, n, d), z)
        found.append(total / N)
    return found


@pytest.mark.parametrize(
    ("N", "a", "b"),
    [
        (2, 0, 1),
        (2, 1, 1),
        (2, -0.5, 0.5),
        (2, 0.25, -1.5),
        *map(slow, ((4, -0.5, 0.5), (4, 0, 1), (4, 1, 1), (4, 0.25, -1.5))),
    ],
)
def test_rodeo_has_the_zeros_of_rationals_at_any_coefficients(N: int, a: float, b: float) -> None:
    """Its terms cancel within themselves, too: estimates, and which of their numbers are 0, on all tuples of states."""
    d = TIES["bernoulli"]
    problem, p = Problem(d, Quadratic(target=0.5)), (Fraction(3, 4), Fraction(1, 2))
    states = [[Fraction(u), Fraction(v)] for u in (0, 1) for v in (0, 1)]
    tuples = list(itertools.combinations_with_replacement(states, N))
    exactly = [
        rodeo_in_rationals(
            lambda z: sum(((u - Fraction(1, 2)) ** 2 for u in z), start=Fraction(0)),
            lambda z: [2 * u - 1 for u in z],
            p,
            list(samples),
            Fraction(a),
            Fraction(b),
        )
        for samples in tuples
    ]
    z = torch.tensor([[[float(u) for u in state] for state in samples] for samples in tuples], dtype=torch.float64)
    found = Rodeo(a=a, b=b).joint(Draw(problem, len(tuples), N, z=z), N)
    wanted = torch.tensor([[float(g) for g in row] for row in exactly], dtype=torch.float64)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0.0)
    assert bool((wanted == 0).any())
