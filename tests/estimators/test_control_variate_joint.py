"""double_cv and rodeo against the papers' formulas, over all N-tuples of states; public mistakes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import torch

from estbench.draws import Draw
from estbench.estimate import estimates
from estbench.estimators.base import Estimator
from estbench.estimators.control_variate.double_cv import DoubleCv
from estbench.estimators.control_variate.rodeo import Rodeo
from estbench.estimators.score_function.rloo import Rloo
from estbench.exact import exact
from estbench.moments import Floats
from estbench.objectives.linear import Linear
from estbench.problem import Problem
from estbench.streams import Streams
from tests.estimators.noise import SEVERAL, Logits
from tests.estimators.states import Numbers, problem, truth, wave
from tests.problems import make
from tests.sizes import slow

State = tuple[int, ...]
"""The class of each variable."""


@dataclass(frozen=True)
class Law:
    """A problem as the papers see it: probabilities [D][K], and of each state its vector, f, ∇f and score."""

    pi: list[Floats]
    bernoulli: bool

    def vector(self, state: State) -> Floats:
        """z, flat."""
        if self.bernoulli:
            return np.array(state, float)
        return np.concatenate([np.eye(len(p))[k] for p, k in zip(self.pi, state, strict=True)])

    @property
    def mean(self) -> Floats:
        """p or π, flat."""
        return np.array([p[1] for p in self.pi]) if self.bernoulli else np.concatenate(self.pi)

    def score(self, state: State) -> Floats:
        """z − p."""
        return self.vector(state) - self.mean

    def value(self, state: State) -> float:
        """f(z)."""
        return float(wave(self.vector(state)))

    def slope(self, state: State) -> Floats:
        """∇f(z), by complex steps."""
        z = self.vector(state)
        return np.array([wave(z + 1e-30j * row).imag / 1e-30 for row in np.eye(len(z))])

    @property
    def jacobian(self) -> Floats:
        """Cov z."""
        return sum((self.P(z) * np.outer(self.score(z), self.score(z)) for z in self.states()), np.zeros(()))

    def P(self, state: State) -> float:
        """P(z)."""
        return float(np.prod([p[k] for p, k in zip(self.pi, state, strict=True)]))

    def states(self) -> Iterator[State]:
        """All of them."""
        return itertools.product(*(range(len(p)) for p in self.pi))

    def stein(self, h: Callable[[State], Floats | float], state: State) -> Floats:
        """(A h)(z) = 1/D Σ_d [Σ_k π_dk h(z with z_d := k) − h(z)]."""
        total: Floats = np.zeros(())
        for d, p in enumerate(self.pi):
            moved = ((*state[:d], k, *state[d + 1 :]) for k in range(len(p)))
            total = total + sum(w * h(z) for w, z in zip(p, moved, strict=True)) - h(state)
        return total / len(self.pi)


def law(of: Problem) -> Law:
    """The problem's law."""
    return Law(list(of.independent.marginals.numpy()), of.distribution.name == "bernoulli")


Joint = Callable[[Law, Sequence[State]], Numbers]
"""The estimate [P] from N samples."""


def double_cv(a: float) -> Joint:
    """mean_n [v_n − mean_{j≠n} v_j] s(z_n) − a Cov(z) mean_n ∇wave(z_n), v_n = f_n + a mean_{j≠n} ∇f_j·(z_n − p)."""

    def formula(on: Law, z: Sequence[State]) -> Numbers:
        N = len(z)
        g = [on.slope(t) for t in z]
        v = [on.value(t) + a * np.mean([g[j] for j in range(N) if j != n], 0) @ on.score(t) for n, t in enumerate(z)]
        left = [v[n] - np.mean([v[j] for j in range(N) if j != n]) for n in range(N)]
        return np.mean([x * on.score(t) for x, t in zip(left, z, strict=True)], 0) - a * on.jacobian @ np.mean(g, 0)

    return formula


