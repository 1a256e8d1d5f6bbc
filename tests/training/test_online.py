"""Coefficients while training: a regression over earlier steps."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from io import BytesIO
from itertools import product
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from estbench import catalogue
from estbench.draws import Draw
from estbench.errors import UsageError
from estbench.estimators.control_variate.double_cv import DoubleCv, double_cv
from estbench.estimators.control_variate.rebar import Rebar
from estbench.estimators.control_variate.relax import Relax
from estbench.problem import make
from estbench.streams import Streams
from estbench.training import Online, expectation
from estbench.training.online import WARM_UP
from tests.estimators.members import objective
from tests.training.steps import Network, distribution_of, seeded, some_logits


def gradient(estimator: Any, generator: torch.Generator, N: int = 2) -> Tensor:
    """ĝ of one step, [examples, D]."""
    logits = some_logits("bernoulli")
    value = expectation(Network((3,)), distribution_of("bernoulli", logits), estimator, N, generator=generator)
    (g,) = torch.autograd.grad(value.sum(), logits)
    found: Tensor = g
    return found


CASES = [("rebar", "eta"), ("double_cv", "a"), ("rodeo", "b"), ("rodeo[b=0.5]", "a"), ("rebar[temperature=1]", "eta")]


@pytest.mark.parametrize(("estimator", "name"), CASES)
def test_each_step_uses_the_coefficients_of_those_before(estimator: str, name: str) -> None:
    """ĝ is that of the estimator with the coefficients given that the earlier steps left, never with its own."""
    online, generator, twin = Online(estimator), seeded(), seeded()
    for step in range(8):
        before = online.coefficients
        found = gradient(online, generator)
        assert (before is None) == (step < WARM_UP)
        one: Any = gradient_of(estimator, before)
        torch.testing.assert_close(found, gradient(one, twin), rtol=1e-10, atol=1e-12)
        assert online.coefficients is None or name in online.coefficients


def gradient_of(estimator: str, coefficients: dict[str, float] | None) -> Any:
    """The estimator with these coefficients."""
    name, _, rest = estimator.partition("[")
    options = {o: float(v) for o, v in (part.split("=") for part in rest.rstrip("]").split(",") if part)}
    return catalogue.build(catalogue.estimator_class(name), options | (coefficients or {}))


def test_it_is_least_squares() -> None:
    """After many steps at one place the coefficients are the minimum of E‖ĝ‖², by enumeration of all samples."""
    online, generator = Online("double_cv", decay=0.9995), seeded()
    logits = torch.tensor([[0.4, -0.7]], dtype=torch.float64).requires_grad_()

    def f(z: Tensor) -> Tensor:
        value: Tensor = (z[..., 0] + 2 * z[..., 1] - 0.8) ** 3
        return value

    batch = logits.expand(500, 2)
    for _ in range(40):
        expectation(f, distribution_of("bernoulli", batch), online, 2, generator=generator)
    assert online.coefficients is not None

    class Cubic:
        on: Literal["one-hot"] = "one-hot"
        distributions = frozenset({"bernoulli"})

        def value(self, v: Tensor) -> Tensor:
            return f(v)

    problem = make(Cubic(), logits.detach()[0], "bernoulli")
    z = torch.tensor(list(product([0.0, 1.0], repeat=4)), dtype=torch.float64).view(16, 2, 2)
    weights = problem.distribution.log_prob(z).sum(1).exp()
    draw = Draw(problem, 16, 2, z=z, weights=weights)
    g0 = double_cv(draw, 2, 0.0)
    g1 = double_cv(draw, 2, 1.0) - g0
    best = -float(weights @ (g0 * g1).sum(1)) / float(weights @ (g1 * g1).sum(1))
    # 20 000 estimates: the regression coefficient is within 1 % here; that of no step is 0 or -1
    assert abs(online.coefficients["a"] - best) < 0.05 * abs(best) + 0.02


@pytest.mark.slow
def test_less_variance_and_no_bias() -> None:
    """Along steps at one place: the mean is that of rloo's, the variance below that of either end.

    400 steps of 4 examples; |t| < 6 for 12 logits: one false alarm in 10^8 runs.
    """
    online, given, generator = Online("double_cv"), DoubleCv(a=0.0), seeded()
    found = torch.stack([gradient(online, generator) for _ in range(400)])[50:]
    plain = torch.stack([gradient(given, generator) for _ in range(400)])[50:]
    t = (found.mean(0) - plain.mean(0)) / ((found.var(0) + plain.var(0)) / len(found)).sqrt()
    assert float(t.abs().max()) < 6
    assert float(found.var(0).sum()) < 0.8 * float(plain.var(0).sum())


def test_checkpoints_and_steps_that_overflow() -> None:
    """Its state is saved and loaded; a step with infinite values leaves it as it was."""
    online, generator = Online("rebar"), seeded()
    for _ in range(5):
        gradient(online, generator)
    other = Online("rebar")
    other.load_state_dict(online.state_dict())
    assert other.coefficients == online.coefficients
    before = online.coefficients
    logits = some_logits("bernoulli")
    expectation(lambda z: z.sum(-1) * torch.inf, distribution_of("bernoulli", logits), online)
    assert online.coefficients == before


def after(steps: int, estimator: str) -> Online:
    """An `Online` that has seen so many steps."""
    online, generator = Online(estimator), seeded()
    for _ in range(steps):
        gradient(online, generator)
    return online


def through_a_file(online: Online) -> Online:
    """Its state by `torch.save`, read as safely as torch can, into a new one."""
    file, other = BytesIO(), Online("rodeo")
    torch.save(online.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    return other


@pytest.mark.parametrize("copied", [deepcopy, through_a_file, lambda online: pickle.loads(pickle.dumps(online))])  # noqa: S301
@pytest.mark.parametrize("steps", [0, 2, 5])
def test_copies_go_on_alike_and_apart(copied: Callable[[Online], Online], steps: int) -> None:
    """A copy, a pickle and a file have the coefficients, and their steps are not those of the original."""
    online = after(steps, "rodeo")
    other, before = copied(online), online.coefficients
    for step in range(5):
        gradient(other, seeded(step))
    assert online.coefficients == before
    for step in range(5):
        gradient(online, seeded(step))
    assert online.coefficients == other.coefficients != before


@pytest.mark.parametrize(
    ("of", "to"), [("rebar", "double_cv"), ("rodeo", "rodeo[a=0]"), ("rodeo[a=1]", "rodeo[a=0]"), ("rodeo", "rebar")]
)
def test_the_state_of_another_estimator_is_refused(of: str, to: str) -> None:
    """Also where it has as many numbers; another temperature or n_fit is no other estimator."""
    online, state = Online(to), after(4, of).state_dict()
    with pytest.raises(UsageError, match=r"the state is that of Online\(R\w+\(.*fitted.*\)\), and this is Online\("):
        online.load_state_dict(state)
    assert (online.steps, online.coefficients) == (0, None)
    Online("rebar[temperature=1,n_fit=64]").load_state_dict(after(4, "rebar").state_dict())


@pytest.mark.parametrize(
    "state",
    [
        {},
        None,
        {"steps": 4, "sums": torch.ones(1, 2)},
        {**Online("rebar").state_dict(), "sums": torch.ones(2, 3)},
        {**Online("rebar").state_dict(), "steps": -1},
        {**Online("rebar").state_dict(), "sums": [1.0, 2.0]},
        nn.Linear(1, 1).state_dict(),
    ],
)
def test_what_is_no_state_is_refused(state: Any) -> None:
    """Other things, and states with a wrong part."""
    online = Online("rebar")
    with pytest.raises(UsageError, match=r"what state_dict\(\) returned"):
        online.load_state_dict(state)
    assert (online.steps, online.coefficients) == (0, None)


def test_what_was_fitted_does_not_count() -> None:
    """Of a fitted `rebar` the coefficient is found as of one that is not."""
    one, generator, twin = Online(Rebar(fitted=(0.1, 7.0))), seeded(), seeded()
    other = Online(Rebar())
    for _ in range(6):
        assert torch.equal(gradient(one, generator), gradient(other, twin))
    assert one.coefficients == other.coefficients != {"eta": 0.0}


def test_no_evaluation_more() -> None:
    """It calls f as often as the estimator with given coefficients."""
    counts = []
    for estimator in (Online("rebar"), "rebar[eta=1]"):
        calls = []
        for _ in range(5):

            def f(z: Tensor) -> Tensor:
                calls.append(z)  # noqa: B023 - called here and now
                return (z - 0.3).square().sum(-1)

            logits = torch.zeros(4, 3, requires_grad=True)
            expectation(f, distribution_of("bernoulli", logits), estimator)
        counts.append(len(calls))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("estimator", ["relax", "lax", "relax[eta=1]"])
def test_critics_are_refused(estimator: str) -> None:
    """A critic is for one vector of logits."""
    with pytest.raises(UsageError, match="a critic is fitted at one vector of logits"):
        Online(estimator)
    problem = make(objective("sine"), torch.zeros(3, dtype=torch.float64), "bernoulli")
    one = replace(Relax(), n_fit=512, steps=1)
    fitted = one.fit(problem, Draw(problem, 512, 1, streams=Streams(0, "x", range(1))))
    with pytest.raises(UsageError, match=r"a fitted Relax cannot be used in training: a critic"):
        gradient(fitted, seeded())


@pytest.mark.parametrize(
    ("estimator", "said"),
    [
        ("rloo", "rloo has no coefficient to find"),
        (Rebar(eta=0.5), "Rebar has no coefficient to find"),
        ("rebar[tune_temperature=true]", "the temperature is not a coefficient"),
    ],
)
def test_refusals(estimator: Any, said: str) -> None:
    """What has nothing to find is refused."""
    with pytest.raises(UsageError, match=said):
        Online(estimator)
    with pytest.raises(UsageError, match="between 0 and 1"):
        Online("rebar", decay=1.0)


def test_nothing_is_fitted_silently() -> None:
    """Without `Online` an estimator stands as it is unfitted: rebar at η = 1, double_cv and rodeo at 0."""
    for left, given in (("rebar", "rebar[eta=1]"), ("double_cv", "double_cv[a=0]"), ("rodeo", "rodeo[a=0,b=0]")):
        assert torch.equal(gradient(left, seeded()), gradient(given, seeded()))
    assert torch.equal(gradient("relax", seeded()), gradient("relax[eta=1]", seeded()))
    torch.testing.assert_close(gradient("relax", seeded()), gradient("rebar", seeded()))
