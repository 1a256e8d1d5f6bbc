"""Local expectations, measure-valued gradients and stratified sampling against sums over all outcomes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import Facts, RowEstimator
from estbench.estimators.rao_blackwell.leg import Leg
from estbench.estimators.rao_blackwell.measure_valued import MeasureValued
from estbench.estimators.rao_blackwell.stratified import ORDER, WITHIN, Stratified
from estbench.estimators.score_function.reinforce import Reinforce
from estbench.estimators.shared.effects import effects
from estbench.estimators.straight_through.ste import Ste
from estbench.exact import exact
from estbench.moments import Floats
from estbench.objectives.linear import Linear
from estbench.objectives.power import Power
from estbench.objectives.sine import Sine
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
    sample,
    score,
    states,
    truth,
)
from tests.problems import make
from tests.sizes import slow

BERNOULLI: list[object] = [[0.8], [0.7, -1.3], [0.4, -0.9, 1.6]]
CATEGORICAL: list[object] = [[[0.3, -1.0, 0.6]], [[0.2, -0.7, 1.1, -0.4]], [[0.3, -1.0, 0.6], [-0.2, 0.9, -1.5]]]


@pytest.mark.parametrize("logits", BERNOULLI + CATEGORICAL, ids=str)
def test_leg_is_its_formula_state_by_state_and_unbiased(logits: object) -> None:
    """leg is π_k (F_k − Σ_j π_j F_j) with z_d alone replaced, at every state; its mean is the gradient."""
    p = problem(logits)
    pi, expected = marginals(p), []
    for c, _ in states(p):
        g = np.empty_like(pi)
        for d in range(p.D):
            F = np.array([f(p, put(c, d, k)) for k in range(pi.shape[1])])
            g[d] = pi[d] * (F - pi[d] @ F)
        expected.append(g[:, 1] if p.distribution.name == "bernoulli" else g.ravel())
    rows, _, _ = over_states(p, Leg())
    np.testing.assert_allclose(rows, np.array(expected), rtol=0, atol=1e-12)
    check_unbiased(p, Leg())


@pytest.mark.parametrize("logits", CATEGORICAL, ids=str)
def test_measure_valued_is_its_formula_state_by_state_and_unbiased(logits: object) -> None:
    """measure_valued is π_k (f(z_{−d}, e_k) − f(z)) at every state; its mean is the gradient."""
    p = problem(logits)
    pi = marginals(p)
    expected = [
        [pi[d, k] * (f(p, put(c, d, k)) - f(p, c)) for d in range(p.D) for k in range(pi.shape[1])]
        for c, _ in states(p)
    ]
    rows, _, _ = over_states(p, MeasureValued())
    np.testing.assert_allclose(rows, np.array(expected), rtol=0, atol=1e-12)
    check_unbiased(p, MeasureValued())


@pytest.mark.parametrize("estimator", [Leg(), MeasureValued()], ids=repr)
def test_exact_moments_of_the_engine(estimator: RowEstimator) -> None:
    """The engine's exact variance of N = 1 and N = 3 is the sum over states, and that over N."""
    p = problem(CATEGORICAL[2])
    _, _, variance = over_states(p, estimator)
    assert p.exact_gradient is not None
    for N in (1, 3):
        found = exact(p, estimator, N)
        np.testing.assert_allclose(found.mean, p.exact_gradient.numpy(), rtol=0, atol=1e-12)
        np.testing.assert_allclose(found.variance, variance / N, rtol=1e-10, atol=1e-15)


class NotHeld:
    """Wrong: the other variables are redrawn (here: put at their mode) instead of held at the sample."""

    facts = Facts("Rao-Blackwell")

    def rows(self, draw: Draw) -> Tensor:
        """leg at the mode."""
        d = draw.distribution
        mode = Draw(draw.problem, draw.R, draw.N, z=d.mode.expand(draw.R, draw.N, *d.event_shape))
        return d.mean_jac(effects(mode))


