"""sum_and_sample and unordered_set against sums over all states and all orders of drawing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from typing_extensions import Protocol  # that of the contract: `isinstance` cannot do with both

from estbench.draws import Draw
from estbench.estimators.base import Facts, RowEstimator
from estbench.estimators.rao_blackwell.enumerate import Enumerate
from estbench.estimators.rao_blackwell.leg import Leg
from estbench.estimators.rao_blackwell.sum_and_sample import REST, SumAndSample
from estbench.estimators.rao_blackwell.unordered_set import NEXT, UnorderedSet, leave_out
from estbench.estimators.score_function.reinforce import Reinforce
from estbench.estimators.shared.ranked import Ranked, Space, ranked
from estbench.exact import exact
from estbench.moments import Floats
from estbench.objectives.sine import Sine
from estbench.problem import Problem
from estbench.streams import Streams
from tests.estimators.states import f, over_states, problem, sample, score, states, truth
from tests.problems import independent, make

ONE = [[0.3, -1.0, 0.6, 1.4]]
TWO = [[0.3, -1.0, 0.6], [-0.2, 0.9, -1.1]]
BINARY = [0.7, -1.3, 0.4]

State = tuple[int, ...]
SPACES: list[Space] = ["joint", "per_variable"]


class Piecewise(RowEstimator, Protocol):
    """Rows that are constant on pieces of uniforms of their own."""

    def breakpoints(self, problem: Problem) -> dict[str, list[Tensor]]:
        """The ends of the pieces."""
        ...


def moments(p: Problem, estimator: Piecewise) -> tuple[Floats, Floats]:
    """Mean [P] and covariance [P, P] of the unchanged estimator over all states and all pieces of its own uniforms."""
    ((name, axes),) = estimator.breakpoints(p).items()
    cuts = [[0.0, *sorted(set(a.tolist())), 1.0] for a in axes]
    pieces = [[((a + b) / 2, b - a) for a, b in itertools.pairwise(cut) if b > a] for cut in cuts]
    v, w = (np.array(list(itertools.product(*([x[i] for x in axis] for axis in pieces)))) for i in (0, 1))
    P = np.array([weight for _, weight in states(p)])
    z = torch.stack([sample(p, c) for c, _ in states(p)])
    M = len(v)
    noise = {name: torch.from_numpy(np.tile(v, (len(z), 1))).unsqueeze(1)}
    draw = Draw(p, len(z) * M, 1, z=z.repeat_interleave(M, 0).unsqueeze(1), noise=noise)
    rows = p.project(estimator.rows(draw))[:, 0].numpy()
    weights = np.outer(P, w.prod(1)).ravel()
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    mean = weights @ rows
    return mean, (rows - mean).T * weights @ (rows - mean)


# By hand: one variable of M states. Joint: the joint states. Per variable: the classes of d, the others held at z.


@dataclass(frozen=True)
class Block:
    """The states of some variables, the rest of z held: which one z is in, their probabilities, f and scores."""

    at: int
    P: list[float]
    f: list[float]
    s: list[Floats]


def blocks(p: Problem, space: Space, z: State) -> list[Block]:
    """One block of all variables, or one for each variable with the others held at z; scores are [P], 0 elsewhere."""
    if space == "joint":
        every = states(p)
        at = [c for c, _ in every].index(z)
        return [Block(at, [P for _, P in every], [f(p, c) for c, _ in every], [score(p, c) for c, _ in every])]
    found = []
    for d in range(p.D):
        ways = [(*z[:d], k, *z[d + 1 :]) for k in range(p.distribution.classes)]
        pi = [sum(P for c, P in states(p) if c[d] == k) for k in range(p.distribution.classes)]
        own = np.zeros(p.distribution.event_shape)
        own[d] = 1
        found.append(Block(z[d], pi, [f(p, c) for c in ways], [score(p, c) * own.ravel() for c in ways]))
    return found


Law = list[tuple[float, Floats]]
"""The estimate's possible values with their probabilities."""


