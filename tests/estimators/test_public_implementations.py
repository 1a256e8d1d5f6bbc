"""Estimators side by side with public implementations of them, on the same problems.

Pairs with torch run always, the others where their packages are installed. `pip install -e '.[dev]'` brings reinmax,
pyro-ppl, relaxit and snntorch; storchastic stays out, as it replaces functions of torch when it is imported:
`pip install -c constraints.txt storchastic`.

Each pair is M = 2^17 independent gradients of theirs against the exact moments of ours, mean and variance of every
coordinate, and against as many gradients of ours. Each comparison is a z-test; all of the table together fail falsely
once in 10⁶ (Bonferroni), which puts the limit of each at 6.0 standard errors. With probability 99.9 % a comparison with
the exact moments sees a mean that is off by .025 standard deviations, and a variance that is off by .025 √(κ − 1) of
itself, κ the kurtosis of the gradient: 3.6 % where κ = 3. Against M draws of ours it takes √2 times as much. That each
comparison can fail is tested along: gradients a tenth too large are refused.

Where a package computes something else, an exact test shows what.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad
from torch import Tensor
from torch import distributions as td
from torch.nn.functional import gumbel_softmax

from estbench import catalogue
from estbench.distributions import Bernoulli
from estbench.draws import Draw
from estbench.estimate import estimates
from estbench.estimators.base import Estimator
from estbench.exact import exact
from estbench.objectives.sine import Sine
from estbench.problem import Problem
from estbench.streams import Streams
from tests.problems import independent, make
from tests.sizes import thinned

M = 2**17
FALSE_FAIL = 1e-6
TAU = 0.6

Script = Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor]
"""Theirs: from the logits, once for each gradient, [M, D(, K)], and f to the gradients, of the same shape."""

ONE, COUPLED = (0.7,), (0.4, -1.3, 0.8)
CLASSES, COUPLED_CLASSES = ((0.3, -0.9, 0.5),), ((0.3, -0.9, 0.5), (-0.2, 0.7, 0.1))


def wave(v: Tensor) -> Tensor:
    """f of Bernoulli variables as one would write it: sin(2 Σ v + 0.3), coupled and not a polynomial."""
    return torch.sin(2 * v.sum(-1) + 0.3)


def class_wave(z: Tensor) -> Tensor:
    """The same f of the values k/(K − 1) of one-hot variables."""
    return wave(z @ torch.linspace(0, 1, z.shape[-1], dtype=z.dtype))


def leaf(problem: Problem, rows: int = M) -> Tensor:
    """The logits once for each gradient."""
    logits = problem.distribution.logits
    return logits.expand(rows, *logits.shape).clone().requires_grad_()


def objective(problem: Problem) -> Callable[[Tensor], Tensor]:
    """f, for theirs."""
    return wave if isinstance(problem.distribution, Bernoulli) else class_wave


def problem_of(logits: Any) -> Problem:
    """The problem, for ours."""
    return make(Sine(), torch.tensor(logits, dtype=torch.float64))


def known(true: Tensor | None) -> Tensor:
    """The exact gradient, which all problems here have."""
    assert true is not None
    return true


def gradient(surrogate: Tensor, x: Tensor) -> Tensor:
    """The gradient of each row."""
    (g,) = torch.autograd.grad(surrogate.sum(), x)
    return g


# torch


def score_function(x: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
    """f(z) log P(z), differentiated."""
    d: Any = td.Bernoulli(logits=x) if f is wave else td.OneHotCategorical(logits=x)
    z = d.sample()
    return gradient(f(z) * d.log_prob(z).sum(-1), x)


def pathwise(distribution: Callable[[Tensor], Any]) -> Script:
    """f(rsample), differentiated."""
    return lambda x, f: gradient(f(distribution(x).rsample()), x)


def functional(hard: bool) -> Script:
    """gumbel_softmax of torch.nn.functional."""
    return lambda x, f: gradient(f(gumbel_softmax(x, TAU, hard)), x)


# other packages: each is imported when its script runs


def reinmax(tau: float) -> Script:
    """Reinmax's own function."""
    return lambda x, f: gradient(f(import_module("reinmax").reinmax(x, tau)[0]), x)


