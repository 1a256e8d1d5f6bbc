"""Adapted functions: the numbers of the catalogue where they are the same estimator; global generators are left alone.

Comparisons by sampling are of the mean and the variance of each coordinate with exact moments, at R = 2^13 estimates
(2^10 where a function is called once for each). All of them together, about 150, fail falsely once in 10⁴: the limit of
each is 5.4 standard errors. With probability 99 % one sees a mean that is off by 0.09 standard deviations (0.25 where
R = 2^10), or a variance off by 13 % (35 %) where the kurtosis is 3.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import cloudpickle
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import gumbel_softmax

from estbench import catalogue
from estbench.adapters import FORMS, adapt, replay
from estbench.adapters.adapted import Adapted, class_of
from estbench.adapters.calls import Calls
from estbench.distributions import Bernoulli
from estbench.draws import Draw
from estbench.errors import UsageError
from estbench.estimate import estimates
from estbench.estimators.base import Estimator
from estbench.exact import exact
from estbench.isolation import UserCodeError
from estbench.objectives.sine import Sine
from estbench.problem import Problem
from estbench.streams import Streams
from tests.adapters import functions as fs
from tests.adapters.sampling import sampled
from tests.problems import make
from tests.sizes import thinned

LIMIT = 5.4
BITS = make(Sine(), torch.tensor([0.4, -1.3, 0.8], dtype=torch.float64))
CLASSES = make(Sine(), torch.tensor([[0.3, -0.9, 0.5], [-0.2, 0.7, 0.1]], dtype=torch.float64))


def adapted(target: Any, **options: Any) -> Adapted:
    """An adapted function."""
    made = adapt(target, **options)
    assert isinstance(made, Adapted)
    return made


@cache
def known(target: Any) -> Adapted:
    """The same, made once: what is found out about it takes a while."""
    return adapted(target)


def apart(theirs: Tensor, problem: Problem, ours: Estimator, N: int) -> float:
    """The largest distance of means and variances from the exact moments of ours, in standard errors."""
    moments = exact(problem, ours, N)
    return apart_from(theirs, torch.from_numpy(moments.mean), torch.from_numpy(moments.variance))


def apart_from(theirs: Tensor, mean: Tensor, variance: Tensor) -> float:
    """The same of a mean and variances [P]."""
    R = len(theirs)
    se = (variance / R).sqrt()
    squares = (theirs - mean) ** 2
    of_variance = (squares.mean(0) - variance).abs() / (squares.std(0) / R**0.5)
    return float(torch.cat(((theirs.mean(0) - mean).abs() / se, of_variance)).max())


SAME: dict[str, tuple[Any, str, Problem, int, int]] = {
    "autograd.Function": (fs.StraightThrough, "ste", BITS, 2, 2**13),
    "z + p - p.detach()": (fs.straight_through, "ste", BITS, 3, 2**13),
    "module in float32": (fs.Layer(), "ste", BITS, 1, 2**13),
    "one vector": (fs.one_at_a_time, "ste", BITS, 1, 2**10),
    "surrogate": (fs.score_function, "reinforce", BITS, 2, 2**13),
    "surrogate in loops": (fs.score_function_in_double_loop, "reinforce", BITS, 1, 2**10),
    "surrogate of classes": (fs.classes_score_function, "reinforce", CLASSES, 2, 2**13),
    "gradient": (fs.leave_one_out, "rloo", BITS, 3, 2**13),
    "gradient of a leaf": (fs.with_autograd, "reinforce", BITS, 2, 2**10),
    "numpy": (fs.in_numpy, "rloo", BITS, 3, 2**10),
    "torch.Generator": (fs.with_generator, "reinforce", BITS, 2, 2**10),
    "numpy.random.Generator": (fs.with_rng, "reinforce", BITS, 2, 2**10),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SAME)
def test_a_function_measures_as_the_estimator_that_it_is(name: str) -> None:
    """Means and variances are the exact ones of the catalogue's estimator; gradients half too large are told apart."""
    target, ours, problem, N, R = SAME[name]
    estimator = adapted(target)
    theirs = sampled(estimator, problem, N, R)
    same = catalogue.estimator_class(ours)()
    assert apart(theirs, problem, same, N) < LIMIT
    assert apart(1.5 * theirs, problem, same, N) > LIMIT


