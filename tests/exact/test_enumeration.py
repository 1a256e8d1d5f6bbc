"""Enumeration by multisets of samples: against all tuples, and against sums and formulas of its own."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic.dataclasses import dataclass
from scipy import special
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import Facts, RowEstimator
from estbench.exact import enumeration, exact, multisets, why_not
from estbench.moments import SCALARS, Floats, Moments
from estbench.objectives.mlp import Mlp
from estbench.problem import Problem, make
from tests.estimators.members import ALL, build, draw, gradients, problems
from tests.sizes import slow

C1, ZEROS = SCALARS.index("c1"), SCALARS.index("zeros")


def of(logits: Any, distribution: str = "bernoulli") -> Problem:
    """A coupled problem that is not quadratic."""
    return make(Mlp(seed=3), torch.tensor(logits, dtype=torch.float64), distribution)


def moments(problem: Problem, estimator: Any, N: int) -> Moments:
    """The exact moments."""
    assert problem.exact_gradient is not None
    return Moments.unpack(exact(problem, estimator, N).packed, problem.exact_gradient.numpy())


@pytest.mark.parametrize(("S", "N"), [(2, 1), (2, 9), (3, 4), (4, 3), (7, 2)])
def test_all_multisets_are_there(S: int, N: int) -> None:
    """Members and counts, in pieces, are the combinations with repetition; their probabilities are those of tuples."""
    M, log_prob = multisets.number(S, N), torch.linspace(-2, 1, S).double().log_softmax(0)
    want = dict.fromkeys(itertools.combinations_with_replacement(range(S), N), 0.0)
    for tuple_ in itertools.product(range(S), repeat=N):
        want[tuple(sorted(tuple_))] += math.exp(sum(float(log_prob[s]) for s in tuple_))
    pieces = [(0, M // 2), (M // 2, M)]
    members = torch.cat([multisets.members(S, N, *piece) for piece in pieces])
    counts = torch.cat([multisets.counts(S, N, *piece) for piece in pieces])
    for found, log_w in (
        (members, multisets.log_prob_of_members(members, log_prob)),
        (multisets.members_of(counts), multisets.log_prob_of_counts(counts, log_prob)),
    ):
        weights = dict(zip(map(tuple, found.tolist()), log_w.exp().tolist(), strict=True))
        assert weights == pytest.approx(want, rel=1e-13)


@pytest.mark.parametrize("p", [0.3, 1e-5])
def test_probabilities_of_many_samples(p: float) -> None:
    """At N = 65 535 the weights are binomial: total and three moments of the count, to 1e-11 of their scale."""
    N = 65535
    log_prob = torch.tensor([math.log(p), math.log1p(-p)], dtype=torch.float64)
    counts = multisets.counts(2, N, 0, N + 1)
    w, c = multisets.log_prob_of_counts(counts, log_prob).exp(), counts[:, 0].double() - N * p
    v = N * p * (1 - p)
    found = [float((w * c**k).sum()) for k in range(4)]
    scale = v ** (np.arange(4) / 2)
    np.testing.assert_allclose(found / scale, np.array([1, 0, v, v * (1 - 2 * p)]) / scale, atol=1e-11)


SYMMETRIC = [
    case
    for case in ALL
    if (e := build(*case.values)).facts.exact == "z"  # type: ignore[arg-type] # the values of a parameter
    and not e.facts.noise
    and (isinstance(e, RowEstimator) or e.facts.symmetric)
]


@pytest.mark.parametrize(("name", "options"), SYMMETRIC)
def test_multisets_against_tuples(name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every record by multisets, of states in order and of counts, is that by tuples to 1e-12."""
    estimator = build(name, options)
    for problem in problems(estimator):
        for N in (2, 3) if problem.n_states < 10 else (2,):
            if estimator.facts.min_samples > N:
                continue
            true = enumeration_truth(problem, estimator)
            found = []
            for few in (-1, 2**16):
                monkeypatch.setattr(enumeration, "_FEW", few)
                packed = enumeration.enumerated(problem, estimator, N, true)
                found.append(Moments.unpack(packed, true.numpy()))
            for a, b in zip(*(vars(m).items() for m in found), strict=True):
                scale = float(np.sqrt(found[1].m2.sum() + (found[1].s1 ** 2).sum()))
                power = {"m2": 2, "m3": 3, "s1": 1}.get(a[0], 0)
                if a[0] not in ("d4", "umax", "non_finite"):  # of pieces, or a number of tuples
                    np.testing.assert_allclose(a[1], b[1], rtol=1e-12, atol=1e-12 * scale**power, err_msg=a[0])


