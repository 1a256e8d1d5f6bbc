"""Stochastic nodes: which estimators can be one, and what a sample's graph does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from estbench.distributions import Bernoulli
from estbench.draws import Draw
from estbench.errors import UsageError
from estbench.estimators.base import RowEstimator, Vjp
from estbench.estimators.shared.proxies import FIXED, SCALED
from estbench.estimators.straight_through.ste import Ste
from estbench.problem import Problem
from estbench.streams import TorchStreams
from estbench.training import expectation, sample, straight_through
from tests.estimators.members import ALL, build
from tests.preflight.impure import RowsAlone
from tests.training.steps import EXAMPLES, SHAPES, Network, distribution_of, options, seeded, some_logits

CASES = [
    pytest.param(*param.values, name, id=f"{param.id}-{name}")
    for param in ALL
    for name in SHAPES
    if name in build(*param.values).facts.distributions and not build(*param.values).facts.unbatchable  # type: ignore[arg-type]
]

NODES = [case for case in CASES if build(*case.values[:2]).facts.node]  # type: ignore[arg-type]


class Answers:
    """An objective with a ∇f of one's choice, which counts."""

    on: Literal["one-hot"] = "one-hot"
    distributions = frozenset(SHAPES)

    def __init__(self, answer: Tensor) -> None:
        self.answer, self.f, self.df = answer, 0, 0

    def value(self, v: Tensor) -> Tensor:
        """0, if anyone asks."""
        self.f += 1
        return v.flatten(2).sum(-1) * 0.0

    def grad(self, v: Tensor) -> Tensor:
        """The answer."""
        assert v.shape == self.answer.shape
        self.df += 1
        return self.answer


@pytest.mark.parametrize(("estimator", "given", "name"), CASES)
def test_fact_node(estimator: str, given: dict[str, Any], name: str) -> None:
    """It is declared of those that ask for one ∇f, for no f, and are linear in it, and of no others."""
    one, logits = build(estimator, given), some_logits(name)
    facts = one.facts
    if not isinstance(one, RowEstimator) or facts.f != 0 or facts.df != 1:
        assert not facts.node
        return
    a, b = torch.randn(2, EXAMPLES, 2, *SHAPES[name], generator=seeded(3), dtype=torch.float64)

    def rows(g: Tensor) -> Tensor:
        objective = Answers(g)
        problem = Problem(distribution_of(name, logits.detach()), objective)
        found = one.rows(Draw(problem, EXAMPLES, 2, streams=TorchStreams(torch.device("cpu"), seeded())))
        assert (objective.f, objective.df) == (0, 1)
        return found

    together, apart = rows(3 * a - b), 3 * rows(a) - rows(b)
    assert torch.allclose(together, apart, rtol=1e-12, atol=1e-12) == facts.node


@pytest.mark.parametrize(("estimator", "given", "name"), NODES)
def test_sample_is_expectation(estimator: str, given: dict[str, Any], name: str) -> None:
    """f at a `sample` has the value and the gradients of `expectation`, with the same random numbers."""
    one = build(estimator, given)
    logits, network = some_logits(name), Network(SHAPES[name])
    distribution, text = distribution_of(name, logits), estimator + options(given)
    z = sample(distribution, text, samples=2, generator=seeded())
    assert z.shape == (EXAMPLES, 2, *SHAPES[name])
    value = network(z).mean(1)
    expected = expectation(network, distribution, text, 2, generator=seeded())
    torch.testing.assert_close(value, expected)
    for of in (logits, network.V):
        (found,), (wanted,) = (torch.autograd.grad(v.sum(), of, retain_graph=True) for v in (value, expected))
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-14)
    assert sample(distribution, one).shape == logits.shape