@pytest.mark.slow
@pytest.mark.parametrize("tau", [0.5, 1.0])
def test_gumbel_softmax_of_torch(tau: float) -> None:
    """torch's hard Gumbel-Softmax is `gumbel_st`, whose moments for one variable are integrals."""
    one = make(Sine(), torch.tensor([[0.3, -0.9, 0.5]], dtype=torch.float64))
    estimator = adapted(partial(gumbel_softmax, hard=True), temperature=tau)
    ours = catalogue.build(catalogue.estimator_class("gumbel_st"), {"temperature": tau})
    assert apart(sampled(estimator, one, 1), one, ours, 1) < LIMIT


def test_reinmax() -> None:
    """The published package, whose temperature has no default, is `reinmax`; the first that it returns is z."""
    package = pytest.importorskip("reinmax")
    with pytest.raises(UsageError, match=r"temperature"):
        adapt(package.reinmax)
    estimator = adapted(package.reinmax, temperature=1.0)
    assert estimator.facts.distributions == {"categorical"}
    ours = catalogue.build(catalogue.estimator_class("reinmax"), {})
    assert apart(sampled(estimator, CLASSES, 2), CLASSES, ours, 2) < LIMIT


ADVANTAGES = [
    fs.rloo_advantages, fs.rloo_of_batch, fs.numpy_advantages, fs.outcome_advantages
]  # fmt: skip


@pytest.mark.parametrize("problem", [BITS, CLASSES])
@pytest.mark.parametrize("target", thinned(4, ADVANTAGES))
def test_advantages_have_exact_moments(target: Any, problem: Problem) -> None:
    """Leave-one-out advantages in four signatures have the exact moments of `rloo`, by multisets."""
    estimator = known(target)
    assert estimator.facts.exact == "z"
    assert estimator.facts.symmetric
    for N in (2, 4) if problem is BITS else (2,):
        theirs, ours = exact(problem, estimator, N), exact(problem, catalogue.estimator_class("rloo")(), N)
        assert theirs.mean == pytest.approx(ours.mean, rel=1e-10, abs=1e-14)
        assert theirs.variance == pytest.approx(ours.variance, rel=1e-10, abs=1e-14)


def test_a_baseline_that_sees_its_own_sample_is_shrunk() -> None:
    """Rewards less the mean of all have the exact mean (1 − 1/N) g."""
    for N in (2, 3, 5):
        g = BITS.exact_gradient
        assert g is not None
        assert exact(BITS, known(fs.self_inclusive), N).mean == pytest.approx((1 - 1 / N) * g.numpy(), rel=1e-10)