def rodeo(a: float, b: float) -> Joint:
    """mean_n {[f_n − mean_{j≠n}(f_j + a (A h_j)(z_j))] s(z_n) + b (A[h_n s])(z_n)}, A as it is defined."""

    def formula(on: Law, z: Sequence[State]) -> Numbers:
        N = len(z)
        f_, g = [on.value(t) for t in z], [on.slope(t) for t in z]

        def h(n: int, y: State) -> float:
            lines = [f_[j] + g[j] @ (on.vector(y) - on.vector(z[j])) for j in range(N) if j != n]
            return float(np.mean(lines))

        def hs(n: int, y: State) -> Numbers:
            return h(n, y) * on.score(y)

        Ah = [on.stein(partial(h, n), z[n]) for n in range(N)]
        rows = []
        for n in range(N):
            baseline = np.mean([f_[j] + a * Ah[j] for j in range(N) if j != n])
            rows.append((f_[n] - baseline) * on.score(z[n]) + b * on.stein(partial(hs, n), z[n]))
        return np.mean(rows, 0)

    return formula


PAIRS: dict[str, tuple[Estimator, Joint]] = {
    "double_cv": (DoubleCv(a=-0.7), double_cv(-0.7)),
    "double_cv up": (DoubleCv(a=1.3), double_cv(1.3)),
    "double_cv unfitted": (DoubleCv(), double_cv(0.0)),
    "rodeo": (Rodeo(a=0.8, b=-0.6), rodeo(0.8, -0.6)),
    "rodeo a": (Rodeo(a=1.9, b=0.0), rodeo(1.9, 0.0)),
    "rodeo b": (Rodeo(a=0.0, b=1.4), rodeo(0.0, 1.4)),
    "rodeo unfitted": (Rodeo(), rodeo(0.0, 0.0)),
}
EVERY: dict[str, Logits] = {"B1": [0.7], "C1x3": [[0.9, -0.4, 1.6]], **SEVERAL}


@pytest.mark.parametrize("where", EVERY)
@pytest.mark.parametrize("case", PAIRS)
@pytest.mark.parametrize("N", [2, 3, slow(5)])
def test_estimates(N: int, case: str, where: str) -> None:
    """Replicate by replicate the estimate is the paper's formula, the Stein operator applied as it is defined."""
    of, (estimator, formula) = problem(EVERY[where]), PAIRS[case]
    draw = Draw(of, 12, N, streams=Streams(3, "joint", range(1)))
    (g,) = estimates(estimator, draw, [N])
    classes = draw.z.long() if of.distribution.name == "bernoulli" else draw.z.argmax(-1)
    by_hand = [formula(law(of), [tuple(t) for t in replicate]) for replicate in classes.tolist()]
    np.testing.assert_allclose(g.numpy(), by_hand, rtol=1e-11, atol=1e-12)


def moments(formula: Joint, on: Law, N: int) -> tuple[Floats, Floats]:
    """E ĝ and Var ĝ over all N-tuples of states."""
    mean: Floats = np.zeros(())
    square: Floats = np.zeros(())
    for z in itertools.product(tuple(on.states()), repeat=N):
        g, P = formula(on, z), np.prod([on.P(t) for t in z])
        mean, square = mean + P * g, square + P * g**2
    return mean, square - mean**2


@pytest.mark.parametrize(("where", "N"), [("B1", 2), ("B1", 4), ("C1x3", 3), ("B2", 2), ("B2", 3)])
@pytest.mark.parametrize("case", ["double_cv", "rodeo"])
def test_exact_moments(case: str, where: str, N: int) -> None:
    """Over all N-tuples of states the mean is the exact gradient, and exact moments are the formula's own."""
    of, (estimator, formula) = problem(EVERY[where]), PAIRS[case]
    mean, variance = moments(formula, law(of), N)
    np.testing.assert_allclose(mean, truth(of), atol=1e-12)
    found = exact(of, estimator, N)
    np.testing.assert_allclose(found.mean, truth(of), atol=1e-12)
    np.testing.assert_allclose(found.variance, variance, rtol=1e-11)


