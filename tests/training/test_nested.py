"""Two stochastic layers: expectations within expectations."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, logsigmoid

from estbench import catalogue
from estbench.training import expectation, sample
from tests.sizes import slow
from tests.training.steps import distribution_of, seeded

D, K, GROUPS, DRAWS = 2, 3, 40, 300
Parameters = dict[str, Tensor]


def parameters(name: str) -> Parameters:
    """Weights of two layers and of the loss, which depends on both layers."""
    g, n = seeded(3), D if name == "bernoulli" else D * K
    shapes = {"a": (n,), "W": (n, n), "b": (n,), "U": (n, 3), "V": (n, 3)}
    return {key: torch.randn(shape, generator=g, dtype=torch.float64) for key, shape in shapes.items()}


def flat(z: Tensor, name: str) -> Tensor:
    """Samples as vectors."""
    return z if name == "bernoulli" else z.flatten(-2)


def shaped(t: Tensor, name: str) -> Tensor:
    """Vectors as logits."""
    return t if name == "bernoulli" else t.unflatten(-1, (D, K))


def loss(z1: Tensor, z2: Tensor, of: Parameters, name: str) -> Tensor:
    """Not a sum over variables, not linear in any layer."""
    h = flat(z1, name) @ of["U"] + flat(z2, name) @ of["V"]
    return nn.functional.softplus(h).sum(-1) + torch.tanh(h).prod(-1)


def exact(name: str) -> Tensor:
    """The gradient of all parameters of the expected loss, by enumeration of both layers, flat."""
    of = {key: p.clone().requires_grad_() for key, p in parameters(name).items()}
    if name == "bernoulli":
        states = torch.tensor(list(product([0.0, 1.0], repeat=D)), dtype=torch.float64)
        log_P = lambda z, l: (z * logsigmoid(l) + (1 - z) * logsigmoid(-l)).sum(-1)  # noqa: E731, E741
    else:
        states = torch.stack([torch.eye(K, dtype=torch.float64)[list(c)] for c in product(range(K), repeat=D)])
        log_P = lambda z, l: (z * log_softmax(l, -1)).sum((-1, -2))  # noqa: E731, E741
    total = torch.zeros((), dtype=torch.float64)
    for z1, z2 in product(states, states):
        logits2 = shaped(flat(z1, name) @ of["W"] + of["b"], name)
        P = (log_P(z1, shaped(of["a"], name)) + log_P(z2, logits2)).exp()
        total = total + P * loss(z1, z2, of, name)
    return torch.cat([g.flatten() for g in torch.autograd.grad(total, list(of.values()))])


Inner = Callable[[Callable[[Tensor], Tensor], Tensor, torch.Generator], Tensor]


def sampled(name: str, estimator: str, N: int, *, common: bool = False, inner: Inner | None = None) -> Tensor:
    """The gradients of all parameters, [groups, parameters]: each the mean of so many draws of its group."""
    of = {key: p.expand(GROUPS, *p.shape).clone().requires_grad_() for key, p in parameters(name).items()}
    generator = seeded(17)

    def weights(key: str, axes: int) -> Tensor:
        return of[key].view(GROUPS, *[1] * axes, *of[key].shape[1:])

    def of_inner(z2: Tensor, z1: Tensor) -> Tensor:  # [groups, draws, N, N2, …]
        own = {key: weights(key, 2) for key in ("U", "V")}
        return loss(z1.unsqueeze(3), z2, own, name)

    def outer(z1: Tensor, given: torch.Generator = generator) -> Tensor:  # [groups, draws, N, …]
        logits = (flat(z1, name).unsqueeze(-2) @ weights("W", 2)).squeeze(-2) + weights("b", 2)
        d = distribution_of(name, shaped(logits, name))
        f = lambda z2: of_inner(z2, z1)  # noqa: E731
        return expectation(f, d, estimator, N, generator=given) if inner is None else inner(f, d.logits, generator)

    logits = of["a"].unsqueeze(1).expand(-1, DRAWS, -1)
    value = expectation(
        outer,
        distribution_of(name, shaped(logits, name)),
        estimator,
        N,
        generator=generator,
        common_inner_noise=common,
    )
    grads = torch.autograd.grad(value.mean(1).sum(), list(of.values()))
    return torch.cat([g.flatten(1) for g in grads], 1)


def deviations(found: Tensor, true: Tensor) -> tuple[Tensor, float]:
    """Student's t of every parameter, and the noise of all of them over ‖g‖."""
    error = found.std(0) / len(found) ** 0.5
    # a parameter that does not vary must be right to rounding
    return (found.mean(0) - true) / error.clamp(min=1e-12), float(error.norm() / true.norm())


MEMBERS = [
    pytest.param(name, estimator, id=f"{estimator}-{name}")
    for name in ("bernoulli", "categorical")
    for estimator, kind in catalogue.ESTIMATORS.items()
    if name in kind().facts.distributions
]
UNBIASED = [m for m in MEMBERS if catalogue.ESTIMATORS[str(m.values[1])]().facts.unbiased]