def enumeration_truth(problem: Problem, estimator: Any) -> Tensor:
    """What the estimator is measured against; any vector of the right length does."""
    del estimator
    assert problem.exact_gradient is not None
    return problem.exact_gradient


@pytest.mark.parametrize("N", [16, 64, 1000])
def test_means_of_rows_of_one_variable(N: int) -> None:
    """Cosine, share of zeros and moments of a mean of N rows are sums over a binomial, to 1e-10."""
    problem, phi = of([0.4]), 0.4
    p = special.expit(phi)
    f0, f1 = (float(problem.f(torch.tensor([[[z]]], dtype=torch.float64))) for z in (0.0, 1.0))
    assert problem.exact_gradient is not None
    k = np.arange(N + 1)
    log_w = special.gammaln(N + 1) - special.gammaln(k + 1) - special.gammaln(N - k + 1)
    w = np.exp(log_w + k * np.log(p) + (N - k) * np.log1p(-p))
    x = (k * f1 * (1 - p) - (N - k) * f0 * p) / N
    m, found = float(w @ x), moments(problem, build("reinforce", {}), N)
    one = moments(problem, build("reinforce", {}), 1)
    np.testing.assert_allclose(found.s1[0, 0], m, rtol=1e-10)
    np.testing.assert_allclose(found.m2[0, 0], w @ (x - m) ** 2, rtol=1e-10)
    np.testing.assert_allclose(found.m2[0, 0], one.m2[0, 0] / N, rtol=1e-10)
    np.testing.assert_allclose(found.m3[0, 0], one.m3[0, 0] / N**2, rtol=1e-8, atol=1e-14)
    np.testing.assert_allclose(found.c1[0], w @ np.sign(x * float(problem.exact_gradient[0])), rtol=1e-10)


@pytest.mark.parametrize(("logits", "N"), [([0.4], 16), ([0.4], 64), ([0.4, -1.1], 16), slow(([0.4, -1.1], 64))])
def test_leave_one_out_baselines(logits: list[float], N: int) -> None:
    """The variance of rloo is that of a U-statistic of ½ (f − f′)(s − s′), by Hoeffding's formula, to 1e-9."""
    problem = of(logits)
    d = problem.distribution
    z = d.states()
    P, f = d.log_prob(z).exp().numpy(), problem.f(z.unsqueeze(1))[:, 0].numpy()
    s = d.score(z.unsqueeze(1))[:, 0].numpy()
    kernel = 0.5 * (f[:, None] - f)[..., None] * (s[:, None] - s)
    mean = np.einsum("i,j,ijp->p", P, P, kernel)
    one = P @ (np.einsum("j,ijp->ip", P, kernel) - mean) ** 2
    two = np.einsum("i,j,ijp->p", P, P, (kernel - mean) ** 2)
    found = moments(problem, build("rloo", {}), N)
    np.testing.assert_allclose(found.s1[0], mean, rtol=1e-10)
    np.testing.assert_allclose(found.m2[0], 2 / (N * (N - 1)) * (2 * (N - 2) * one + two), rtol=1e-9)


@dataclass(frozen=True)
class Cancelling:
    """Rows of 0.1 and −0.1, whose means are often 0."""

    facts: ClassVar[Facts] = Facts("straight-through", distributions=frozenset({"bernoulli"}), unbiased=False)

    def rows(self, draw: Draw) -> Tensor:
        """0.1 (2z − 1)."""
        return 0.1 * (2 * draw.z - 1)


def test_what_cancels_is_zero() -> None:
    """The share of zeros of a mean of ± the same number is binomial, and rounding is no direction."""
    found = moments(of([0.0]), Cancelling(), 24)
    assert found.zeros[0] == pytest.approx(math.comb(24, 12) / 2**24, rel=1e-12)
    assert found.c1[0] == pytest.approx(0, abs=1e-14)