@pytest.mark.parametrize("where", SEVERAL)
def test_identities(where: str) -> None:
    """double_cv at a = 0 and rodeo at a = b = 0 are rloo, draw by draw."""
    draw = Draw(problem(SEVERAL[where]), 100, 4, streams=Streams(3, "joint", range(1)))
    (right,) = estimates(Rloo(), draw, [4])
    for estimator in (DoubleCv(a=0.0), Rodeo(a=0.0, b=0.0)):
        (g,) = estimates(estimator, draw, [4])
        np.testing.assert_allclose(g, right, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("logits", [SEVERAL["B3"], SEVERAL["C2x3"]], ids=["B3", "C2x3"])
def test_linear_objectives(logits: Logits) -> None:
    """On linear f double_cv at a = −1 is exact in every draw."""
    of = make(Linear(), torch.tensor(logits, dtype=torch.float64))
    draw = Draw(of, 50, 3, streams=Streams(3, "joint", range(1)))
    assert of.exact_gradient is not None
    for g in estimates(DoubleCv(a=-1.0), draw, [2, 3]):
        np.testing.assert_allclose(g, np.broadcast_to(of.exact_gradient, g.shape), atol=1e-13)


# Wrong on purpose


def without_its_correction(a: float) -> Joint:
    """double_cv less nothing: the mean of the inner control variate is not taken off."""
    return lambda on, z: double_cv(a)(on, z) + a * on.jacobian @ np.mean([on.slope(t) for t in z], 0)


def with_its_own_slope(a: float) -> Joint:
    """double_cv with the mean of ∇f over all samples, the sample itself among them."""

    def formula(on: Law, z: Sequence[State]) -> Numbers:
        g = np.mean([on.slope(t) for t in z], 0)
        v = np.array([on.value(t) + a * g @ on.score(t) for t in z])
        left = (v - v.mean()) * len(z) / (len(z) - 1)
        return np.mean([x * on.score(t) for x, t in zip(left, z, strict=True)], 0) - a * on.jacobian @ g

    return formula


def steps_of_the_model(on: Law, z: Sequence[State]) -> Numbers:
    """mean_n (A h_n)(z_n) s(z_n)."""

    def line(slope: Numbers, y: State) -> Numbers:
        return slope @ on.vector(y)

    slopes = [np.mean([on.slope(t) for j, t in enumerate(z) if j != n], 0) for n in range(len(z))]
    return np.mean([on.stein(partial(line, g), t) * on.score(t) for g, t in zip(slopes, z, strict=True)], 0)


def with_its_own_model(b: float) -> Joint:
    """rodeo with a baseline that has (A h_n)(z_n), of the sample that it is taken off from."""
    return lambda on, z: rodeo(0.0, 0.0)(on, z) - b * steps_of_the_model(on, z)


def bias(formula: Joint, of: Problem) -> float:
    """The largest |E ĝ − g| over all pairs of states."""
    return float(np.abs(moments(formula, law(of), 2)[0] - truth(of)).max())


@pytest.mark.parametrize("wrong", [without_its_correction, with_its_own_slope, with_its_own_model])
def test_mistakes_are_caught(wrong: Callable[[float], Joint]) -> None:
    """A control variate whose mean is not zero is biased, and the check that passes the right ones says so."""
    of = problem(EVERY["B2"])
    assert bias(double_cv(-0.7), of) < 1e-12
    assert bias(rodeo(0.8, -0.6), of) < 1e-12
    assert bias(wrong(-0.7), of) > 1e-3


def test_options_and_fits_are_kept_apart() -> None:
    """A fitted number serves the N it was fitted for and those up to the next; a given one is never replaced."""
    draw = Draw(problem(SEVERAL["B2"]), 20, 7, streams=Streams(3, "joint", range(1)))
    fits = tuple((0.1 * i, -0.2 * i) for i in range(9))
    for N, place in ((2, 0), (3, 1), (4, 2), (5, 2), (6, 3), (7, 3)):
        pairs: list[tuple[Estimator, Estimator]] = [
            (DoubleCv(fitted=tuple(t[:1] for t in fits)), DoubleCv(a=fits[place][0])),
            (Rodeo(fitted=fits), Rodeo(a=fits[place][0], b=fits[place][1])),
            (Rodeo(a=0.7, fitted=tuple(t[1:] for t in fits)), Rodeo(a=0.7, b=fits[place][1])),
            (replace(DoubleCv(a=0.4), fitted=((0.9,),)), DoubleCv(a=0.4)),
        ]
        for fitted, given in pairs:
            (one,), (other,) = estimates(fitted, draw, [N]), estimates(given, draw, [N])
            assert torch.equal(one, other)