@pytest.mark.parametrize("name", ["bernoulli", slow("categorical")])
def test_unbiased_estimators_are_unbiased_for_all_parameters(name: str) -> None:
    """Both layers by the same estimator: 16 or 84 parameters each, against enumeration of both layers.

    12 000 draws in 40 groups. |t| with 39 degrees of freedom stays below 8: 10^-9 each, in 1800 comparisons less than
    one false alarm in 5 · 10^5 runs. The noise of all parameters together is .5 to 3 % of ‖g‖ (Bernoulli) and 1.4 to
    8 % (categorical), so a bias of some tens of per cent is surely seen, as the next test shows.
    """
    true = exact(name)
    wrong = {}
    for param in UNBIASED:
        kind, estimator = map(str, param.values)
        if kind != name:
            continue
        N = catalogue.ESTIMATORS[estimator]().facts.min_samples
        t, noise = deviations(sampled(name, estimator, N), true)
        if float(t.abs().max()) > 8 or noise > 0.15:
            wrong[estimator] = (float(t.abs().max()), noise)
    assert not wrong


@pytest.mark.parametrize("estimator", ["ste", "gumbel", "gumbel_st", "hard_concrete", "bengio_sts", "darn"])
def test_the_test_sees_bias(estimator: str) -> None:
    """Biased estimators in both layers are far outside."""
    t, _ = deviations(sampled("bernoulli", estimator, 1), exact("bernoulli"))
    assert float(t.abs().max()) > 12


@pytest.mark.parametrize("estimator", ["disarm", "leg", "rebar[eta=1]"])
def test_common_inner_noise(estimator: str) -> None:
    """With the same inner noise for every f of a step all parameters stay unbiased, and layer 1 has less variance."""
    fresh, common = (sampled("bernoulli", estimator, 1, common=c) for c in (False, True))
    t, _ = deviations(common, exact("bernoulli"))
    assert float(t.abs().max()) < 8
    assert float(common[:, :D].var(0).sum()) < 0.7 * float(fresh[:, :D].var(0).sum())


def test_inner_noise_that_repeats_the_outer_is_wrong() -> None:
    """Why the inner generator has a seed of its own: rewound to where the outer began, it biases what is unbiased."""

    def rewound(f: Callable[[Tensor], Tensor], logits: Tensor, outer: torch.Generator) -> Tensor:
        del outer
        return expectation(f, distribution_of("bernoulli", logits), "disarm", generator=seeded(17))

    t, _ = deviations(sampled("bernoulli", "disarm", 1, inner=rewound), exact("bernoulli"))
    assert float(t.abs().max()) > 12


def test_inner_generators_are_of_their_own() -> None:
    """Generators of one step agree with each other, with none of other steps, nor with the outer noise."""
    seen: list[Tensor] = []

    def f(z: Tensor, generator: torch.Generator) -> Tensor:
        seen.append(torch.rand(4, 1, 3, generator=generator))
        return z.sum(-1)

    generator = seeded()
    distribution = distribution_of("bernoulli", torch.zeros(4, 3, requires_grad=True))
    for _ in range(2):
        expectation(f, distribution, "disarm", generator=generator, common_inner_noise=True)
    a, b, c, d = seen
    assert torch.equal(a, b)
    assert torch.equal(c, d)
    assert not torch.equal(a, c)
    outer = torch.rand(4, 1, 3, generator=seeded())
    assert not torch.isin(a, outer).any()


def test_other_estimators_within() -> None:
    """An inner node and an outer expectation, or the other way round: gradients reach all parameters."""
    W1, W2 = nn.Linear(4, 3), nn.Linear(3, 2)
    d1 = distribution_of("bernoulli", W1(torch.randn(5, 4, generator=seeded())))
    value = expectation(lambda z: sample(distribution_of("bernoulli", W2(z)), "gumbel").sum(-1) ** 2, d1, "disarm")
    value.sum().backward()
    assert W1.weight.grad is not None
    assert W2.weight.grad is not None


@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize("estimator", ["disarm", "ste", "muprop"])
def test_nested_without_an_axis_of_samples(estimator: str, common: bool) -> None:
    """With `samples=None` in both layers values and gradients are those of one sample with its axis."""
    of = parameters("bernoulli")
    found = []
    for samples in (1, None):
        logits, g = of["a"].expand(4, D).clone().requires_grad_(), seeded(5)

        def outer(z: Tensor, given: torch.Generator = g, N: int | None = samples) -> Tensor:
            d = distribution_of("bernoulli", z @ of["W"] + of["b"])
            return expectation(lambda z2: torch.sin(z2 @ of["V"]).sum(-1), d, "reinforce", N, generator=given)

        value = expectation(
            outer, distribution_of("bernoulli", logits), estimator, samples, generator=g, common_inner_noise=common
        )
        found.append((value, *torch.autograd.grad(value.sum(), logits)))
    for of_axis, of_one in zip(*found, strict=True):
        torch.testing.assert_close(of_one, of_axis, rtol=1e-12, atol=1e-12)