@pytest.mark.parametrize("proxy", [*FIXED, *SCALED])
def test_every_proxy_is_a_layer(proxy: str) -> None:
    """`ste[sample=threshold, proxy=…]`: 1[a > 0] forward, ψ(a) times what comes from above backward."""
    a = torch.linspace(-2, 2, 9, dtype=torch.float64).unsqueeze(0).requires_grad_()
    z = sample(distribution_of("bernoulli", a), f"ste[sample=threshold,proxy={proxy}]")
    assert torch.equal(z, (a > 0).double())
    above = torch.arange(9.0, dtype=torch.float64)
    (z @ above).sum().backward()
    psi: Callable[[Tensor], Tensor] = {**FIXED, **SCALED}[proxy]
    torch.testing.assert_close(a.grad, psi(a.detach()) * above)


def test_against_gumbel_softmax() -> None:
    """The law of `sample(…, "gumbel")` and its derivative at a sample are those of `F.gumbel_softmax`.

    The derivative is exact. Means and second moments of 40 000 samples agree within 5.5 standard errors: 6 comparisons,
    less than one false alarm in 10^6; a shift of 4 % of a standard deviation would be seen.
    """
    logits = torch.tensor([[0.3, -0.9, 0.5]], dtype=torch.float64).expand(40000, 1, 3).requires_grad_()
    ours = sample(distribution_of("categorical", logits), "gumbel[temperature=0.5]", generator=seeded())
    torch.manual_seed(0)
    theirs = F.gumbel_softmax(logits, tau=0.5)
    for power in (1, 2):
        a, b = ours.detach()[:, 0] ** power, theirs.detach()[:, 0] ** power
        error = ((a.var(0) + b.var(0)) / len(a)).sqrt()
        assert bool(((a.mean(0) - b.mean(0)).abs() < 5.5 * error).all())
    above = torch.randn(ours.shape, generator=seeded(2), dtype=torch.float64)
    y = ours.detach()
    (g,) = torch.autograd.grad((ours * above).sum(), logits)
    torch.testing.assert_close(g, y * (above - (y * above).sum(-1, keepdim=True)) / 0.5, rtol=1e-9, atol=1e-12)


def test_the_sample_is_the_users_own() -> None:
    """Writing into a sample does not change its gradient, and a second backward pass adds the same once more."""
    logits = some_logits("bernoulli")
    for estimator in ("gumbel", "ste", "gumbel_rao", "zgr"):
        grads = []
        for write in (False, True):
            z = sample(distribution_of("bernoulli", logits), estimator, generator=seeded())
            loss = ((z.mul_(2) if write else z * 2) ** 2).sum()
            (first,) = torch.autograd.grad(loss, logits, retain_graph=True)
            (second,) = torch.autograd.grad(3 * loss, logits)
            torch.testing.assert_close(second, 3 * first, rtol=1e-12, atol=1e-14)
            grads.append(first)
        assert torch.equal(*grads)


@pytest.mark.parametrize(("estimator", "given", "name"), NODES)
@pytest.mark.parametrize("leaf", [True, False], ids=["leaf", "computed"])
def test_logits_may_be_written_into(estimator: str, given: dict[str, Any], name: str, leaf: bool) -> None:
    """After the call, as by an optimiser or an in-place activation: the gradient is that of the call."""
    grads = []
    for write in (False, True):
        parameters = some_logits(name)
        logits = parameters if leaf else parameters * 1
        z = sample(distribution_of(name, logits), build(estimator, given), samples=2, generator=seeded())
        if write:
            with torch.no_grad():
                logits.mul_(-2).add_(0.3)
        grads.append(torch.autograd.grad((z**3).sum(), parameters)[0])
    assert torch.equal(*grads)


@pytest.mark.parametrize("estimator", ["ste", "disarm", "rebar[eta=1]"])
def test_no_second_derivative(estimator: str) -> None:
    """It is refused; a graph of other gradients may be built, and a network of detached ones has none."""
    logits, network = some_logits("bernoulli"), Network((3,))
    value = expectation(network, distribution_of("bernoulli", logits), estimator).sum()
    g, V = torch.autograd.grad(value, [logits, network.V], create_graph=True)
    with pytest.raises(UsageError, match="cannot be differentiated again"):
        g.square().sum().backward(retain_graph=True)
    V.square().sum().backward()  # of a network at fixed samples: it has one
    assert network.V.grad is not None


