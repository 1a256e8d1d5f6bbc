"""float32, half and bfloat16, autocast."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from estbench import catalogue
from estbench.distributions import Bernoulli, Categorical
from estbench.problem import Problem
from estbench.streams import TorchStreams
from estbench.training import expectation, sample
from estbench.training.expected import measured
from estbench.training.given import Given
from estbench.training.precision import Autocast
from tests.training.steps import SHAPES, distribution_of, seeded

MEMBERS = [
    pytest.param(estimator, name, id=f"{estimator}-{name}")
    for estimator, kind in catalogue.ESTIMATORS.items()
    for name in sorted(kind().facts.distributions)
]


def test_small_differences_of_large_values_stay() -> None:
    """At f ≈ 100 in float32, with 2000 variables, a difference is a − b: nothing that is real becomes 0."""
    logits = torch.zeros(5, 2000)
    given = Given(lambda z: z.sum(-1), Bernoulli(logits), None, Autocast.now(logits.device))
    problem = Problem(Bernoulli(logits), given, zero_rounding=False)
    a = torch.full((5, 1), 100.0)
    b = a + torch.tensor([1e-5, 1e-4, 1e-3, 1e-2, 0.1]).unsqueeze(1)
    assert torch.equal(problem.difference(b, a), b - a)
    assert torch.equal(problem.difference(b, a)[1:] > 0, torch.ones(4, 1, dtype=torch.bool))


@pytest.mark.parametrize("estimator", ["disarm", "rloo", "leg", "reinforce[baseline=constant,value=100]", "arms"])
def test_gradients_of_a_large_constant_plus_little(estimator: str) -> None:
    """f = 100 + .002 z_0 of 500 variables in float32: the mean gradient is .0005 within its standard error.

    4 · 10^4 examples, |t| < 6; zeroing what rounding can make would give 0, at |t| > 20.
    """
    logits = torch.zeros(500, 1).expand(500, 500).clone() if estimator == "leg" else torch.zeros(40000, 4)
    pad = 496 if estimator != "leg" else 0
    logits = logits[:80] if estimator == "leg" else logits
    logits.requires_grad_()
    full = torch.cat((logits, torch.zeros(len(logits), pad)), 1) if pad and len(logits) < 100 else logits
    f = lambda z: 100 + 0.002 * z[..., 0]  # noqa: E731
    expectation(f, Bernoulli(full), estimator, 2, generator=seeded()).sum().backward()
    assert logits.grad is not None
    g = logits.grad[:, 0].double()
    assert float(g.mean()) == pytest.approx(0.0005, abs=max(6 * float(g.std()) / len(g) ** 0.5, 5e-6))


def float32_numbers(generator: torch.Generator) -> Callable[..., Tensor]:
    """`TorchStreams.uniform` with float32 numbers in whatever type is asked for."""

    def uniform(self: TorchStreams, name: str, *shape: int, dtype: torch.dtype, reader: str = "") -> Tensor:
        del self, name, reader
        return torch.rand(*shape, generator=generator, dtype=torch.float32).clamp(1e-4, 1 - 1e-4).to(dtype)

    return uniform


@pytest.mark.parametrize(("estimator", "name"), MEMBERS)
def test_float32_is_float64_rounded(estimator: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient in float32 is that in float64 with the same random numbers, to 1e-4 of the largest entry."""
    found = []
    for dtype in (torch.float32, torch.float64):
        logits = torch.randn(64, *SHAPES[name], generator=seeded(3)).to(dtype).requires_grad_()
        monkeypatch.setattr(TorchStreams, "uniform", float32_numbers(seeded(8)))
        weights = torch.arange(1.0, 1 + logits[0].numel()).to(dtype)
        f = lambda z: torch.sin(z.flatten(2) @ weights) + 3  # noqa: E731, B023
        value = expectation(f, distribution_of(name, logits), estimator, 3)
        assert value.dtype == dtype
        (g,) = torch.autograd.grad(value.sum(), logits)
        assert g.dtype == dtype
        found.append(g.double())
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-4 * float(found[1].abs().max()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("estimator", ["disarm", "ste", "gumbel", "rebar", "double_cv", "igr", "muprop"])
def test_half(dtype: torch.dtype, estimator: str) -> None:
    """Logits of half precision: f gets samples of their type, the value is float32, the gradient of their type.

    The gradient is that of the same logits in float32 to the precision of the type.
    """
    half = torch.randn(16, 3, generator=seeded(3)).to(dtype).requires_grad_()
    full = half.detach().float().requires_grad_()
    got = []
    for logits in (half, full):

        def f(z: Tensor) -> Tensor:
            assert z.dtype == logits.dtype  # noqa: B023 - called here and now
            return (z - 0.25).square().sum(-1)

        value = expectation(f, distribution_of("bernoulli", logits), estimator, 2, generator=seeded())
        assert value.dtype == torch.float32
        got.append(torch.autograd.grad(value.sum(), logits)[0])
    assert got[0].dtype == dtype
    torch.testing.assert_close(got[0].float(), got[1], rtol=0.05, atol=0.05)
    if catalogue.ESTIMATORS[estimator]().facts.node:
        assert sample(distribution_of("bernoulli", half), estimator).dtype == dtype


@pytest.mark.parametrize("estimator", ["rebar", "gumbel", "reinmax", "double_cv", "mve", "disarm_tree"])
def test_autocast(estimator: str) -> None:
    """Under autocast f runs in bfloat16, and the estimator's own arithmetic in float32, as without."""
    seen = []

    def f(z: Tensor) -> Tensor:
        seen.append((z @ z.new_ones(z.shape[-1], 1)).dtype)
        return z.flatten(2).square().sum(-1).float()

    logits = torch.randn(16, 4, 3, generator=seeded(3)).requires_grad_()
    got = []
    for on in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=on):
            value = expectation(f, Categorical(logits), estimator, 2, generator=seeded())
            got.append(torch.autograd.grad(value.sum(), logits)[0])
        assert {*seen} == {torch.bfloat16 if on else torch.float32}
        seen.clear()
    torch.testing.assert_close(*got)


def test_a_network_under_autocast() -> None:
    """bfloat16 logits of an encoder under autocast reach its float32 weights."""
    encoder, decoder = nn.Linear(5, 4), nn.Linear(4, 6)
    x = torch.randn(8, 5, generator=seeded())
    for estimator in ("ste", "disarm", "rebar"):
        encoder.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            logits = encoder(x)
            assert logits.dtype == torch.bfloat16
            value = expectation(lambda z: decoder(z).square().sum(-1), Bernoulli(logits), estimator)
        value.sum().backward()
        assert encoder.weight.grad is not None
        assert encoder.weight.grad.dtype == torch.float32
        assert bool(encoder.weight.grad.isfinite().all())


def test_rounding_is_0_where_a_gradient_is_measured() -> None:
    """Values of f that differ by the order of a sum: rloo is 0 for them where it is measured, and trains as it is."""
    logits = torch.zeros(200, 5, dtype=torch.float64, requires_grad=True)

    def f(z: Tensor) -> Tensor:
        return (z - 0.3).square().sum(-1)

    zeros = []
    for expected in (measured, lambda *given: expectation(*given[:-1], generator=given[-1])):
        value = expected(f, Bernoulli(logits), catalogue.ESTIMATORS["rloo"](), 2, torch.Generator().manual_seed(0))
        (g,) = torch.autograd.grad(value.sum(), logits)
        zeros.append(int((g == 0).all(1).sum()))
        tiny = int((g.abs() < 1e-14).all(1).sum())
    assert zeros[0] == tiny > zeros[1]