class AllAtOnce:
    """Wrong: all variables are moved to class k together."""

    facts = Facts("Rao-Blackwell")

    def rows(self, draw: Draw) -> Tensor:
        """J(π) (f(k, …, k))_k."""
        d = draw.distribution
        K = d.classes
        F = torch.stack([draw.problem.f(torch.eye(K).to(draw.z)[[k] * draw.problem.D]) for k in range(K)])
        return d.mean_jac(F.expand(draw.R, draw.N, *d.event_shape))


class NotSubtracted:
    """Wrong: measure-valued without the negative part."""

    facts = Facts("Rao-Blackwell")

    def rows(self, draw: Draw) -> Tensor:
        """π_k f(z_{−d}, e_k)."""
        return draw.distribution.mean * (effects(draw) + draw.lift(draw.fz))


class NoJacobian:
    """Wrong: the gradient with respect to π instead of θ."""

    facts = Facts("Rao-Blackwell")

    def rows(self, draw: Draw) -> Tensor:
        """f(z_{−d}, e_k) − f(z)."""
        return effects(draw)


@pytest.mark.parametrize(
    "mutant", [NotHeld(), AllAtOnce(), NotSubtracted(), NoJacobian()], ids=lambda m: type(m).__name__
)
def test_wrong_on_purpose_is_caught(mutant: RowEstimator) -> None:
    """Estimators with a public mistake fail the check that leg and measure_valued pass."""
    with pytest.raises(AssertionError):
        check_unbiased(problem(CATEGORICAL[2]), mutant)


