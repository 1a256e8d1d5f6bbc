"""Draws and distributions: streams that repeat, and the laws of what is made from them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from estbench import catalogue
from estbench.distributions import Bernoulli, Categorical
from estbench.draws import Draw
from estbench.streams import Streams
from tests.problems import make

PHI = torch.tensor([0.7, -1.4], dtype=torch.float64)
THETA = torch.tensor([[0.3, -0.9, 0.5], [-0.2, 0.7, 1.1]], dtype=torch.float64)
FALSE_FAIL = 1e-6
"""Of each statistical test below; with 2·10⁴ draws the Kolmogorov tests detect a distance of .025 with certainty."""


def draw(logits: torch.Tensor, replicates: int = 20_000, seed: int = 0) -> Draw:
    """A Monte Carlo draw of one sample each."""
    problem = make(catalogue.build(catalogue.objective_class("quadratic"), {}), logits)
    return Draw(problem, replicates, 1, streams=Streams(seed, "p", range(1)))


def test_streams_are_the_same_in_pieces() -> None:
    """A stream read in blocks gives what it gives when read at once, shard by shard."""
    whole = Streams(3, "p", range(2)).uniform("main", 10, 4)
    pieces = Streams(3, "p", range(2))
    first, second = pieces.uniform("main", 3, 4), pieces.uniform("main", 7, 4)
    shards = [torch.cat((first[3 * s : 3 * s + 3], second[7 * s : 7 * s + 7])) for s in range(2)]
    assert torch.equal(whole, torch.cat(shards))


@pytest.mark.parametrize(
    "other",
    [
        (4, "p", range(2), "main"),
        (3, "q", range(2), "main"),
        (3, "p", range(2, 4), "main"),
        (3, "p", range(2), "redraw/0"),
    ],
)
def test_streams_are_apart(other: tuple[int, str, range, str]) -> None:
    """Another seed, problem, shard or name gives other numbers."""
    seed, problem, shards, name = other
    a = Streams(3, "p", range(2)).uniform("main", 5, 2)
    b = Streams(seed, problem, shards).uniform(name, 5, 2)
    assert not torch.isin(a, b).any()


def test_shards_do_not_hang_on_their_neighbours() -> None:
    """A shard has the same numbers alone and in company."""
    together = Streams(0, "p", range(5)).uniform("main", 6)
    assert torch.equal(together[12:18], Streams(0, "p", range(2, 3)).uniform("main", 6))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_uniforms_are_inside(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """No uniform is 0 or 1, not even where the generator says so, so that no logarithm is infinite."""

    class Ends:
        def random(self, out: np.ndarray) -> None:
            out[:] = 0.0
            out.flat[::2] = 1 - 2.0**-53

    monkeypatch.setattr(Streams, "_generator", lambda self, name, shard: Ends())  # noqa: ARG005 - the signature is fixed
    u = Streams(0, "p", range(1)).uniform("main", 10, dtype=dtype)
    assert bool(((u > 0) & (u < 1)).all())
    assert bool(torch.isfinite(torch.log(-torch.log(u))).all())


def test_samples_have_their_probabilities() -> None:
    """Frequencies of Bernoulli and categorical samples are within their standard errors of p and π."""
    for logits in (PHI, THETA):
        d = draw(logits)
        p, n = d.distribution.mean, d.R
        z = stats.norm.isf(FALSE_FAIL / 2 / p.numel())
        se = (p * (1 - p) / n).sqrt()
        assert bool(((d.z.mean((0, 1)) - p).abs() < z * se).all())


def test_the_samples_are_the_hard_values_of_x() -> None:
    """z = 1[x > 0], or the one-hot of argmax x, of the very x that relaxations use."""
    assert torch.equal(draw(PHI).z, (draw(PHI).x > 0).double())
    d = draw(THETA)
    assert torch.equal(d.z, torch.nn.functional.one_hot(d.x.argmax(-1), 3).double())


def redrawn(distribution: Bernoulli | Categorical, z: torch.Tensor) -> torch.Tensor:
    """x̃ given z."""
    v = Streams(1, "redraw", range(1)).uniform("v", *z.shape)
    return distribution.conditional(z, v if isinstance(distribution, Bernoulli) else -torch.log(v)).x


@pytest.mark.parametrize("logits", [PHI, THETA], ids=["bernoulli", "categorical"])
def test_redrawn_x_has_the_law_of_x(logits: torch.Tensor) -> None:
    """x redrawn given z has the law of x, gives z back, and within a class too."""
    d = draw(logits)
    x, again = d.x, redrawn(d.distribution, d.z)
    if logits.ndim == 2:
        location = d.distribution.log_mean
        expected = [(x[..., i, k].flatten() - location[i, k], stats.gumbel_r.cdf) for i in range(2) for k in range(3)]
        got = [(again[..., i, k].flatten() - location[i, k], stats.gumbel_r.cdf) for i in range(2) for k in range(3)]
        assert torch.equal(torch.nn.functional.one_hot(again.argmax(-1), 3).double(), d.z)
    else:
        expected = [(x[..., i].flatten() - logits[i], stats.logistic.cdf) for i in range(2)]
        got = [(again[..., i].flatten() - logits[i], stats.logistic.cdf) for i in range(2)]
        assert torch.equal((again > 0).double(), d.z)
    for sample, cdf in expected + got:
        assert stats.kstest(sample.numpy(), cdf).pvalue > FALSE_FAIL
    within = (d.z[..., 0] if logits.ndim == 1 else d.z[..., 0, 0]).flatten() == 1
    a, b = ((t[..., 0] if logits.ndim == 1 else t[..., 0, 1]).flatten()[within].numpy() for t in (x, again))
    assert stats.ks_2samp(a, b).pvalue > FALSE_FAIL


@pytest.mark.parametrize("logits", [PHI, THETA, torch.tensor([30.0, -30.0], dtype=torch.float64)])
def test_the_pull_back_of_the_redraw_is_its_derivative(logits: torch.Tensor) -> None:
    """conditional_vjp is (dx̃/dlogits)ᵀ at fixed noise, by automatic differentiation, at logits ±30 too."""
    kind = Bernoulli if logits.ndim == 1 else Categorical
    z = draw(logits, 50).z
    v = Streams(2, "pull", range(1)).uniform("v", *z.shape)
    noise = v if kind is Bernoulli else -torch.log(v)
    h = Streams(3, "pull", range(1)).uniform("h", *z.shape) - 0.3
    leaf = logits.expand(z.shape).clone().requires_grad_()
    rows = [kind(leaf[r, 0]).conditional(z[r], noise[r]).x for r in range(len(z))]
    (expected,) = torch.autograd.grad((torch.stack(rows) * h).sum(), leaf)
    torch.testing.assert_close(kind(logits).conditional_vjp(z, noise, h), expected, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("logits", [PHI, THETA], ids=["bernoulli", "categorical"])
@pytest.mark.parametrize("tau", [0.2, 1.3])
def test_the_pull_back_of_the_relaxation_is_its_derivative(logits: torch.Tensor, tau: float) -> None:
    """J(y) g/τ is (dy/dx)ᵀ g by automatic differentiation."""
    d = draw(logits, 50)
    g = Streams(3, "pull", range(1)).uniform("g", *d.z.shape) - 0.3
    x = d.x.clone().requires_grad_()
    y = torch.sigmoid(x / tau) if logits.ndim == 1 else torch.softmax(x / tau, -1)
    (expected,) = torch.autograd.grad((y * g).sum(), x)
    relaxed = d.relaxed(tau)
    torch.testing.assert_close(relaxed.y, y.detach())
    torch.testing.assert_close(relaxed.vjp(g), expected, rtol=1e-9, atol=1e-13)


def test_the_relaxed_derivative_does_not_round_to_zero() -> None:
    """σ′ stays positive where σ rounds to 1: 1 − y would be 0."""
    d = draw(PHI, 20_000)
    pulled = d.relaxed(0.02).vjp(torch.ones_like(d.z))
    assert bool((d.relaxed(0.02).y == 1).any())
    assert bool((pulled > 0).all())


@pytest.mark.parametrize("logits", [PHI, THETA, torch.tensor([30.0, -30.0], dtype=torch.float64)])
def test_scores_and_states(logits: torch.Tensor) -> None:
    """The states have probabilities that sum to 1, E s = 0, and s is the derivative of log P."""
    kind = Bernoulli if logits.ndim == 1 else Categorical
    d = kind(logits)
    z = d.states()
    P = d.log_prob(z).exp()
    assert float(P.sum()) == pytest.approx(1, abs=1e-14)
    torch.testing.assert_close((d.lift(P) * d.score(z)).sum(0), torch.zeros_like(logits), rtol=0, atol=1e-25 + 1e-16)
    leaf = logits.clone().requires_grad_()
    for state in z:
        (expected,) = torch.autograd.grad(kind(leaf).log_prob(state), leaf)
        torch.testing.assert_close(d.score(state), expected, rtol=1e-10, atol=1e-30)


def test_missing_noise_is_named() -> None:
    """A weighted draw that lacks a stream says which, and which it has."""
    problem = make(catalogue.build(catalogue.objective_class("quadratic"), {}), PHI)
    given = Draw(problem, 4, 1, z=torch.zeros(4, 1, 2, dtype=torch.float64), noise={"main": torch.rand(4, 1, 2)})
    said = r"'redraw/0' \(it holds: main\); declare it in facts\.noise, .*exact='smooth' .*or say exact='none'"
    with pytest.raises(LookupError, match=said):
        given.redraw(0)


def test_float32_follows_float64() -> None:
    """Samples and scores in float32 are those of float64 up to rounding."""
    for logits in (PHI, THETA):
        a, b = draw(logits), draw(logits.float())
        assert b.z.dtype == torch.float32
        assert float((a.z != b.z.double()).double().mean()) < 1e-4
        torch.testing.assert_close(b.distribution.mean.double(), a.distribution.mean, rtol=1e-6, atol=1e-7)


def test_a_draw_is_split_and_begun() -> None:
    """Pieces of a draw, one after the other, have its base noise to the bit, and its head has its first uniforms."""
    of = make(catalogue.build(catalogue.objective_class("quadratic"), {}), THETA)
    streams = Streams(3, "split", range(1))
    draw = Draw(of, 10, 2, streams=streams)
    names = ("main", "redraw/0")
    parts = list(draw.split(4, names))
    assert [part.R for part in parts] == [4, 4, 2]
    assert streams.reads == 0  # nothing of the draw itself was read
    for name in names:
        torch.testing.assert_close(torch.cat([part.noise(name) for part in parts]), draw.noise(name), rtol=0, atol=0)
    first = draw.head(3).uniform("own", 5, per_replicate=True)
    torch.testing.assert_close(first, draw.uniform("own", 5, per_replicate=True)[:3], rtol=0, atol=0)
    shards = Draw(of, 10, 2, streams=Streams(3, "split", range(2)), shard=5)
    assert shards.head(3) is shards
    noise = torch.cat([part.noise() for part in shards.split(4, ["main"])])
    torch.testing.assert_close(noise, shards.noise(), rtol=0, atol=0)