def test_normalised_advantages_by_enumeration() -> None:
    """The exact mean of group-normalised advantages is the sum over all tuples, written out."""
    estimator, N = known(fs.grpo), 3
    z = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 3)
    p = BITS.distribution.logits.sigmoid()
    P, fz, score = torch.where(z == 1, p, 1 - p).prod(-1), BITS.oracle.f(z), z - p
    expected = torch.zeros(3, dtype=torch.float64)
    for i in range(8):
        for j in range(8):
            for k in range(8):
                rows = [i, j, k]
                A = fs.grpo(fz[rows], 3)
                expected += P[rows].prod() * (A[:, None] * score[rows]).mean(0)
    assert exact(BITS, estimator, N).mean == pytest.approx(expected.numpy(), rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("target", thinned(2, [fs.previous_reward, fs.first_of_the_best, fs.mirrored_of_even]))
def test_the_order_of_the_rewards(target: Any) -> None:
    """Whether the order matters is found out, among equal rewards too; exact moments then are of all tuples."""
    estimator = known(target)
    assert not estimator.facts.symmetric
    assert estimator.facts.exact == "z"
    theirs = sampled(estimator, BITS, 3)
    assert apart(theirs, BITS, estimator, 3) < LIMIT


def test_advantages_that_are_equal_but_for_rounding_are_no_direction() -> None:
    """Where all rewards are equal the estimate is 0, for normalised advantages too."""
    constant = make(Sine(frequency=0.0, phase=0.77), BITS.distribution.logits)
    for target in (fs.rloo_advantages, fs.self_inclusive, fs.grpo):
        assert torch.equal(sampled(known(target), constant, 3, 64), torch.zeros(64, 3, dtype=torch.float64))


def test_random_advantages_have_no_exact_moments() -> None:
    """A function of rewards that makes random numbers is sampled."""
    assert known(fs.noisy_advantages).facts.exact == "none"
    assert known(fs.noisy_advantages).facts.min_samples == 2


def a_random_half(rewards: Tensor) -> Tensor:
    """The baseline is the mean of a random half: of one reward, and of none, there is none."""
    return rewards - rewards[torch.randperm(len(rewards))[: len(rewards) // 2]].sum() / max(len(rewards) // 2, 1)


def noisy_at_seven(rewards: Tensor) -> Tensor:
    """Random at one N alone."""
    return rewards + (torch.randn(()) if len(rewards) == 7 else 0.0)


def noisy_now_and_then(rewards: Tensor) -> Tensor:
    """One call of thirty is another one."""
    return rewards + (1.0 if np.random.rand() < 1 / 30 else 0.0)


def ties_at_random(rewards: Tensor) -> Tensor:
    """Ranks; equal rewards have them in random order."""
    ranks: Tensor = (rewards + 1e-9 * torch.rand(len(rewards))).argsort().argsort()
    found: Tensor = ranks.double()
    return found


@pytest.mark.parametrize("target", [a_random_half, noisy_at_seven, noisy_now_and_then, ties_at_random])
def test_advantages_that_are_random_at_times(target: Any) -> None:
    """Random numbers at some N, for some rewards, or in few calls are random numbers."""
    assert adapted(target, form="advantages").facts.exact == "none"


def test_random_numbers_at_an_n_that_was_not_tried() -> None:
    """A function found to make none fails where it does, and has no exact moments there."""

    def late(rewards: Tensor) -> Tensor:
        return rewards + (torch.randn(()) if len(rewards) == 64 else 0.0)

    estimator = adapted(late, form="advantages")
    assert estimator.facts.exact == "z"
    with pytest.raises(UserCodeError, match="makes random numbers at N = 64"):
        sampled(estimator, BITS, 64, 8)


def test_numbers_that_no_seed_reaches() -> None:
    """A function of rewards that gives other values for the same seed is refused."""

    def unseeded(rewards: Tensor) -> Tensor:
        return rewards + (np.random.default_rng().normal() if len(rewards) > 3 else 0.0)

    with pytest.raises(UsageError, match="makes random numbers that no seed reaches"):
        adapted(unseeded, form="advantages")


LIMITS: list[tuple[Callable[[int], bool], tuple[int, int]]] = [
    (lambda N: N % 2 == 0, (2, 2)),
    (lambda N: N % 6 == 0, (6, 6)),
    (lambda N: N % 2 == 0 or N % 3 == 0, (2, 2)),
    (lambda N: N % 5 == 0, (5, 5)),
    (lambda N: N >= 3, (3, 1)),
    (lambda N: N >= 4 and N % 2 == 0, (4, 2)),
    (lambda N: N >= 9, (9, 1)),
    (lambda N: N == 4, (4, 1)),
]


@pytest.mark.parametrize(("takes", "limits"), thinned(3, LIMITS))
def test_numbers_of_samples_that_a_function_takes(takes: Callable[[int], bool], limits: tuple[int, int]) -> None:
    """The smallest N and what N is a multiple of, of advantages and of gradients."""

    def advantages(rewards: Tensor) -> Tensor:
        if not takes(len(rewards)):
            raise ValueError("no such N")
        return rewards - rewards.mean()

    def gradient(logits: Tensor, f: Any, samples: int) -> Tensor:
        return logits * advantages(f(logits.expand(samples, -1))).sum()

    for target, form in ((advantages, "advantages"), (gradient, "gradient")):
        facts = adapted(target, form=form, distribution="bernoulli").facts
        assert (facts.min_samples, facts.multiple) == limits


def test_numbers_of_samples_of_two_distributions() -> None:
    """A function that takes even N of one distribution and multiples of 3 of the other takes multiples of 6 of both."""

    def mine(logits: Tensor, f: Any, samples: int) -> Tensor:
        if samples % (2 if logits.ndim == 1 else 3):
            raise ValueError("no such N")
        p = logits.sigmoid() if logits.ndim == 1 else logits.softmax(-1)
        z = (
            torch.bernoulli(p.expand(samples, *p.shape))
            if logits.ndim == 1
            else torch.eye(4)[torch.multinomial(p, samples, replacement=True).T].double()
        )
        found: Tensor = (f(z).view(-1, *[1] * logits.ndim) * (z - p)).mean(0)
        return found

    facts = adapted(mine, form="gradient").facts
    assert facts.distributions == {"bernoulli", "categorical"}
    assert (facts.min_samples, facts.multiple, facts.f) == (6, 6, 1)


ALL = [
    fs.StraightThrough, fs.straight_through, fs.one_at_a_time, fs.score_function, fs.leave_one_out, fs.in_numpy,
    fs.with_generator, fs.with_rng, fs.noisy_advantages, fs.score_function_in_double_loop,
]  # fmt: skip


@pytest.mark.parametrize("target", thinned(2, ALL))
def test_the_seed_of_the_draw_is_the_seed(target: Any) -> None:
    """Equal draws give equal bytes, alone or with other N, in any state of the generators; other seeds differ."""
    estimator = known(target)
    first = sampled(estimator, BITS, 4, 16)
    torch.rand(5), np.random.rand(5), random.seed(5)
    assert torch.equal(first, sampled(estimator, BITS, 4, 16))
    both = estimates(estimator, Draw(BITS, 16, 4, streams=Streams(0, "adapters", range(1))), [2, 4])
    assert torch.equal(first, both[1])
    assert not torch.equal(first, sampled(estimator, BITS, 4, 16, seed=1))


@pytest.mark.parametrize("target", thinned(3, ALL))
def test_global_generators_are_as_before(target: Any) -> None:
    """Neither making nor asking an adapted function moves torch's, numpy's or Python's generator."""

    def states() -> list[Any]:
        _, keys, *rest = np.random.get_state()
        return [torch.get_rng_state().tolist(), np.asarray(keys).tolist(), rest, random.getstate()]

    before = states()
    sampled(adapted(target), BITS, 2, 4)
    assert states() == before


WAYS = {
    fs.StraightThrough: "batch",
    fs.straight_through: "batch",
    fs.score_function: "batch",
    fs.leave_one_out: "vmap",
    fs.one_at_a_time: "vmap",
    fs.score_function_in_double_loop: "loop",
    fs.in_numpy: "loop",
}


@pytest.mark.parametrize("target", WAYS)
def test_one_call_for_many_where_it_is_the_same(target: Any) -> None:
    """The way in which a function is called for many estimates, found out by replaying single calls."""
    e = adapted(target)
    way = Calls(e.function, e.found.form, e.found.array, BITS, e.facts.min_samples).way()
    assert way == WAYS[target]
    assert sum("call" in note for note in e.facts.notes) == 1


def mixes_rows(logits: Tensor) -> Tensor:
    """A sampler whose backward looks at all logits that it is given: right for one estimate, wrong for a batch."""
    p = logits.sigmoid()
    z = torch.bernoulli(p.detach())
    return z + (p - p.detach()) * (1 + logits.mean().detach())


def one_noise_for_all(logits: Tensor) -> Tensor:
    """A sampler with one uniform for all variables: a batch would share it."""
    p = logits.sigmoid()
    z = (torch.rand(1, dtype=p.dtype) < p).to(p)
    return z + p - p.detach()


def in_both_directions(logits: Tensor) -> Tensor:
    """A sampler that adds the logits in reverse, for an even number of them: a batch of an odd number is as it is."""
    p = logits.sigmoid()
    z = torch.bernoulli(p.detach())
    return z + p - p.detach() if len(logits) % 2 else z + p.flip(0) - p.flip(0).detach()


def mean_of_batch(logits: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
    """A loss that is a mean: of a batch it is one number, smaller by the size of the batch."""
    p = logits.sigmoid()
    z = torch.bernoulli(p.detach())
    return (f(z).detach() * (z * p.log() + (1 - z) * (1 - p).log()).sum(-1)).mean()


@pytest.mark.slow
@pytest.mark.parametrize("target", [mixes_rows, one_noise_for_all, in_both_directions, mean_of_batch])
def test_a_batch_that_is_something_else_is_not_used(target: Any) -> None:
    """A function that treats a batch as one thing is called in another way, and gives what single calls give."""
    e = adapted(target)
    calls = Calls(e.function, e.found.form, e.found.array, BITS, 1)
    assert calls.way() != "batch"
    many = calls.gradients(BITS.distribution.logits.expand(500, 3), 1)
    alone = torch.stack([calls.gradients(BITS.distribution.logits.unsqueeze(0), n)[0] for n in range(500)])
    se = ((many.var(0) + alone.var(0)) / 500).sqrt()
    assert bool(((many.mean(0) - alone.mean(0)).abs() < LIMIT * se).all())
    lengths = [((x - x.mean(0)) ** 2).sum(-1) for x in (many, alone)]
    se_of_variance = sum(x.var() / 500 for x in lengths) ** 0.5
    assert abs(lengths[0].mean() - lengths[1].mean()) < LIMIT * se_of_variance


@pytest.mark.parametrize("mode", [replay._Recording, replay._Replay])
def test_the_compiler_of_torch_is_not_imported(mode: Any) -> None:
    """How a function can be called is found out without torch's guard against its compiler, which imports that."""
    assert not hasattr(mode.__torch_dispatch__, "__wrapped__")


COSTS: list[tuple[Any, int, tuple[int, int]]] = [
    (fs.StraightThrough, 3, (0, 3)),
    (fs.score_function, 3, (3, 0)),
    (fs.leave_one_out, 4, (4, 0)),
    (fs.in_numpy, 4, (4, 0)),
    (fs.rloo_advantages, 4, (4, 0)),
]


@pytest.mark.parametrize(("target", "N", "cost"), COSTS)
def test_costs_are_counted(target: Any, N: int, cost: tuple[int, int]) -> None:
    """f and ∇f are counted whoever asks for them, for one estimate and for many."""
    for R in (1, 8):
        problem = make(Sine(), BITS.distribution.logits)
        sampled(known(target), problem, N, R)
        assert (problem.evaluations.f, problem.evaluations.df) == (R * cost[0], R * cost[1])
    facts = known(target).facts
    assert (facts.f, facts.df) == (cost[0] // N, cost[1] // N)


def pathwise(logits: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
    """f of a relaxed sample, differentiated."""
    u = torch.rand_like(logits)
    return f(torch.sigmoid(logits + u.log() - (-u).log1p()))


def test_the_backward_of_f_is_counted() -> None:
    """A loss that differentiates through f evaluates f and ∇f once each."""
    for R in (1, 8):
        problem = make(Sine(), BITS.distribution.logits)
        sampled(adapted(pathwise), problem, 2, R)
        assert (problem.evaluations.f, problem.evaluations.df) == (2 * R, 2 * R)


def in_one_vmap(logits: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
    """f of three relaxed samples, each by itself, in one `torch.vmap`."""
    u = torch.rand(3, *logits.shape, dtype=logits.dtype)
    return torch.vmap(f)(torch.sigmoid(logits + u.log() - (-u).log1p())).mean()


def by_func_grad(logits: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
    """∇f at three samples by `torch.func.grad`, times dp/dφ."""
    p = logits.sigmoid()
    z = torch.bernoulli(p.expand(3, -1))
    g: Tensor = torch.vmap(torch.func.grad(f))(z)
    return (g * p * (1 - p)).mean(0)


@pytest.mark.parametrize(("target", "form"), [(in_one_vmap, "loss"), (by_func_grad, "gradient")])
def test_functions_may_transform_f(target: Any, form: Any) -> None:
    """`torch.vmap` and `torch.func.grad` of f work, and each row is counted, for one estimate and for many."""
    estimator = adapted(target, form=form, distribution="bernoulli")
    assert (estimator.facts.f, estimator.facts.df) == (3, 3)
    assert "torch.vmap" in estimator.facts.notes[1]
    for R in (1, 8):
        problem = make(Sine(), BITS.distribution.logits)
        sampled(estimator, problem, 2, R)
        assert (problem.evaluations.f, problem.evaluations.df) == (6 * R, 6 * R)
        assert sampled(estimator, problem, 2, R).abs().min() > 0


def less_f_of_zeros(logits: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
    """The score function with f at zeros as the baseline, which is the same for all estimates."""
    z = torch.bernoulli(logits.detach().sigmoid())
    return (f(z) - f(torch.zeros(3))) * (z * logits - torch.nn.functional.softplus(logits)).sum(-1)


def less_f_of_zeros_in_all(logits: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
    """The same in a form that no batch has."""
    return less_f_of_zeros(logits.reshape(3), f)


@pytest.mark.parametrize(("target", "way"), [(less_f_of_zeros, "an axis"), (less_f_of_zeros_in_all, "torch.vmap")])
def test_what_estimates_share_is_counted_for_each(target: Any, way: str) -> None:
    """f of a constant costs as much in one call for many estimates as in calls one by one."""
    estimator = adapted(target, form="loss", distribution="bernoulli")
    assert way in estimator.facts.notes[1]
    for R in (1, 8):
        problem = make(Sine(), BITS.distribution.logits)
        sampled(estimator, problem, 2, R)
        assert (problem.evaluations.f, problem.evaluations.df) == (4 * R, 0)


def test_an_error_of_ours_is_not_told_as_one_of_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """What estbench itself raises while a function is tried goes on as it is, as any bug."""

    def broken(calls: Calls) -> None:
        del calls
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr(Calls, "found_way", broken)
    with pytest.raises(ZeroDivisionError, match="of ours"):
        adapt(pathwise_again)


def pathwise_again(logits: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
    """Another one, of which it is not known how it is called."""
    return pathwise(logits, f)


def test_an_option_may_have_its_own_name() -> None:
    """What a function calls tau may be given as tau, and as temperature."""
    one, two = (adapted(gumbel_softmax, hard=True, **{name: 0.7}) for name in ("tau", "temperature"))
    assert one == two
    assert one.temperature == 0.7  # type: ignore[attr-defined] # an option of the function


def test_samples_of_one_call() -> None:
    """`samples` says how many one call uses; an estimate of N samples is the mean of N/samples calls."""
    four = adapted(fs.leave_one_out, samples=4)
    assert (four.facts.min_samples, four.facts.multiple) == (4, 4)
    rloo = exact(BITS, catalogue.estimator_class("rloo")(), 4)
    mean, variance = torch.from_numpy(rloo.mean), torch.from_numpy(rloo.variance)
    assert apart_from(sampled(four, BITS, 8), mean, variance / 2) < LIMIT
    assert known(fs.leave_one_out).facts.multiple == 1


@pytest.mark.parametrize("target", [fs.in_pairs, fs.pairs_of_antithetic])
def test_functions_of_pairs_take_even_numbers(target: Any) -> None:
    """A function that raises at an odd number of samples is offered even ones alone."""
    estimator = adapted(target)
    assert (estimator.facts.min_samples, estimator.facts.multiple) == (2, 2)
    assert sampled(estimator, BITS, 6, 8).shape == (8, 3)


def test_a_function_of_one_length_alone() -> None:
    """A function that takes four rewards and no other number is adapted."""
    four = adapted(lambda rewards: rewards - torch.tensor([0.1, 0.2, 0.3, 0.4]), form="advantages")
    assert four.facts.min_samples == 4
    assert not four.facts.symmetric


def test_the_docstring_of_a_base_class_is_not_that_of_a_function() -> None:
    """A function without a docstring is described as one, not by the manual of torch."""

    class Bare(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, logits: Tensor) -> Tensor:  # noqa: ARG004
            return torch.bernoulli(logits.sigmoid())

    assert str(class_of(Bare).__doc__).startswith("The function test_the_docstring")
    assert str(class_of(fs.StraightThrough).__doc__).startswith("z ~ Bernoulli")


def test_what_a_function_serves_is_found_out() -> None:
    """The distributions are those whose samples it makes; one that is given is believed."""
    assert adapted(fs.StraightThrough).facts.distributions == {"bernoulli"}
    assert adapted(partial(gumbel_softmax, hard=True)).facts.distributions == {"categorical"}
    assert adapted(fs.classes_score_function).facts.distributions == {"categorical"}
    assert adapted(fs.rloo_advantages).facts.distributions == {"bernoulli", "categorical"}
    probit = adapted(fs.straight_through, distribution="bernoulli[link=probit]")
    assert probit.facts.links == {"probit"}


def test_each_replicate_may_have_logits_of_its_own() -> None:
    """With a batch of logits each estimate is called with those of its replicate."""
    logits = torch.tensor([[9.0, -9.0, 9.0], [-9.0, 9.0, -9.0]], dtype=torch.float64)
    problem = Problem(Bernoulli(logits), Sine())
    for target in (fs.straight_through, fs.score_function_in_double_loop):
        streams = Streams(0, "batch", range(1))
        found = estimates(adapted(target), Draw(problem, 2, 3, streams=streams), [3])
        assert found.shape == (1, 2, 3)


def spoils(rewards: Tensor) -> Tensor:
    """Advantages that are computed in place."""
    return rewards.sub_(rewards.mean())


def test_writes_in_place_reach_nobody() -> None:
    """A function that writes into what it is given writes into a copy."""
    draw = Draw(BITS, 8, 3, streams=Streams(0, "w", range(1)))
    before = draw.fz.clone()
    estimates(adapted(spoils), draw, [3])
    assert torch.equal(draw.fz, before)
    assert not list(draw.written())


def test_identity_is_the_function() -> None:
    """Estimators of one function are equal and pickle; another function of the same name is another estimator."""

    def make_one(scale: float) -> Callable[[Tensor], Tensor]:
        def mine(logits: Tensor) -> Tensor:
            p = logits.sigmoid()
            return torch.bernoulli(p.detach()) + scale * (p - p.detach())

        return mine

    one, two = make_one(1.0), make_one(2.0)
    assert adapted(one) == adapted(one)
    assert hash(adapted(one)) == hash(adapted(one))
    assert adapted(one) != adapted(two)
    assert torch.equal(2 * sampled(adapted(one), BITS, 1, 8), sampled(adapted(two), BITS, 1, 8))
    again = cloudpickle.loads(cloudpickle.dumps(adapted(fs.leave_one_out, samples=2)))
    assert again == adapted(fs.leave_one_out, samples=2)
    assert repr(again) == "tests.adapters.functions:leave_one_out[form=gradient,samples=2]"


def test_an_estimator_is_no_function() -> None:
    """What is an estimator already is given back."""
    ste = catalogue.estimator_class("ste")()
    assert adapt(ste) is ste


def no_argument() -> int:
    """It has no parameter."""
    return 0


def returns_nothing(logits: Tensor) -> None:
    """It returns nothing."""
    del logits


def without_backward(logits: Tensor) -> Tensor:
    """A sample without a graph."""
    return torch.bernoulli(logits.sigmoid().detach())


def with_needs(logits: Tensor, f: Any, scale: float, shift: float) -> Tensor:
    """Two options without a default."""
    found: Tensor = scale * f(torch.bernoulli(logits.sigmoid()).unsqueeze(0))[0] * logits.sum() + shift
    return found


def leave_out(logits: Tensor, f: Any) -> Tensor:
    """Wants f."""
    found: Tensor = f(torch.bernoulli(logits.sigmoid()).unsqueeze(0))[0] * logits.sum()
    return found


def names_of_estimators(
    logits: Tensor, f: Any, target: float = 0.3, found: int = 1, facts: int = 2, fit: int = 3
) -> Tensor:
    """Parameters that are called as members of estimators are."""
    p = logits.sigmoid()
    z = torch.bernoulli(p.unsqueeze(0))
    estimate: Tensor = ((f(z) - target - found + facts - fit).unsqueeze(-1) * (z - p)).mean(0)
    return estimate


def of_another_shape(logits: Tensor) -> Tensor:
    """A number."""
    return logits.sum()


WRONG: Sequence[tuple[Any, dict[str, Any], str]] = [
    (no_argument, {}, "takes no argument"),
    (returns_nothing, {}, "returned a NoneType"),
    (without_backward, {}, "no gradient in the logits"),
    (of_another_shape, {}, r"like the logits, \[3\], not \[\]"),
    (fs.straight_through, {"form": "picture"}, "there are sampler, loss, gradient, advantages"),
    (fs.straight_through, {"form": "loss"}, "no parameter for f"),
    (fs.straight_through, {"distribution": "poisson"}, "give bernoulli, categorical"),
    (fs.straight_through, {"hard": True}, "has no option 'hard'; it has none"),
    (with_needs, {"scale": 2.0}, r"shift must be given, as estbench.adapt\(with_needs, shift=…\)"),
    (with_needs, {"shift": 2.0, "scal": 1.0}, "has no option 'scal'; it has scale, shift"),
    (leave_out, {"form": "sampler"}, "a sampler is a function of the logits alone, and 'f' stands for f"),
    (fs.rloo_advantages, {"samples": 4}, "advantages are of all N rewards of an estimate; leave out samples"),
    (3.5, {}, "is not a function"),
    (dict, {}, "is a class"),
]


@pytest.mark.parametrize(("target", "options", "message"), WRONG)
def test_what_cannot_be_adapted(target: Any, options: dict[str, Any], message: str) -> None:
    """What fits no form is refused with what went wrong, and what there is."""
    with pytest.raises(UsageError, match=message):
        adapt(target, **options)


def test_parameters_that_are_called_as_members_of_estimators() -> None:
    """They are no options, and keep their defaults: nothing of the estimator is overwritten."""
    made = adapted(names_of_estimators, distribution="bernoulli")
    assert made.found.form == "gradient"
    assert sampled(made, BITS, 1, 32).isfinite().all()


def test_forms_are_documented() -> None:
    """There are four forms, each with its signature."""
    assert list(FORMS) == ["sampler", "loss", "gradient", "advantages"]


@pytest.mark.parametrize("calls", [0, 4, 8, 12, 16, 20, 24])
def test_what_raises_sooner_or_later_is_said(calls: int) -> None:
    """A function that raises in the first call, or after some that worked while it was tried, is refused with that."""
    left = iter(range(calls))

    def late(logits: Tensor, f: Any, samples: int) -> Tensor:
        if next(left, None) is None:
            raise ValueError("late trouble")
        z = torch.bernoulli(torch.sigmoid(logits).expand(samples, -1))
        g: Tensor = ((z - torch.sigmoid(logits)) * f(z).unsqueeze(-1)).mean(0)
        return g

    with pytest.raises(UsageError, match=r"late: .*ValueError: late trouble"):
        adapt(late, form="gradient", distribution="bernoulli")