def test_leg_has_no_variance_on_separable_objectives() -> None:
    """On a sum over variables, and so for any f of one variable, every draw of leg is the exact gradient."""
    for p in (
        make(Power(exponent=3.0), torch.tensor([0.7, -1.3, 0.2], dtype=torch.float64)),
        make(Power(exponent=3.0), torch.tensor(CATEGORICAL[2], dtype=torch.float64)),
        problem(BERNOULLI[0]),
        problem(CATEGORICAL[1]),
    ):
        rows, _, _ = over_states(p, Leg())
        np.testing.assert_allclose(rows, np.tile(truth(p), (len(rows), 1)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("logits", [BERNOULLI[2], CATEGORICAL[2]], ids=str)
def test_leg_is_straight_through_on_linear_objectives(logits: object) -> None:
    """On linear f finite differences are ∇f, so leg is ste at every state."""
    t = torch.tensor(logits, dtype=torch.float64)
    p = make(Linear(tuple(0.5 + d for d in range(len(t)))), t)
    np.testing.assert_allclose(over_states(p, Leg())[0], over_states(p, Ste())[0], rtol=0, atol=1e-14)


def test_leg_is_the_conditional_expectation_of_others() -> None:
    """Averaged over z_d given the other variables, REINFORCE and measure_valued are leg; both vary more."""
    p = problem(CATEGORICAL[2])
    pi, index = marginals(p), {c: i for i, (c, _) in enumerate(states(p))}
    leg, _, least = over_states(p, Leg())
    leg = leg.reshape(-1, *pi.shape)
    for other in (Reinforce(), MeasureValued()):
        rows, _, variance = over_states(p, other)
        rows = rows.reshape(-1, *pi.shape)
        for c, i in index.items():
            for d in range(p.D):
                mean = sum(pi[d, k] * rows[index[put(c, d, k)], d] for k in range(pi.shape[1]))
                np.testing.assert_allclose(mean, leg[i, d], rtol=0, atol=1e-12)
        assert variance.sum() > 1.01 * least.sum()


def test_two_classes_are_a_bernoulli_variable() -> None:
    """With K = 2 and logits (0, φ), class 1 of leg and of measure_valued's mean is leg at Bernoulli φ."""
    phi = torch.tensor([0.7, -1.3, 0.4], dtype=torch.float64)
    binary, classes = make(Sine(), phi), make(Sine(), torch.stack((torch.zeros_like(phi), phi), -1))
    rows, mean, _ = over_states(binary, Leg())
    np.testing.assert_allclose(over_states(classes, Leg())[0].reshape(-1, 3, 2)[..., 1], rows, rtol=0, atol=1e-13)
    measured = over_states(classes, MeasureValued())[1].reshape(3, 2)[:, 1]
    np.testing.assert_allclose(measured, mean, rtol=0, atol=1e-13)


@pytest.mark.parametrize("estimator", [Leg(), MeasureValued()], ids=repr)
def test_a_constant_moves_no_draw(estimator: RowEstimator) -> None:
    """Only differences of f count: a shift of 100 moves rounding alone."""
    here, there = (over_states(problem(CATEGORICAL[2], shift), estimator)[0] for shift in (0.0, 100.0))
    np.testing.assert_allclose(there, here, rtol=0, atol=1e-12)


def test_sums_over_classes() -> None:
    """Σ_k ĝ_k = 0 at every state for leg, and not for measure_valued, which says so."""
    p = problem(CATEGORICAL[2])
    sums = {type(e): over_states(p, e)[0].reshape(-1, 2, 3).sum(-1) for e in (Leg(), MeasureValued())}
    np.testing.assert_allclose(sums[Leg], 0, atol=1e-13)
    assert np.abs(sums[MeasureValued]).max() > 0.1
    assert Leg().facts.centred
    assert not MeasureValued().facts.centred


def test_permuting_classes_permutes_leg() -> None:
    """Classes have no order: with logits and f permuted, every row is permuted."""
    order = [2, 0, 1]
    p = make(Permuted(tuple(range(3))), torch.tensor(CATEGORICAL[2], dtype=torch.float64))
    q = make(Permuted(tuple(order)), torch.tensor(CATEGORICAL[2], dtype=torch.float64)[:, order])
    z = torch.stack([sample(p, c) for c, _ in states(p)]).unsqueeze(1)
    for e in (Leg(), MeasureValued()):
        here = e.rows(Draw(p, len(z), 1, z=z))[..., order]
        there = e.rows(Draw(q, len(z), 1, z=z[..., order].contiguous()))
        torch.testing.assert_close(there, here, rtol=0, atol=1e-13)


@dataclass(frozen=True)
class Permuted:
    """The coupled objective of two variables whose classes stand in another order."""

    order: tuple[int, ...]

    on: ClassVar[Literal["one-hot"]] = "one-hot"
    distributions: ClassVar[frozenset[str]] = frozenset({"categorical"})

    def value(self, v: Tensor) -> Tensor:
        """f of one-hot samples [..., D, K] put back into order."""
        back = sorted(range(len(self.order)), key=lambda k: self.order[k])
        return Wave().value(v[..., back].flatten(-2))


# Stratified sampling: all permutations, and for every u_nd the pieces on which z_nd does not change.


def stratified_outcomes(p: Problem, N: int) -> Draw:
    """All outcomes of the two streams: N! orders a variable, and v on each piece of (0, 1), with weights."""
    ends = np.cumsum(marginals(p), -1)[:, :-1]
    if p.distribution.name == "bernoulli":
        ends = 1 - ends  # z = 1 lies below p
    cuts = [[0.0, *sorted(N * x % 1 for x in ends[d]), 1.0] for d in range(p.D)]
    pieces = [[((a + b) / 2, b - a) for a, b in itertools.pairwise(cut)] for cut in cuts]
    order, within, weights = [], [], []
    for taus in itertools.product(itertools.permutations(range(N)), repeat=p.D):
        keys = np.stack([(np.array(tau) + 0.5) / N for tau in taus], -1)  # [N, D]
        for choice in itertools.product(*(pieces[d] for _ in range(N) for d in range(p.D))):
            order.append(keys)
            within.append(np.array([v for v, _ in choice]).reshape(N, p.D))
            weights.append(math.prod(w for _, w in choice) / math.factorial(N) ** p.D)
    noise = {ORDER: torch.tensor(np.array(order)), WITHIN: torch.tensor(np.array(within))}
    return Draw(p, len(weights), N, noise=noise, weights=torch.tensor(weights))


def stratified_by_hand(p: Problem, N: int, one_order: bool = False) -> tuple[Floats, Floats]:
    """Mean and variance by summing over permutations and samples: P(z_nd = k) is N times the overlap of intervals."""
    pi = marginals(p)
    # Bernoulli puts class 1 first, u < p; the order of the classes is that of the inverse CDF
    classes = [1, 0] if p.distribution.name == "bernoulli" else list(range(pi.shape[1]))
    ends = np.concatenate((np.zeros((p.D, 1)), np.cumsum(pi[:, classes], -1)), -1)
    first, second = np.zeros(p.parameters), np.zeros(p.parameters)
    orders = list(itertools.permutations(range(N)))
    choices = [(tau,) * p.D for tau in orders] if one_order else list(itertools.product(orders, repeat=p.D))
    for taus in choices:
        for samples in itertools.product(itertools.product(range(len(classes)), repeat=p.D), repeat=N):
            P, g = 1.0 / len(choices), np.zeros(p.parameters)
            for n, places in enumerate(samples):
                for d, place in enumerate(places):
                    low, high = taus[d][n] / N, (taus[d][n] + 1) / N
                    P *= N * max(0.0, min(high, ends[d, place + 1]) - max(low, ends[d, place]))
                c = tuple(classes[place] for place in places)
                g += f(p, c) * score(p, c) / N
            first += P * g
            second += P * g**2
    return first, second - first**2


def check_stratified(p: Problem, N: int, estimator: Callable[[Draw, int], Tensor]) -> None:
    """Mean (the gradient) and variance of a stratified estimator are those found by hand."""
    draw = stratified_outcomes(p, N)
    assert draw.weights is not None
    P, rows = draw.weights.numpy(), p.project(estimator(draw, N)).numpy()
    mean, variance = stratified_by_hand(p, N)
    np.testing.assert_allclose(mean, truth(p), rtol=0, atol=1e-12)
    np.testing.assert_allclose(P @ rows, truth(p), rtol=0, atol=1e-10)
    np.testing.assert_allclose(P @ (rows - P @ rows) ** 2, variance, rtol=1e-9)


STRATIFIED: list[tuple[object, int]] = [
    ([0.8], 1),
    ([0.8], 4),
    ([0.7, -1.3], 2),
    slow(([0.7, -1.3], 3)),
    ([[0.3, -1.0, 0.6]], 3),
]


@pytest.mark.parametrize(("logits", "N"), STRATIFIED, ids=str)
def test_stratified_over_all_outcomes(logits: object, N: int) -> None:
    """Over all permutations and strata the mean is the gradient and the variance that of a Latin hypercube."""
    check_stratified(problem(logits), N, Stratified().joint)


def _one_order(draw: Draw, samples: int) -> Tensor:
    """Wrong: one permutation for all variables."""
    shared = draw.uniform(ORDER, draw.problem.D)[..., :1].expand(-1, -1, draw.problem.D)
    noise = {ORDER: shared, WITHIN: draw.uniform(WITHIN, draw.problem.D)}
    return Stratified().joint(Draw(draw.problem, draw.R, draw.N, noise=noise), samples)


def _no_order(draw: Draw, samples: int) -> Tensor:
    """Wrong: sample n lies in stratum n of every variable."""
    identity = torch.arange(samples).view(1, -1, 1).expand(draw.R, -1, draw.problem.D) / samples
    noise = {ORDER: identity, WITHIN: draw.uniform(WITHIN, draw.problem.D)}
    return Stratified().joint(Draw(draw.problem, draw.R, draw.N, noise=noise), samples)


@pytest.mark.parametrize("mutant", [_one_order, _no_order], ids=lambda m: m.__name__)
def test_strata_shared_by_the_variables_are_caught(mutant: Callable[[Draw, int], Tensor]) -> None:
    """One stratum index for all variables is biased for D > 1, and the check that stratified passes finds it."""
    with pytest.raises(AssertionError, match="Mismatched"):
        check_stratified(problem([0.7, -1.3]), 2, mutant)


def test_one_shared_permutation_is_biased_by_hand() -> None:
    """The claim behind the mutants, by sums alone: with one permutation the mean is not the gradient."""
    p = problem([0.7, -1.3])
    mean, _ = stratified_by_hand(p, 2, one_order=True)
    assert np.abs(mean - truth(p)).max() > 0.01


@pytest.mark.parametrize("logits", [[0.7, -1.3], [[0.3, -1.0, 0.6], [-0.2, 0.9, -1.5]]], ids=str)
def test_stratified_has_one_sample_in_every_stratum(logits: object) -> None:
    """In every variable a class is drawn N π_k times, give or take less than 2, in N = 16 samples."""
    N, R = 16, 200
    p = problem(logits)
    draw = Draw(p, R, N, streams=Streams(0, "strata", range(1)))
    seen: list[Tensor] = []
    recording = make(Recording(seen), p.distribution.logits)
    Stratified().joint(Draw(recording, R, N, noise={s: draw.uniform(s, p.D) for s in (ORDER, WITHIN)}), N)
    counts, pi = seen[0].view(R, N, *p.distribution.event_shape).sum(1), p.independent.mean
    assert bool((counts > N * pi - 2).all())
    assert bool((counts < N * pi + 2).all())
    assert len(torch.unique(counts, dim=0)) > 1


@dataclass(frozen=True)
class Recording:
    """f = 0, keeping what it was asked."""

    seen: list[Tensor]

    on: ClassVar[Literal["flat"]] = "flat"
    distributions: ClassVar[frozenset[str]] = frozenset({"bernoulli", "categorical"})

    def value(self, v: Tensor) -> Tensor:
        """0."""
        self.seen.append(v)
        return v.sum(-1) * 0


def test_stratified_takes_the_first_samples() -> None:
    """With 2 of 5 samples the estimate is that of a draw of the first 2 alone, and a permutation of 2."""
    p = problem([0.7, -1.3])
    draw = Draw(p, 50, 5, streams=Streams(0, "prefix", range(1)))
    first = {s: draw.uniform(s, p.D)[:, :2] for s in (ORDER, WITHIN)}
    torch.testing.assert_close(Stratified().joint(draw, 2), Stratified().joint(Draw(p, 50, 2, noise=first), 2))


def test_stratified_never_leaves_the_last_stratum() -> None:
    """N − 1 + v that rounds to N still falls in the last stratum: a state of probability e^−30 is not drawn there."""
    for dtype in (torch.float32, torch.float64):
        p = make(Wave(), torch.tensor([40.0], dtype=dtype))
        v = 1 - torch.finfo(dtype).eps / 2
        noise = {ORDER: torch.tensor([[[0.2], [0.8]]], dtype=dtype), WITHIN: torch.full((1, 2, 1), v, dtype=dtype)}
        seen: list[Tensor] = []
        recording = make(Recording(seen), p.distribution.logits)
        Stratified().joint(Draw(recording, 1, 2, noise=noise), 2)
        assert bool((seen[0] == 1).all())


def test_leg_keeps_its_digits_at_extreme_logits() -> None:
    """At logit 30 leg is p q Δf to the last digits, though q is 1e-13, in float32 and float64."""
    q = 1 / (1 + math.exp(30.0))
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        for sign in (1, -1):
            p = make(Wave(), torch.tensor([30.0 * sign], dtype=dtype))
            g = Leg().rows(Draw(p, 1, 1, z=p.distribution.mode.view(1, 1, 1)))
            double = problem([30.0 * sign])
            assert float(g) == pytest.approx(q * (1 - q) * (f(double, (1,)) - f(double, (0,))), rel=tolerance)