@pytest.mark.parametrize("through", ["grad", "backward", "inputs"])
@pytest.mark.parametrize("made", ["expectation", "relaxed expectation", "sample"])
def test_no_second_derivative_on_any_way(through: str, made: str) -> None:
    """Nor where only the way to the logits is gone, beside another that has a derivative: it would be left out."""
    logits = torch.full((4, 3), 0.2, requires_grad=True)

    def f(z: Tensor) -> Tensor:
        return (z.sum(-1) - 0.3) ** 2

    variables = distribution_of("bernoulli", logits.exp())
    value = (
        f(sample(variables, "ste"))
        if made == "sample"
        else expectation(f, variables, "rloo" if made == "expectation" else "gumbel", 2)
    )
    (g,) = torch.autograd.grad(value.sum() + (logits**3).sum(), logits, create_graph=True)
    size = g.square().sum()
    with pytest.raises(UsageError, match="cannot be differentiated again"):
        _again(size, logits, through)


def _again(size: Tensor, logits: Tensor, through: str) -> None:
    if through == "grad":
        torch.autograd.grad(size, logits)
    size.backward(inputs=[logits] if through == "inputs" else None)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch itself
@pytest.mark.parametrize("estimator", ["ste", "rloo"])
def test_no_forward_mode(estimator: str) -> None:
    """It is refused by the logits, where it would be 0, and is right by what f alone depends on."""
    logits, one = torch.zeros(4, 3), torch.ones(())

    def value(logits: Tensor, scale: Tensor) -> Tensor:
        return expectation(lambda z: scale * (z.sum(-1) - 0.3), Bernoulli(logits), estimator, 2, generator=seeded())

    with forward_ad.dual_level():
        moving = forward_ad.make_dual(logits, logits)
        with pytest.raises(UsageError, match="no forward-mode derivative"):
            value(moving, one)
        with pytest.raises(UsageError, match="no forward-mode derivative"):
            sample(Bernoulli(moving), "ste")
        both = forward_ad.make_dual(torch.zeros(4, 3, requires_grad=True), logits)
        for of in (lambda: value(both, one), lambda: sample(Bernoulli(both), "ste")):
            with pytest.raises(UsageError, match="no forward-mode derivative"):
                of()
        tangent = forward_ad.unpack_dual(value(logits, forward_ad.make_dual(one, one))).tangent
        torch.testing.assert_close(tangent, value(logits, one))


def test_no_derivative_of_an_estimate_by_the_weights_of_f() -> None:
    """ĝ depends on the weights of f, and its graph does not: it is refused, not 0."""
    logits, w = torch.zeros(4, 3, requires_grad=True), torch.ones(3, requires_grad=True)
    value = expectation(lambda z: (z * w).sum(-1) ** 2, distribution_of("bernoulli", logits), "rloo", 2)
    (g,) = torch.autograd.grad(value.sum(), logits, create_graph=True)
    with pytest.raises(UsageError, match="cannot be differentiated again"):
        torch.autograd.grad(g.square().sum() + w.sum(), w)


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("estimator", ["reinforce", "ste", "gumbel"])
def test_a_loss_may_be_written_into(estimator: str, samples: int) -> None:
    """`loss += penalty` in place gives the gradients of `loss + penalty`, also where f needs its value backward."""
    grads = []
    for write in (True, False):
        logits, network = some_logits("bernoulli"), Network((3,))
        value = expectation(lambda z: network(z).exp(), Bernoulli(logits), estimator, samples, generator=seeded())  # noqa: B023 - called here and now
        penalty = logits.square().sum(-1) + logits.sum(-1)
        value = value.add_(penalty).mul_(2) if write else 2 * (value + penalty)
        grads.append(torch.autograd.grad(value.sum(), logits)[0])
    assert torch.equal(*grads)