def pyro(name: str) -> Script:
    """A distribution of Pyro at temperature τ."""
    return pathwise(lambda x: getattr(import_module("pyro.distributions"), name)(T, logits=x))


def elbo(kind: str, steps: int = 1, **infer: Any) -> Script:
    """The gradient of an ELBO of Pyro whose prior is the guide, so that log p + f − log q is f; the last of `steps`."""

    def script(x: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        package, loss = import_module("pyro"), getattr(import_module("pyro.infer"), kind)()
        family = package.distributions.Bernoulli if f is wave else package.distributions.OneHotCategorical

        def guide() -> None:
            with package.plate("rows", len(x)):
                package.sample("z", family(logits=package.param("logits")).to_event(1), infer=infer)

        def model() -> None:
            with package.plate("rows", len(x)):
                package.factor("f", f(package.sample("z", family(logits=x.detach()).to_event(1))))

        package.clear_param_store()
        logits = package.param("logits", x.detach())
        for _ in range(steps):
            logits.grad = None
            loss.loss_and_grads(model, guide)
        package.clear_param_store()
        g: Tensor = -logits.grad
        return g

    return script


def relaxit(name: str, arguments: Callable[[Tensor], Mapping[str, Any]], *size: int) -> Script:
    """A distribution of relaxit."""

    def script(x: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        d = getattr(import_module("relaxit.distributions"), name)(**arguments(x))
        return gradient(f(d.rsample(size)[..., : x.shape[-1]]), x)

    return script


def storch(kind: str, **options: Any) -> Script:
    """A method of Storchastic; a batch is an independent dimension of it."""

    def script(x: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        package = import_module("storch")
        method = getattr(import_module("storch.method"), kind)("z", **options)
        logits = package.denote_independent(x, 0, "rows")
        z = method(td.Bernoulli(logits=logits) if f is wave else td.OneHotCategorical(logits=logits))
        package.add_cost(f(z), "f")
        package.backward()
        assert x.grad is not None
        return x.grad * len(x)  # the cost is a mean over the rows

    return script


@dataclass(frozen=True)
class Pair:
    """Theirs, and what of ours it is; `exact`: whether exact moments of ours exist for the problem."""

    label: str
    theirs: Script
    name: str
    logits: Any
    options: dict[str, Any] = field(default_factory=dict)
    samples: int = 1
    exact: bool = True

    @property
    def id(self) -> str:
        """A test's name."""
        return f"{self.label}-{self.name}-{'x'.join(map(str, np.shape(self.logits)))}"

    @property
    def ours(self) -> Estimator:
        """The estimator."""
        return catalogue.build(catalogue.estimator_class(self.name), self.options)


T = torch.tensor(TAU, dtype=torch.float64)
AT_TAU = {"temperature": TAU}
STRETCH = (TAU**2 + TAU + 1) / (TAU + 1)
"""RebarRelaxation is not REBAR, a control variate, but the relaxation of its appendix: that of `gumbel`, at logits so
many times as large, so that P(y > ½) is not p."""

PAIRS = (
    Pair("torch Bernoulli.log_prob", score_function, "reinforce", COUPLED),
    Pair("torch OneHotCategorical.log_prob", score_function, "reinforce", COUPLED_CLASSES),
    Pair("torch OneHotCategoricalStraightThrough", pathwise(lambda x: td.OneHotCategoricalStraightThrough(logits=x)),
         "ste", COUPLED_CLASSES),
    *(Pair("torch RelaxedBernoulli", pathwise(lambda x: td.RelaxedBernoulli(T, logits=x)), "gumbel", logits, AT_TAU,
           exact=logits is ONE) for logits in (ONE, COUPLED)),
    *(Pair("torch RelaxedOneHotCategorical", pathwise(lambda x: td.RelaxedOneHotCategorical(T, logits=x)), "gumbel",
           logits, AT_TAU, exact=logits is CLASSES) for logits in (CLASSES, COUPLED_CLASSES)),
    *(Pair(f"torch gumbel_softmax hard={hard}", functional(hard), "gumbel_st" if hard else "gumbel", logits, AT_TAU,
           exact=logits is CLASSES) for hard in (False, True) for logits in (CLASSES, COUPLED_CLASSES)),
    *(Pair(f"reinmax tau={tau}", reinmax(tau), "reinmax", logits, {"temperature": tau})
      for tau in (1.0, 2.0) for logits in (CLASSES, COUPLED_CLASSES)),
    Pair("pyro Trace_ELBO", elbo("Trace_ELBO"), "reinforce", COUPLED),
    Pair("pyro TraceGraph_ELBO", elbo("TraceGraph_ELBO"), "reinforce", COUPLED_CLASSES),
    Pair("pyro TraceGraph_ELBO baseline_value",
         elbo("TraceGraph_ELBO", baseline={"baseline_value": torch.full((M,), 0.4, dtype=torch.float64)}),
         "reinforce", COUPLED, {"baseline": "constant", "value": 0.4}),
    *(Pair("pyro RelaxedBernoulliStraightThrough", pyro("RelaxedBernoulliStraightThrough"), "gumbel_st", logits, AT_TAU,
           exact=logits is ONE) for logits in (ONE, COUPLED)),
    *(Pair("pyro RelaxedOneHotCategoricalStraightThrough", pyro("RelaxedOneHotCategoricalStraightThrough"), "gumbel_st",
           logits, AT_TAU, exact=logits is CLASSES) for logits in (CLASSES, COUPLED_CLASSES)),
    Pair("relaxit StraightThroughBernoulli", relaxit("StraightThroughBernoulli", lambda x: {"logits": x}), "ste",
         COUPLED),
    *(Pair("relaxit StochasticTimesSmooth", relaxit("StochasticTimesSmooth", lambda x: {"logits": x}), "bengio_sts",
           logits, exact=logits is ONE) for logits in (ONE, COUPLED)),
    Pair("relaxit HardConcrete", relaxit("HardConcrete", lambda x: {
        "alpha": x.exp(), "beta": T, "gamma": torch.tensor(-0.1), "xi": torch.tensor(1.1)}, M),
         "hard_concrete", ONE, AT_TAU),
    Pair("relaxit InvertibleGaussian", relaxit("InvertibleGaussian", lambda x: {
        "loc": torch.special.ndtri(x.sigmoid()), "scale": torch.ones(()), "temperature": T}), "igr", ONE, AT_TAU),
    Pair("relaxit RebarRelaxation", relaxit("RebarRelaxation", lambda x: {
        "theta": (x / STRETCH).sigmoid(), "lambd": T, "validate_args": False}, M, 1), "gumbel", ONE, AT_TAU),
    *(Pair("relaxit DecoupledStraightThroughGumbelSoftmax", relaxit("DecoupledStraightThroughGumbelSoftmax", lambda x: {
        "logits": x, "temperature_forward": 0.1, "temperature_backward": TAU}), "gumbel_st",
           logits, AT_TAU, exact=logits is CLASSES) for logits in (CLASSES, COUPLED_CLASSES)),
    *(Pair("storch ScoreFunction", storch("ScoreFunction"), "reinforce", logits)
      for logits in (COUPLED, COUPLED_CLASSES)),
    *(Pair("storch ScoreFunction batch_average", storch("ScoreFunction", n_samples=3, baseline_factory="batch_average"),
           "rloo", logits, samples=3) for logits in (COUPLED, COUPLED_CLASSES)),
    *(Pair(f"storch GumbelSoftmax straight_through={st}",
           storch("GumbelSoftmax", straight_through=st, initial_temperature=TAU), "gumbel_st" if st else "gumbel",
           logits, AT_TAU, exact=len(logits) == 1) for st in (False, True) for logits in (ONE, COUPLED, CLASSES)),
    *(Pair("storch RaoBlackwellSF", storch("RaoBlackwellSF", n_samples=2), "sum_and_sample", logits, {"top": 1},
           exact=len(logits) == 1) for logits in (COUPLED, CLASSES, COUPLED_CLASSES)),
    *(Pair("storch ARM", storch("ARM"), "arm", logits, exact=logits is ONE) for logits in (ONE, COUPLED)),
)  # fmt: skip


def comparisons(pair: Pair) -> int:
    """Mean and variance of every coordinate, with M draws of ours and with the exact moments where there are any."""
    return 2 * int(np.prod(np.shape(pair.logits))) * (2 if pair.exact else 1)


MOVING = Pair("pyro TraceGraph_ELBO moving average", elbo("TraceGraph_ELBO", 25, baseline={
    "use_decaying_avg_baseline": True, "baseline_beta": 0.5}), "reinforce", COUPLED,
    {"baseline": "moving_average", "decay": 0.5, "history": 24}, exact=False)  # fmt: skip
LIMIT = float(stats.norm.isf(FALSE_FAIL / sum(map(comparisons, (*PAIRS, MOVING))) / 2))


def unlikely(theirs: Tensor, mean: Tensor, variance: Tensor, draws: Tensor | None = None) -> float:
    """The largest |z| of the means and variances of gradients [M, P] against those of ours: exact, or of `draws`."""

    def of_variance(g: Tensor) -> Tensor:
        fourth = ((g - g.mean(0)) ** 4).mean(0)
        return (fourth - g.var(0) ** 2) / len(g)

    more = torch.zeros(()) if draws is None else draws.var(0) / len(draws)
    z_mean = (theirs.mean(0) - mean) / (theirs.var(0) / len(theirs) + more).sqrt()
    noise = of_variance(theirs) + (of_variance(draws) if draws is not None else 0)
    z_variance = (theirs.var(0) - variance) / noise.sqrt()
    return float(torch.stack((z_mean, z_variance)).abs().max())


@pytest.fixture(autouse=True)
def _own_random_numbers() -> Iterator[None]:
    """A seed for what draws from torch's global generator, which is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        yield


def found(package: str) -> Any:
    """The package, or the test is skipped."""
    return pytest.importorskip(package, reason=f"{package} is not installed: see the head of this file")


@cache
def replaced_by_storch() -> dict[tuple[Any, str], Any]:
    """What Storchastic puts in the places of torch that it changes when it is imported; they are put back."""
    places: tuple[tuple[Any, str], ...] = (
        (torch, "is_tensor"), (Tensor, "to"), (Tensor, "le"), (Tensor, "gt"), (td.Distribution, "_validate_args")
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in places:
            patch.setattr(owner, name, getattr(owner, name))
        found("storch")
        return {(owner, name): getattr(owner, name) for owner, name in places}


@contextmanager
def at_hand(package: str) -> Iterator[Any]:
    """The package, or the test is skipped; torch is as Storchastic wants it only as long as it runs."""
    with pytest.MonkeyPatch.context() as patch:
        for (owner, name), value in replaced_by_storch().items() if package == "storch" else ():
            patch.setattr(owner, name, value)
        yield found(package)


def gradients(pair: Pair, problem: Problem) -> Tensor:
    """Theirs, [M, P]."""
    with at_hand(pair.label.split()[0]):
        return pair.theirs(leaf(problem), objective(problem)).detach().double().flatten(1)


@pytest.mark.parametrize("pair", thinned(2, PAIRS), ids=lambda pair: pair.id)
def test_mean_and_variance_agree(pair: Pair) -> None:
    """Their gradients have the exact mean and variance of ours, and those of M draws of ours; 1.1 times theirs not."""
    problem, N = problem_of(pair.logits), pair.samples
    theirs = gradients(pair, problem)
    draw = Draw(problem, M, N, streams=Streams(11, pair.id, range(1)))
    ours = estimates(pair.ours, draw, [N])[0]
    against: list[tuple[Tensor, Tensor, Tensor | None]] = [(ours.mean(0), ours.var(0), ours)]
    if pair.exact:
        found = exact(problem, pair.ours, N)
        against.append((torch.from_numpy(found.mean), torch.from_numpy(found.variance), None))
    for moments in against:
        assert unlikely(theirs, *moments) < LIMIT
        assert unlikely(1.1 * theirs, *moments) > LIMIT


@pytest.mark.slow
def test_moving_average_baseline_agrees() -> None:
    """Pyro's decaying average is of earlier values of f alone, as that of `moving_average` is."""
    problem, rows, apart = problem_of(MOVING.logits), M // 4, 25  # 25 replicates apart, no two of ours share a value
    with at_hand("pyro"):
        theirs = MOVING.theirs(leaf(problem, rows), wave)
    draw = Draw(problem, rows * apart, 1, streams=Streams(11, MOVING.id, range(1)))
    ours = estimates(MOVING.ours, draw, [1])[0, ::apart]
    assert unlikely(theirs, ours.mean(0), ours.var(0), ours) < LIMIT
    with_mistake = estimates(MOVING.ours, draw, [1])[0, ::apart] * 0.5  # had f(z) been averaged into its own baseline
    assert unlikely(theirs, with_mistake.mean(0), with_mistake.var(0), with_mistake) > LIMIT


def test_exact_gradient_agrees_with_enumeration_by_pyro() -> None:
    """Pyro's TraceEnum_ELBO sums all states in parallel and differentiates: the exact gradient, to rounding."""
    problem = problem_of(COUPLED)
    x = problem.distribution.logits.clone().requires_grad_()
    with at_hand("pyro") as pyro_:
        loss = import_module("pyro.infer").TraceEnum_ELBO(max_plate_nesting=0)

        def sample(logits: Tensor, **options: Any) -> list[Tensor]:
            kind = pyro_.distributions.Bernoulli
            return [pyro_.sample(f"z{d}", kind(logits=logit), **options) for d, logit in enumerate(logits)]

        def model() -> None:
            together: Any = torch.broadcast_tensors
            pyro_.factor("f", wave(torch.stack(together(*sample(x.detach())), -1)))

        (g,) = torch.autograd.grad(
            loss.differentiable_loss(model, lambda: sample(x, infer={"enumerate": "parallel"})), x
        )
    torch.testing.assert_close(-g, known(problem.exact_gradient), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("logits", [COUPLED, COUPLED_CLASSES], ids=["bernoulli", "categorical"])
def test_exact_gradient_agrees_with_enumeration_by_storchastic(logits: Any) -> None:
    """Storchastic's Expect goes through all joint states: the exact gradient, to the rounding of its probabilities."""
    problem = problem_of(logits)
    with at_hand("storch"):
        theirs = storch("Expect")(leaf(problem, 2), objective(problem)).flatten(1)
    torch.testing.assert_close(theirs, known(problem.exact_gradient).expand(theirs.shape), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("theirs", "proxy"), [
    ("fast_sigmoid", "fast_sigmoid"), ("sigmoid", "steep_sigmoid"), ("atan", "atan"),
    ("straight_through_estimator", "identity")
])  # fmt: skip
def test_surrogate_gradients_agree(theirs: str, proxy: str) -> None:
    """snnTorch's surrogate of a spike, with its default parameters, is our proxy at a threshold, draw by draw."""
    problem = problem_of((0.04, -0.3, 0.8, -0.01))
    x = leaf(problem, 1)
    with at_hand("snntorch"):
        spike = getattr(import_module("snntorch.surrogate"), theirs)()
        g = gradient(wave(spike(x)), x)
    ours = catalogue.build(catalogue.estimator_class("ste"), {"proxy": proxy, "sample": "threshold"})
    draw = Draw(problem, 1, 1, z=problem.distribution.mode.expand(1, 1, -1))
    torch.testing.assert_close(g.double(), estimates(ours, draw, [1])[0], rtol=1e-6, atol=0)  # spikes are float32


# What differs, and how


def test_storchastic_averages_f_into_its_own_baseline() -> None:
    """Its moving average takes f(z) in before it is subtracted: (f − b′) s = β (f − b) s, in mean β times the truth."""
    problem, beta, b = problem_of(COUPLED), 0.9, 0.0
    with at_hand("storch") as package:
        kind = import_module("storch.method").ScoreFunction
        method = kind("z", n_samples=1, baseline_factory="moving_average", exponential_decay=beta)
        for _ in range(5):
            x = problem.distribution.logits.clone().requires_grad_()
            z = method(td.Bernoulli(logits=x))
            package.add_cost(wave(z), "f")
            package.backward()
            z = z._tensor.squeeze(0)
            f = wave(z).item()
            ours = catalogue.build(catalogue.estimator_class("reinforce"), {"baseline": "constant", "value": b})
            expected = beta * estimates(ours, Draw(problem, 1, 1, z=z.expand(1, 1, -1)), [1])[0, 0]
            torch.testing.assert_close(x.grad, expected, rtol=1e-6, atol=1e-9)  # it keeps β in float32
            b = beta * b + (1 - beta) * f


def test_storchastic_adds_where_disarm_subtracts() -> None:
    """Its DisARM is ¼ (f(z₁) + f(z₂))(z₁ − z₂) max(p, q): in mean zero, whatever f is."""
    problem = problem_of(ONE)
    p, seen = problem.independent.mean, set()
    with at_hand("storch") as package:
        for _ in range(20):
            x = problem.distribution.logits.clone().requires_grad_()
            z = import_module("storch.method").DisARM("z")(td.Bernoulli(logits=x))
            package.add_cost(wave(z), "f")
            package.backward()
            z1, z2 = z._tensor.double()
            seen.add((z1.item(), z2.item()))
            expected = (wave(z1) + wave(z2)) / 4 * (z1 - z2) * torch.maximum(p, 1 - p)
            torch.testing.assert_close(x.grad, expected, rtol=1e-6, atol=0)  # its σ is of float32
    assert {(1.0, 0.0), (0.0, 1.0)} <= seen


def test_storchastic_redraws_binary_logits_from_another_law() -> None:
    """For REBAR it takes log p(1 + p) v(1 + v) as x̃, not logit p + logit v: the sample is not where x̃ says it is."""
    problem = problem_of(COUPLED)
    p = problem.independent.mean.expand(1000, -1)
    z = torch.bernoulli(p)
    with at_hand("storch") as package, torch.random.fork_rng(devices=[]):
        theirs = package.conditional_gumbel_rsample(z, p, bernoulli=True, temperature=TAU)
    u = torch.rand(p.shape, dtype=p.dtype)
    v = torch.where(z == 1, 1 - p + u * p, u * (1 - p))
    torch.testing.assert_close(theirs, torch.sigmoid((p * (1 + p) * v * (1 + v)).log() / TAU), rtol=1e-12, atol=0)
    right = torch.sigmoid((torch.logit(p) + torch.logit(v)) / TAU)
    ours = independent(problem).conditional(z, u)
    assert torch.equal((right > 0.5).double(), z)
    assert torch.equal(ours.hard, z)
    assert not torch.equal((theirs > 0.5).double(), z)


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True:UserWarning")
def test_storchastic_is_biased_by_that_law() -> None:
    """Its REBAR is not centred at the true gradient, where ours is."""
    problem = problem_of(ONE)
    with at_hand("storch"):
        theirs = storch("REBAR")(leaf(problem), wave)
    assert (theirs.mean() - known(problem.exact_gradient)).abs() > LIMIT * theirs.std() / math.sqrt(M)
    ours = exact(problem, catalogue.build(catalogue.estimator_class("rebar"), {"temperature": 1.0, "eta": 1.0}), 1)
    np.testing.assert_allclose(ours.mean, known(problem.exact_gradient), atol=1e-9)


def test_storchastic_leaves_out_one_state_twice() -> None:
    """The baseline of its unordered set takes R_i(i), state i out twice, for R_j(i), i and j out: it is biased."""
    problem, points = problem_of(CLASSES), 10_000
    d = independent(problem)
    P, states = d.marginals[0], torch.eye(3, dtype=torch.float64)
    f, s = class_wave(states.unsqueeze(1)), states - P
    with at_hand("storch") as package:
        x = leaf(problem, 32)
        method = import_module("storch.method").UnorderedSetEstimator("z", k=2, num_int_points=points)
        z = method(td.OneHotCategorical(logits=package.denote_independent(x, 0, "rows")))
        sets: Any = z._tensor.sum(1).squeeze(1)
        package.add_cost(class_wave(z), "f")
        package.backward()
        assert x.grad is not None
        theirs = x.grad.squeeze(1) * len(x)
    mean = torch.zeros(3, dtype=torch.float64)
    found_sets = sets.unique(dim=0)
    assert len(found_sets) == 3
    for S in found_sets:
        i, j = (int(c) for c in S.nonzero())
        rest = (1 - P[i] - P[j]).item()
        p_S = P[i] * P[j] * (1 / (1 - P[i]) + 1 / (1 - P[j]))
        right, mistaken = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
        for a, b in ((i, j), (j, i)):
            # p^∖C(S∖C) ∝ ∫ u^(1 − P(S) − 1) Π (1 − u^P_c) du, the product over the states of S that are not in C
            once, twice = (quad(partial(integrand, rest, P[a].item(), P[b].item(), times), 0, 1)[0] for times in (0, 1))
            weight = P[i] * P[j] / (1 - P[a]) / p_S
            right += weight * (1 - P[a]) * (f[a] - f[b]) * s[a]
            mistaken += weight * (f[a] - P[a] * f[a] - P[b] * twice / once * f[b]) * s[a]
        g = theirs[(sets == S).all(1)][0]
        assert (g - mistaken).norm() < 0.1 * (g - right).norm()  # what is left is their trapezoid rule
        mean += p_S * g
    true = known(problem.exact_gradient)
    assert (mean - true).norm() > 0.05 * true.norm()


def integrand(rest: float, P_a: float, P_b: float, times: int, u: float) -> float:
    """u^(rest − 1) (1 − u^P_a), over 1 − u^P_b so many times."""
    return float(u ** (rest - 1) * (1 - u**P_a) / (1 - u**P_b) ** times)


def test_torch_is_as_it_was() -> None:
    """What Storchastic replaces in torch is in place while it runs, and put back after."""
    before = (Tensor.to, Tensor.le, Tensor.gt, torch.is_tensor, td.Distribution._validate_args)
    with at_hand("storch"):
        assert Tensor.gt is not before[2]
    assert (Tensor.to, Tensor.le, Tensor.gt, torch.is_tensor, td.Distribution._validate_args) == before


def test_relaxit_draws_one_uniform_for_all_variables() -> None:
    """Variables of one HardConcrete of relaxit with equal parameters are equal in every draw, and not independent."""
    with at_hand("relaxit"):
        kind = import_module("relaxit.distributions").HardConcrete
        h = kind(torch.ones(2), *(torch.tensor(a) for a in (TAU, 1.1, -0.1))).rsample((100,))
    assert torch.equal(h[:, 0], h[:, 1])