@dataclass(frozen=True)
class FirstAgainstLast:
    """f(z_1) s(z_N): it minds the order of its samples, whatever its facts say."""

    symmetric: bool

    @property
    def facts(self) -> Facts:
        """What the option says."""
        return Facts("score function", f=1, min_samples=2, unbiased=False, symmetric=self.symmetric)

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """f(z_1) s(z_N)."""
        return draw.fz[:, 0].unsqueeze(-1) * draw.score[:, samples - 1]


def test_a_false_claim_of_symmetry_is_an_error() -> None:
    """Who minds the order and claims not to gets an error; who does not claim it is given all tuples."""
    problem = of([0.4, -1.1])
    with pytest.raises(ValueError, match="say symmetric=True, but with its samples in another order"):
        exact(problem, FirstAgainstLast(symmetric=True), 6)
    assert exact(problem, FirstAgainstLast(symmetric=False), 6).route == "enumeration"
    assert why_not(problem, FirstAgainstLast(symmetric=False), 16) == (
        "2^32 tuples of joint states are more than 65536"
    )


JOINT = [case for case in ALL if not isinstance(build(*case.values), RowEstimator)]  # type: ignore[arg-type] # as above


@pytest.mark.parametrize(("name", "options"), JOINT)
def test_the_order_of_samples(name: str, options: dict[str, Any]) -> None:
    """With its samples in another order, a joint estimator that says `symmetric` gives the same estimate."""
    estimator = build(name, options)
    assert ordered(estimator) == (not estimator.facts.symmetric)
    assert ordered(FirstAgainstLast(symmetric=True))


def ordered(estimator: Any) -> bool:
    """Whether an estimate changes with the order of its samples."""
    N, order = 5, torch.tensor([3, 0, 4, 1, 2])
    for problem in problems(estimator):
        plain = draw(problem, 200, N)
        g = gradients(estimator, plain)
        mixed = plain.with_same_noise()
        per_sample = {key: not key[2] for key in plain._noise}
        mixed._noise.update({key: u[:, order] if per_sample[key] else u for key, u in plain._noise.items()})
        h = gradients(estimator, mixed)
        if not torch.allclose(g, h, rtol=1e-9, atol=1e-9 * float(g.abs().max())):
            return True
    return False


@pytest.mark.parametrize("N", [2, 16])
def test_one_sample_is_enumerated_once(N: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the moments of N rows follow from those of one, all N share one enumeration, in whatever order they come.

    So it is for options that cannot be hashed too, but for the sharing.
    """
    problem, calls, whole = of([0.3] * 17), [], enumeration.enumerated

    def counting(problem: Problem, estimator: Any, samples: int, true: Tensor) -> Floats:
        calls.append(samples)
        return whole(problem, estimator, samples, true)

    monkeypatch.setattr("estbench.exact.routes.enumerated", counting)
    several = [moments(problem, Cancelling(), n) for n in (N, 1, N + 1)]
    assert calls == [1]
    np.testing.assert_allclose(several[2].m2 * (N + 1), several[1].m2, rtol=1e-12)
    monkeypatch.setattr(Cancelling, "__hash__", None)
    np.testing.assert_array_equal(moments(problem, Cancelling(), N).m2, several[0].m2)


def test_memory_is_that_of_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many estimates there are, no draw holds more than 2^18 numbers, and the parts add up."""
    problem, sizes = of([0.3] * 17), []

    def counting(draw_: Draw) -> Tensor:
        sizes.append(draw_.z.numel())
        return 0.1 * (2 * draw_.z - 1)

    monkeypatch.setattr(Cancelling, "rows", lambda _, draw_: counting(draw_))
    found = moments(problem, Cancelling(), 1)
    assert max(sizes) <= 2**18
    assert sum(sizes) >= 17 * 2**17
    np.testing.assert_allclose(found.s1[0], 0.1 * (2 * special.expit(0.3) - 1), rtol=1e-10)
    assert replace(found).n[0] == pytest.approx(1, rel=1e-12)