def test_straight_through() -> None:
    """The value is `hard` to the last bit, the gradient is that of `soft`, and second derivatives exist."""
    soft = torch.rand(10000, generator=seeded()).mul(37).requires_grad_()
    hard = soft.detach() > 20
    h = straight_through(hard, soft)
    assert torch.equal(h, hard.float())
    (g,) = torch.autograd.grad((h**3).sum(), soft, create_graph=True)
    assert torch.equal(g, 3 * hard.float())
    (second,) = torch.autograd.grad(g.sum(), soft)
    assert torch.equal(second, 6 * hard.float())
    h.data.mul_(2)
    assert not torch.equal(h, hard.float())
    by_vmap = torch.func.vmap(torch.func.grad(lambda s: straight_through((s > 20).float(), s) ** 2))(soft.detach())
    assert torch.equal(by_vmap, 2 * hard.float())
    with pytest.raises(UsageError, match=r"one shape, got \[2\] and \[3\]"):
        straight_through(torch.zeros(2), torch.zeros(3))
    with pytest.raises(UsageError, match="floating point"):
        straight_through(torch.zeros(2), torch.zeros(2, dtype=torch.int64))


class Asks(Ste):
    """Its vjp evaluates f."""

    def vjp(self, draw: Draw) -> tuple[Tensor, Vjp]:
        """f(z) s(z) in place of what is linear in ∇f."""
        return draw.z, lambda g: draw.lift(draw.fz) * draw.score + 0 * g


def test_nodes_that_are_none_are_found() -> None:
    """A plug-in whose facts say `node` wrongly is refused."""
    logits = some_logits("bernoulli")
    with pytest.raises(UsageError, match=r"say node=True, but it has no vjp\(draw\)"):
        sample(distribution_of("bernoulli", logits), RowsAlone())
    z = sample(distribution_of("bernoulli", logits), Asks())
    with pytest.raises(UsageError, match="evaluates f or ∇f itself"):
        z.sum().backward()


@pytest.mark.parametrize(("estimator", "given", "name"), NODES)
def test_the_vjp_of_a_node(estimator: str, given: dict[str, Any], name: str) -> None:
    """Rows are what it makes of ∇f at its point, to the last bit; it is repeatable, and reads no noise."""
    one, distribution = build(estimator, given), distribution_of(name, some_logits(name).detach())
    a = torch.randn(EXAMPLES, 2, *SHAPES[name], generator=seeded(3), dtype=torch.float64)
    streams = TorchStreams(torch.device("cpu"), seeded())
    h, of = one.vjp(Draw(Problem(distribution, Answers(a)), EXAMPLES, 2, streams=streams))  # type: ignore[attr-defined] # every node has it
    reads, kept = streams.reads, a.clone()
    again = TorchStreams(torch.device("cpu"), seeded())
    rows = one.rows(Draw(Problem(distribution, Answers(a)), EXAMPLES, 2, streams=again))  # type: ignore[attr-defined] # every node has them
    assert h.shape == a.shape
    assert torch.equal(of(a), rows)
    assert torch.equal(of(a), rows)
    assert streams.reads == reads == again.reads
    assert torch.equal(a, kept)


def test_a_node_in_a_network() -> None:
    """Two nodes in a row in a module: gradients reach the first layer, as by the hand-written trick."""
    torch.manual_seed(0)
    first, second, last = nn.Linear(5, 8), nn.Linear(8, 4), nn.Linear(4, 1)
    x = torch.randn(6, 5)
    torch.manual_seed(1)
    h = sample(distribution_of("bernoulli", first(x)), "ste")
    z = sample(distribution_of("bernoulli", second(h)), "ste")
    last(z).sum().backward()
    ours = first.weight.grad
    assert ours is not None
    p = torch.sigmoid(first(x))
    q = torch.sigmoid(second(straight_through(h.detach(), p)))
    (by_hand,) = torch.autograd.grad(last(straight_through(z.detach(), q)).sum(), first.weight)
    torch.testing.assert_close(ours, by_hand)