def by_hand(p: Problem, space: Space, law: Callable[[Block], Law]) -> tuple[Floats, Floats]:
    """Mean and covariance of an estimator that treats blocks by themselves, given z."""
    first, second = np.zeros(p.parameters), np.zeros((p.parameters, p.parameters))
    for z, P in states(p):
        laws = [law(block) for block in blocks(p, space, z)]
        for outcome in itertools.product(*laws):
            g, weight = sum(value for _, value in outcome), P * math.prod(q for q, _ in outcome)
            first += weight * g
            second += weight * np.outer(g, g)
    return first, second - np.outer(first, first)


def summed_and_sampled(top: int) -> Callable[[Block], Law]:
    """Σ_{c ∈ S} P_c f_c s_c, and with P_c/(1 − P(S)) for each c ∉ S: (1 − P(S)) f_c s_c."""

    def law(b: Block) -> Law:
        order = sorted(range(len(b.P)), key=lambda c: -b.P[c])
        S, others = order[:top], order[top:]
        summed = np.sum([b.P[c] * b.f[c] * b.s[c] for c in S], axis=0)
        rest = sum(b.P[c] for c in others)
        return [(b.P[c] / rest, summed + rest * b.f[c] * b.s[c]) for c in others] or [(1.0, summed)]

    return law


def chance(P: list[float], order: tuple[int, ...], out: tuple[int, ...] = ()) -> float:
    """The probability that states are drawn without replacement in this order, once `out` are taken out."""
    total, left = 1.0, sum(x for c, x in enumerate(P) if c not in out)
    for c in order:
        total *= P[c] / left
        left -= P[c]
    return total


def came_first(P: list[float], S: tuple[int, ...], c: int, out: tuple[int, ...] = ()) -> float:
    """The probability that c was drawn first, given that S was drawn, in any order."""
    orders = list(itertools.permutations(S))
    return sum(chance(P, o, out) for o in orders if o[0] == c) / sum(chance(P, o, out) for o in orders)


def unordered(k: int, baseline: bool) -> Callable[[Block], Law]:
    """REINFORCE at the first state averaged over the orders of S; b_c = P_c f_c + (1 − P_c) E[f of the next | S, c]."""

    def law(b: Block) -> Law:
        found = []
        for S in itertools.combinations(range(len(b.P)), k):
            g = np.zeros_like(b.s[0])
            for c in S:
                others = tuple(x for x in S if x != c)
                following = sum(came_first(b.P, others, x, (c,)) * b.f[x] for x in others)
                b_c = b.P[c] * b.f[c] + (1 - b.P[c]) * following if baseline else 0.0
                g = g + came_first(b.P, S, c) * (b.f[c] - b_c) * b.s[c]
            given = sum(chance(b.P, o) for o in itertools.permutations(S) if o[0] == b.at) / b.P[b.at]
            found.append((given, g))
        return [(P, g) for P, g in found if P > 0]

    return law


