"""The gradient of a step is that of the estimator; its value is the mean of f."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from estbench.distributions import Bernoulli, Independent
from estbench.draws import Draw
from estbench.errors import UsageError
from estbench.estimators.base import Estimator
from estbench.estimators.straight_through.ste import Ste
from estbench.problem import Problem
from estbench.streams import TorchStreams
from estbench.training import expectation, sample
from estbench.training.expected import Value
from tests.estimators.members import ALL, build
from tests.training.steps import (
    EXAMPLES,
    SHAPES,
    Network,
    by_the_house,
    distribution_of,
    options,
    seeded,
    some_logits,
)

CASES = [
    pytest.param(*param.values, name, id=f"{param.id}-{name}")
    for param in ALL
    for name in SHAPES
    if name in build(*param.values).facts.distributions and not build(*param.values).facts.unbatchable  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("estimator", "given", "name"), CASES)
def test_gradient_is_that_of_the_house(estimator: str, given: dict[str, Any], name: str) -> None:
    """Every estimator, every option at another value: ĝ of each example alone, times what comes from above, to 1e-12.

    The value is the mean of f at the samples, or at the estimator's own points, and parameters of f have its gradient.
    """
    one = build(estimator, given)
    N = max(3, one.facts.min_samples)
    logits = some_logits(name, one.facts.max_variables)
    network = Network(tuple(logits.shape[1:]))
    value = expectation(network, distribution_of(name, logits), estimator + options(given), N, generator=seeded())
    above = torch.tensor([0.3, -2.0, 0.0, 7.0], dtype=torch.float64)
    got, parameters = torch.autograd.grad(value @ above, [logits, network.V])
    house, draws = by_the_house(one, name, logits, network, N, z_first=not one.facts.node)
    torch.testing.assert_close(got, above.view(-1, *[1] * (got.ndim - 1)) * house, rtol=1e-12, atol=1e-12)
    points = torch.cat([draw.z for draw in draws]) if not one.facts.node else _own(one, name, logits, N)
    expected = network(points).mean(1)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0.0)
    (by_hand,) = torch.autograd.grad(expected @ above, network.V)
    torch.testing.assert_close(parameters, by_hand, rtol=1e-10, atol=1e-12)


def _own(estimator: Estimator, name: str, logits: Tensor, N: int) -> Tensor:
    """The points at which a node asks for ∇f, from an objective that writes them down."""

    class Notes:
        on: Literal["one-hot"] = "one-hot"
        distributions = frozenset(SHAPES)

        def value(self, _: Tensor) -> Tensor:
            raise AssertionError("a node asks for no f")

        def grad(self, v: Tensor) -> Tensor:
            points.append(v)
            return torch.zeros_like(v)

    points: list[Tensor] = []
    streams = TorchStreams(torch.device("cpu"), seeded())
    draw = Draw(Problem(distribution_of(name, logits.detach()), Notes()), EXAMPLES, N, streams=streams)
    estimator.rows(draw)  # type: ignore[attr-defined] # nodes have rows
    (point,) = points
    return point


ONE_SAMPLE = [param for param in CASES if build(*param.values[:2]).facts.min_samples == 1]  # type: ignore[arg-type]


@pytest.mark.parametrize(("estimator", "given", "name"), ONE_SAMPLE)
def test_f_without_an_axis_of_samples(estimator: str, given: dict[str, Any], name: str) -> None:
    """With `samples=None` every estimator calls f with one sample of each example, and gives what it gives at N = 1."""
    logits = some_logits(name, build(estimator, given).facts.max_variables)
    network, event = Network(tuple(logits.shape[1:])), logits.shape[1:]
    found = []

    def f(z: Tensor) -> Tensor:
        assert z.shape == (EXAMPLES, *event)
        return network(z.unsqueeze(1)).squeeze(1)

    for function, samples in ((network, 1), (f, None)):
        value = expectation(
            function, distribution_of(name, logits), estimator + options(given), samples, generator=seeded()
        )
        found.append((value, *torch.autograd.grad(value.sum(), [logits, network.V])))
    for of_axis, of_one in zip(*found, strict=True):
        torch.testing.assert_close(of_one, of_axis, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("value", ["own", "hard"])
@pytest.mark.parametrize("estimator", ["sum_and_sample", "gumbel", "ste", "muprop"])
@pytest.mark.parametrize("batch", [(), (2, 3)])
def test_batch_axes_without_an_axis_of_samples(batch: tuple[int, ...], estimator: str, value: Value) -> None:
    """f takes [*batch, D] and returns [*batch]; into the value one may write."""
    logits = some_logits("bernoulli", 3, 6)[: batch[0] * batch[1] if batch else 1].detach()
    logits = logits.view(*batch, 3).requires_grad_()
    network = Network((3,), batch)
    found = []
    for samples in (1, None):
        f = network if samples else lambda z: network(z.unsqueeze(-2)).squeeze(-1)
        got = expectation(f, Bernoulli(logits), estimator, samples, generator=seeded(), value=value)
        assert got.shape == batch
        got += 1.0
        found.append((got, *torch.autograd.grad(got.sum(), logits)))
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("estimator", ["disarm", "gumbel", "rloo"])
def test_batch_axes(estimator: str) -> None:
    """Logits without batch axes, and with two: shapes, and the same numbers."""
    flat = some_logits("bernoulli", None, 6)
    values: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}
    batch: tuple[int, ...]
    for batch in ((6,), (2, 3)):
        logits = flat.detach().view(*batch, 3).requires_grad_()
        network = Network((3,), batch)
        network.x = network.x.view(*batch, 1, 4)
        value = expectation(network, distribution_of("bernoulli", logits), estimator, 2, generator=seeded())
        assert value.shape == batch
        value.sum().backward()
        assert logits.grad is not None
        values[batch] = (value.flatten(), logits.grad.view(6, 3))
    torch.testing.assert_close(values[6,], values[2, 3])
    logits = torch.zeros(3, requires_grad=True)
    value = expectation(lambda z: z.sum(-1), distribution_of("bernoulli", logits), estimator, 2)
    assert value.shape == ()
    value.backward()
    assert logits.grad is not None
    assert logits.grad.shape == (3,)


@pytest.mark.parametrize("estimator", ["disarm", "gumbel", "rloo"])
def test_a_loss_may_be_transposed(estimator: str) -> None:
    """With two batch axes, `loss.t() * weights` is a sum over the same entries as `loss * weights.t()`."""
    logits, weights = some_logits("bernoulli", None, 2, 3), torch.randn(3, 2, dtype=torch.float64)
    grads = []
    for transposed in (True, False):
        value = expectation(lambda z: z.sum(-1) ** 3, Bernoulli(logits), estimator, 2, generator=seeded())
        loss = value.t() * weights if transposed else value * weights.t()
        grads.append(torch.autograd.grad(loss.sum(), logits)[0])
    assert torch.equal(*grads)


EITHER: tuple[Value, ...] = ("own", "hard")
RELAXED = ["gumbel", "hard_concrete", "igr", "bengio_sts"]


@pytest.mark.parametrize("estimator", RELAXED)
def test_value_hard(estimator: str) -> None:
    """With value="hard" f and its parameters' gradient are at z, and the gradient of the logits is the same."""
    logits, network = some_logits("bernoulli"), Network((3,))
    distribution = distribution_of("bernoulli", logits)
    own, hard = (expectation(network, distribution, estimator, 2, generator=seeded(), value=value) for value in EITHER)
    z = Draw(
        Problem(distribution_of("bernoulli", logits.detach()), network),  # type: ignore[arg-type]
        EXAMPLES,
        2,
        streams=TorchStreams(torch.device("cpu"), seeded()),
    ).z
    torch.testing.assert_close(hard, network(z).mean(1))
    assert not torch.equal(own, hard)
    (g_own,), (g_hard,) = (torch.autograd.grad(v.sum(), logits, retain_graph=True) for v in (own, hard))
    torch.testing.assert_close(g_own, g_hard, rtol=1e-12, atol=1e-14)
    (V,), (by_hand,) = (torch.autograd.grad(v.sum(), network.V) for v in (hard, network(z).mean(1)))
    torch.testing.assert_close(V, by_hand, rtol=1e-12, atol=1e-14)