def check(p: Problem, estimator: Piecewise, space: Space, law: Callable[[Block], Law]) -> None:
    """The estimator's mean is the gradient and its covariance that of the law by hand."""
    mean, covariance = moments(p, estimator)
    expected = by_hand(p, space, law)
    np.testing.assert_allclose(expected[0], truth(p), rtol=0, atol=1e-11)
    np.testing.assert_allclose(mean, truth(p), rtol=0, atol=1e-10)
    np.testing.assert_allclose(covariance, expected[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize(
    ("logits", "top"), [([0.8], 1), (BINARY, 1), (BINARY, 3), (ONE, 1), (ONE, 2), (TWO, 1), (TWO, 4)]
)
def test_sum_and_sample_over_all_outcomes(logits: object, top: int, space: Space) -> None:
    """Mean (the gradient) and covariance are those of the formula, summed by hand over states."""
    p = problem(logits)
    check(p, SumAndSample(top, space), space, summed_and_sampled(top))


FIVE = [[0.3, -1.0, 0.6, 1.4, -0.2]]
SETS: list[tuple[object, int]] = [
    ([0.8], 2),
    (BINARY, 2),
    ([0.7, -1.3], 3),
    (ONE, 2),
    (ONE, 3),
    (TWO, 2),
    (FIVE, 3),
]


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("baseline", [True, False])
@pytest.mark.parametrize(("logits", "k"), SETS, ids=str)
def test_unordered_set_over_all_outcomes(logits: object, k: int, baseline: bool, space: Space) -> None:
    """Mean (the gradient) and covariance are those of averaging the first draw over all orders, by hand."""
    p = problem(logits)
    states_of_a_block = p.n_states if space == "joint" else p.distribution.classes
    check(p, UnorderedSet(k, space, baseline), space, unordered(min(k, states_of_a_block), baseline))


@pytest.mark.parametrize(
    "estimator",
    [SumAndSample(), SumAndSample(2), UnorderedSet(), UnorderedSet(3), UnorderedSet(2, baseline=False)],
    ids=repr,
)
def test_exact_moments_of_the_engine(estimator: Piecewise) -> None:
    """For one variable the engine's quadrature finds the gradient as the mean, and the variance by hand."""
    p = problem(ONE)
    found = exact(p, estimator, 1)
    assert p.exact_gradient is not None
    np.testing.assert_allclose(found.mean, p.exact_gradient.numpy(), atol=1e-12)
    np.testing.assert_allclose(found.variance, moments(p, estimator)[1].diagonal(), rtol=1e-9, atol=1e-14)


# Wrong on purpose.


class Mutant:
    """A wrong variant that breaks where the right one does."""

    def __init__(self, right: Piecewise) -> None:
        self.right = right
        self.facts = right.facts

    def breakpoints(self, problem: Problem) -> dict[str, list[Tensor]]:
        """Those of the right one."""
        return self.right.breakpoints(problem)


class NotWeighed(Mutant):
    """The sampled part without 1 − P(S)."""

    def rows(self, draw: Draw) -> Tensor:
        """Σ_S P f s + f(z) s(z)."""
        (c,) = ranked(draw.distribution, "joint")
        S = torch.arange(c.M - 1, c.M)
        i = c.next(S, draw.uniform(REST, 1)[..., 0])
        top = c.log_P[-1].exp() * draw.lift(draw.problem.f(c.put(draw, S[0]))) * c.score[-1]
        return top + draw.lift(draw.problem.f(c.put(draw, i))) * c.score[i]


class FromAll(Mutant):
    """The sampled part drawn from P, not from P given ∉ S."""

    def rows(self, draw: Draw) -> Tensor:
        """Σ_S P f s + (1 − P(S)) f(z) s(z), z ~ P."""
        (c,) = ranked(draw.distribution, "joint")
        S = torch.arange(c.M - 1, c.M)
        top = c.log_P[-1].exp() * draw.lift(draw.problem.f(c.put(draw, S[0]))) * c.score[-1]
        return top + c.outside(S) * draw.lift(draw.fz) * draw.score


class OwnWeights(Mutant):
    """Weights P_c/P(S) in place of P_c R(S, c), as if S were all there is."""

    def rows(self, draw: Draw) -> Tensor:
        """Σ_S P_c/P(S) f_c s_c."""
        (c,) = ranked(draw.distribution, "joint")
        S = c.without_replacement(c.of(draw.z), draw.uniform(NEXT, 1))
        P = torch.softmax(c.log_P[S], -1)
        f_s = [draw.lift(P[..., i] * draw.problem.f(c.put(draw, S[..., i]))) * c.score[S[..., i]] for i in range(2)]
        return f_s[0] + f_s[1]


class WithItself(Mutant):
    """The mean of f over all of S as the baseline of each member, weighed as if the member were any other."""

    def rows(self, draw: Draw) -> Tensor:
        """Σ_S P_c R(S, c) (f_c − Σ_S P_c′ R(S, c′) f_c′) s_c."""
        plain = UnorderedSet(2, baseline=False)
        (c,) = ranked(draw.distribution, "joint")
        S = c.without_replacement(c.of(draw.z), draw.uniform(NEXT, 1))
        log_P = c.log_P[S].unbind(-1)
        log_p = leave_out(log_P, c.outside(S).log())
        w = [(log_P[i] + log_p[1 << i] - log_p[0]).exp() for i in range(2)]
        b = sum(w[i] * draw.problem.f(c.put(draw, S[..., i])) for i in range(2))
        assert isinstance(b, Tensor)
        moved = [draw.lift(w[i] * b) * c.score[S[..., i]] for i in range(2)]
        return plain.rows(draw) - moved[0] - moved[1]


@pytest.mark.parametrize(
    "mutant",
    [NotWeighed(SumAndSample()), FromAll(SumAndSample()), OwnWeights(UnorderedSet()), WithItself(UnorderedSet())],
    ids=lambda m: type(m).__name__,
)
def test_wrong_on_purpose_is_caught(mutant: Piecewise) -> None:
    """Estimators with a known mistake fail the check that the right ones pass."""
    law = summed_and_sampled(1) if REST in mutant.breakpoints(problem(TWO)) else unordered(2, True)
    with pytest.raises(AssertionError, match="Mismatched"):
        check(problem(TWO), mutant, "joint", law)


def test_a_baseline_at_one_sample_is_refused() -> None:
    """k = 1 with the baseline is biased, so it cannot be built; without it, it can."""
    with pytest.raises(ValidationError, match="k of at least 2, or baseline: false"):
        UnorderedSet(k=1)
    assert not UnorderedSet(k=1, baseline=False).baseline


# Identities.


def mc(logits: object, R: int = 200, N: int = 2, dtype: torch.dtype = torch.float64) -> Draw:
    """A Monte Carlo draw of the coupled problem."""
    return Draw(
        make(problem(logits).objective, torch.tensor(logits, dtype=dtype)), R, N, streams=Streams(0, "s", range(1))
    )


@pytest.mark.parametrize("logits", [[0.8], BINARY, ONE, TWO], ids=str)
def test_all_states_are_exact(logits: object) -> None:
    """With all states both are enumerate (joint) and leg (per variable), draw by draw; more states change nothing."""
    draw = mc(logits)
    p = draw.problem
    everything = p.project(Enumerate().joint(draw, 1))
    np.testing.assert_allclose(everything[0], truth(p), rtol=0, atol=1e-12)
    for k in (p.n_states, p.n_states + 5):
        whole: list[RowEstimator] = [SumAndSample(k)]
        whole += [UnorderedSet(k, baseline=b) for b in (True, False) if k <= 10]
        for e in whole:
            rows = p.project(e.rows(draw))
            torch.testing.assert_close(rows, everything.unsqueeze(1).expand_as(rows), rtol=0, atol=1e-12)
    leg = Leg().rows(draw)
    K = p.distribution.classes
    each: list[RowEstimator] = [SumAndSample(K, "per_variable"), SumAndSample(K - 1, "per_variable")]
    each += [UnorderedSet(K, "per_variable", baseline=b) for b in (True, False)]
    for e in each:
        torch.testing.assert_close(e.rows(draw), leg, rtol=0, atol=1e-12)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("logits", [[0.8], BINARY, ONE, TWO], ids=str)
def test_one_state_is_reinforce(logits: object, space: Space) -> None:
    """unordered_set at k = 1 without baseline is REINFORCE, draw by draw: S holds z alone."""
    draw = mc(logits)
    rows = UnorderedSet(1, space, baseline=False).rows(draw)
    torch.testing.assert_close(rows, Reinforce().rows(draw), rtol=1e-12, atol=0)


def test_the_baseline_takes_a_constant_out() -> None:
    """With the baseline a constant in f moves no draw; without it, it does, though not the mean."""
    v = torch.from_numpy(np.random.default_rng(0).random((500, 1, 1)))
    z = torch.stack([sample(problem(TWO), c) for c, _ in states(problem(TWO))])
    z = z[torch.arange(500) % len(z)].unsqueeze(1)
    for baseline in (True, False):
        e = UnorderedSet(baseline=baseline)
        low, high = (e.rows(Draw(problem(TWO, shift), 500, 1, z=z, noise={NEXT: v})) for shift in (0.0, 10.0))
        assert (float((high - low).abs().max()) < 1e-12) == baseline


def test_sets_average_the_first_sample() -> None:
    """Rao-Blackwell: without baseline the variance falls with k to 0; sum_and_sample's falls with top to 0."""
    p = problem(ONE)
    reinforce = over_states(p, Reinforce())[2].sum()
    for kind in (lambda k: UnorderedSet(k, baseline=False), SumAndSample):
        variances = [reinforce, *(moments(p, kind(k))[1].trace() for k in (2, 3))]
        assert variances[0] > 1.01 * variances[1] > 1.02 * variances[2]
        assert moments(p, kind(4))[1].trace() < 1e-20


def test_two_classes_are_a_bernoulli_variable() -> None:
    """With K = 2 and logits (0, φ), class 1 has the mean and the variance of Bernoulli φ."""
    phi = torch.tensor([0.7, -1.3], dtype=torch.float64)
    binary, classes = make(Sine(), phi), make(Sine(), torch.stack((torch.zeros_like(phi), phi), -1))
    every: list[Piecewise] = [SumAndSample(2), UnorderedSet(2), UnorderedSet(3), SumAndSample(1, "per_variable")]
    for e in every:
        (one, covariance), (two, both) = moments(binary, e), moments(classes, e)
        np.testing.assert_allclose(two[1::2], one, rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(both[1::2, 1::2], covariance, rtol=1e-9, atol=1e-14)


@dataclass(frozen=True)
class Targets:
    """Σ_d (z_d − t_d)², t = (.6, .51, .48)."""

    on: ClassVar[Literal["flat"]] = "flat"
    distributions: ClassVar[frozenset[str]] = frozenset({"bernoulli"})

    def value(self, v: Tensor) -> Tensor:
        """f(z)."""
        return ((v - torch.tensor([0.6, 0.51, 0.48]).to(v)) ** 2).sum(-1)


@pytest.mark.parametrize(("eta", "published"), [(0.0, -0.0450), (-4.0, -0.003179)])
def test_published_gradient_of_a_shared_logit(eta: float, published: float) -> None:
    """Three Bernoullis sharing a logit (Liu et al. 2019; Kool et al. 2020): every estimator's mean is the published."""
    p = make(Targets(), torch.full((3,), eta, dtype=torch.float64), tie=True)
    every: list[Piecewise] = [SumAndSample(3), UnorderedSet(3), UnorderedSet(2, baseline=False)]
    for e in every:
        assert float(moments(p, e)[0][0]) == pytest.approx(published, abs=0.5e-6 if eta else 0.5e-4)


# States in order of probability, and weights, where 1 − P loses all digits.


def test_leave_out_in_decimals() -> None:
    """log p^{∖C}(S∖C) is the sum over all orders, to 12 digits, where P spans e^−60 … 1."""
    theta = [30.0, -30.0, 0.0, 29.0, -12.5, 30.0]
    S = (0, 1, 3, 5)
    with localcontext(prec=80):
        e = [Decimal(t).exp() for t in theta]
        P = [x / sum(e) for x in e]

        def drawn(order: tuple[int, ...], out: tuple[int, ...]) -> Decimal:
            total = Decimal(1)
            for i, c in enumerate(order):
                total *= P[c] / sum(x for j, x in enumerate(P) if j not in (*out, *order[:i]))
            return total

        log_P = tuple(torch.tensor(float(P[c].ln()), dtype=torch.float64) for c in S)
        outside = torch.tensor(float(sum((P[c] for c in range(6) if c not in S), Decimal(0)).ln()), dtype=torch.float64)
        got = leave_out(log_P, outside)
        for C in range(2 ** len(S)):
            out = tuple(c for i, c in enumerate(S) if C >> i & 1)
            left = tuple(c for c in S if c not in out)
            expected = sum((drawn(o, out) for o in itertools.permutations(left)), Decimal(0)).ln()
            assert float(got[C]) == pytest.approx(float(expected), rel=1e-12, abs=1e-12)


def tables(logits: object, dtype: torch.dtype) -> Iterator[Ranked]:
    """The tables of a distribution in both spaces."""
    d = independent(make(problem(logits).objective, torch.tensor(logits, dtype=dtype)))
    for space in SPACES:
        yield from ranked(d, space)


@pytest.mark.parametrize("logits", [BINARY, TWO, [[30.0, -30.0, 1.0], [0.0, 25.0, -30.0]], [30.0, -30.0, 2.0]], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_next_state_follows_the_conditional_law(logits: object, dtype: torch.dtype) -> None:
    """Given any S of one or two states, the uniform turns from state to state at the sums of P/(1 − P(S)), in decimals.

    Both sides of each turn are tried at a relative distance of 1e-9, also where 1 − P(S) is e^−60, and as exactly for
    logits in float32.
    """
    for c in tables(logits, dtype):
        P = [Decimal(x).exp() for x in c.log_P.tolist()]
        for S in itertools.chain.from_iterable(itertools.combinations(range(c.M), k) for k in (1, 2) if k < c.M):
            others = [i for i in range(c.M) if i not in S]
            rest = sum(P[i] for i in others)
            assert float(c.outside(torch.tensor(S))) == pytest.approx(float(rest), rel=1e-12)
            turn = Decimal(0)
            for i in others:
                low, turn = turn, turn + P[i] / rest
                inside = [float(low) * (1 + 1e-9) + 1e-300, min(float(turn) * (1 - 1e-9), 1 - 1e-15)]
                v = torch.tensor([x for x in inside if float(low) < x < float(turn)], dtype=torch.float64)
                assert c.next(torch.tensor(S).expand(len(v), -1), v).tolist() == [i] * len(v)


def test_states_are_ranked_and_found() -> None:
    """States stand in ascending order with their probabilities and scores, and every sample finds its own."""
    for logits in (BINARY, TWO):
        p = problem(logits)
        (c,) = ranked(independent(p), "joint")
        assert bool((c.log_P.diff() >= 0).all())
        z = torch.stack([sample(p, classes) for classes, _ in states(p)])
        found = c.of(z.unsqueeze(1))[:, 0]
        assert torch.equal(c.states[found], z)
        np.testing.assert_allclose(c.log_P[found].exp(), [P for _, P in states(p)], rtol=1e-12)
        np.testing.assert_allclose(c.score[found].flatten(1), [score(p, k) for k, _ in states(p)], atol=1e-15)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("logits", [BINARY, TWO, [[30.0, -30.0, 1.0], [0.0, 25.0, -30.0]]], ids=str)
def test_no_state_is_drawn_twice(logits: object, space: Space) -> None:
    """Draws without replacement are distinct and ascending, at extreme logits and in float32 too."""
    for dtype in (torch.float64, torch.float32):
        d = independent(make(problem(logits).objective, torch.tensor(logits, dtype=dtype)))
        for c in ranked(d, space):
            k = min(c.M, 4)
            draw = mc(logits, 3000, 1, dtype)
            S = c.without_replacement(c.of(draw.z), draw.uniform("v", k - 1))
            assert S.shape == (3000, 1, k)
            assert bool((S.diff() > 0).all())
            assert bool((c.of(draw.z).unsqueeze(-1) == S).any(-1).all())


@pytest.mark.parametrize("space", SPACES)
def test_noise_that_is_declared_is_read(space: Space) -> None:
    """The named streams that the facts list are those read, beside z."""
    every: list[RowEstimator] = [SumAndSample(1, space), UnorderedSet(2, space), UnorderedSet(1, space, baseline=False)]
    for e in every:
        draw = mc(TWO)
        z = Draw(
            draw.problem, draw.R, draw.N, z=draw.z, noise={n: draw.uniform(n, *TAIL[n, space]) for n in e.facts.noise}
        )
        torch.testing.assert_close(e.rows(z), e.rows(draw), rtol=0, atol=0)


TAIL: dict[tuple[str, Space], tuple[int, ...]] = {
    (REST, "joint"): (1,),
    (REST, "per_variable"): (2,),
    (NEXT, "joint"): (1,),
    (NEXT, "per_variable"): (2,),
}


def test_limits_are_stated() -> None:
    """The joint space has a limit on its states, the space of each variable has none."""
    kinds: list[Callable[[Space], Facts]] = [lambda s: SumAndSample(1, s).facts, lambda s: UnorderedSet(2, s).facts]
    for facts in kinds:
        assert facts("joint").max_states == 2**16
        assert facts("per_variable").max_states is None
    large = Draw(make(Sine(), torch.linspace(-2, 2, 40).double()), 5, 1, streams=Streams(0, "large", range(1)))
    assert bool(UnorderedSet(2, "per_variable").rows(large).isfinite().all())