def test_hard_costs_nothing_where_the_point_is_hard() -> None:
    """With value="hard" estimators whose own point is a hard sample evaluate f once, as without."""
    for estimator in ("ste", "gumbel_st", "reinmax", "ste[sample=threshold,proxy=relu]"):
        calls = []

        def f(z: Tensor) -> Tensor:
            calls.append(z)  # noqa: B023 - called here and now
            return z.sum(-1)

        distribution = distribution_of("bernoulli", some_logits("bernoulli"))
        expectation(f, distribution, estimator, value="hard").sum().backward()
        assert len(calls) == 1
        assert set(calls[0].unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize(
    ("estimator", "evaluations"),
    [
        *(("reinforce", 1), ("rloo", 1), ("ste", 1), ("gumbel", 1), ("disarm", 2), ("rebar[eta=1]", 3)),
        *(("muprop", 2), ("double_cv[a=-1]", 1), ("imle", 1), ("arms", 2), ("disarm_sb", 3), ("leg", 4)),
    ],
)
def test_evaluations(estimator: str, evaluations: int) -> None:
    """f is called no more often than a hand-written step would; ∇f comes from the same graph as the value."""
    name = "categorical" if estimator == "disarm_sb" else "bernoulli"
    network, calls = Network(SHAPES[name]), []

    def f(z: Tensor) -> Tensor:
        calls.append(z)
        return network(z)

    expectation(f, distribution_of(name, some_logits(name)), estimator, 2).sum().backward()
    assert len(calls) == evaluations


def test_random_numbers() -> None:
    """Without a generator they are torch's global ones; a given generator leaves these alone."""
    logits, network = some_logits("categorical"), Network((2, 3))
    distribution = distribution_of("categorical", logits)

    def step(**how: Any) -> Tensor:
        value = expectation(network, distribution, "rebar[eta=1]", 2, **how)
        return torch.cat((value, torch.autograd.grad(value.sum(), logits)[0].flatten()))

    torch.manual_seed(3)
    first = step()
    assert not torch.equal(first, step())
    torch.manual_seed(3)
    assert torch.equal(first, step())
    state = torch.get_rng_state()
    assert torch.equal(step(generator=seeded(4)), step(generator=seeded(4)))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(3)
    z = sample(distribution, "gumbel_rao[temperature=0.5]")
    state = torch.get_rng_state()
    z.square().sum().backward()
    assert torch.equal(torch.get_rng_state(), state), "the backward pass draws random numbers"


def test_without_gradient() -> None:
    """Under no_grad and inference_mode there is a value and no graph, and nothing but the value is computed."""
    logits, network = some_logits("bernoulli"), Network((3,))
    distribution = distribution_of("bernoulli", logits)
    for estimator in ("rebar", "gumbel", "disarm"):
        with_graph = expectation(network, distribution, estimator, 2, generator=seeded())
        for context in (torch.no_grad(), torch.inference_mode()):
            with context:
                value = expectation(network, distribution, estimator, 2, generator=seeded())
            assert not value.requires_grad
            assert torch.equal(value, with_graph)
    with torch.no_grad():
        assert not sample(distribution, "gumbel").requires_grad
    detached = expectation(network, distribution_of("bernoulli", logits.detach()), "rebar", 2)
    assert detached.requires_grad, "parameters of f still have a gradient"


def test_a_distribution_of_another_link() -> None:
    """The gradient is with respect to the logits, whatever the link."""
    logits = some_logits("bernoulli")
    z_sum = lambda z: z.sum(-1)  # noqa: E731
    hard = Bernoulli(logits * 0.3, "hard_sigmoid")
    expectation(z_sum, hard, Ste()).sum().backward()
    torch.testing.assert_close(logits.grad, torch.where((logits * 0.3).abs() < 1, 0.15, 0.0).to(logits))


def wide(distribution: Independent) -> Independent:
    """The same with eight times the variables."""
    return distribution.with_logits(distribution.logits.repeat(1, 8))


def soft(f: Network, distribution: Independent) -> Tensor:
    """A step with a value that there is not."""
    return expectation(f, distribution, "disarm", value="soft")  # type: ignore[arg-type]


@pytest.mark.parametrize("estimator", ["noise_additive", "noise_multiplicative"])
def test_noisy_units_come_in_layers(estimator: str) -> None:
    """That their own expectation is known up to a few variables only is no limit for a layer."""
    distribution = wide(distribution_of("bernoulli", some_logits("bernoulli")))
    assert expectation(Network((24,)), distribution, estimator).shape == (EXAMPLES,)
    assert sample(distribution, estimator).shape == (EXAMPLES, 24)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda d, f: expectation(f, d, "rloo"), r"rloo needs samples of at least 2, got 1"),
        (lambda d, f: expectation(f, d, "rlo", 2), r"unknown estimator 'rlo'. Did you mean 'rloo'\?"),
        (lambda d, f: expectation(f, d, "gumbel[temperature=-1]"), r"temperature: expected a number > 0"),
        (lambda d, f: expectation(f, d, "gumbel", temperature=-1), r"gumbel: temperature: expected a number > 0"),
        (lambda d, f: expectation(f, d, "reinforce", temperature=1), r"reinforce has no temperature"),
        (lambda d, f: expectation(f, d, "carms", 2), r"carms serves categorical only, and the distribution is bern"),
        (lambda d, f: expectation(f, d, "disarm", 0), r"samples must be a whole number of at least 1, got 0"),
        (lambda d, f: soft(f, d), r"value must be 'own' or 'hard', got 'soft'"),
        (lambda d, f: expectation(f, d, "reinforce[baseline=moving_average]"), r"other replicates.* running mean of f"),
        (lambda d, f: expectation(f, d.logits, "disarm"), r"expected a distribution of estbench, .* got a tensor"),
        (
            lambda d, f: expectation(lambda z: f(z).sum(), d, "disarm"),
            r"one number for each sample: \[4, 1\] .* got \[\]",
        ),
        (lambda d, _: expectation(lambda z: z.mul_(2).sum(-1), d, "disarm"), r"f writes into its samples"),
        (lambda d, _: expectation(lambda z: z.mul_(2).sum(-1), d, "muprop"), r"f writes into its samples"),
        (lambda d, _: expectation(lambda z: (z > 0).sum(-1), d, "disarm"), r"floating-point numbers, got torch.int64"),
        (lambda d, f: expectation(lambda z: f(z.detach()), d, "double_cv", 2), r"wants ∇f, and f is no differentiable"),
        (lambda d, f: expectation(f, wide(d), "enumerate"), r"all joint states: at most 65536, got 16777216"),
        (lambda d, _: sample(d, "reinforce"), r"more of f than one gradient at one point; use expectation"),
        (lambda d, _: sample(d, "imle"), r"^imle is not linear in ∇f \(its facts do not say node\); use expectation"),
    ],
)
def test_refusals(call: Any, said: str) -> None:
    """What cannot be is refused with what was given, what is allowed and what to do."""
    with pytest.raises(UsageError, match=said):
        call(distribution_of("bernoulli", some_logits("bernoulli")), Network((3,)))
