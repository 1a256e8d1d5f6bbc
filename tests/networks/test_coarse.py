"""Coarse gradients of the two-layer threshold network: closed forms against integrals, and what they say."""

from __future__ import annotations

import math
from dataclasses import fields
from itertools import pairwise

import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from torch import Tensor

from estbench.errors import UsageError
from estbench.networks.coarse import INDICATORS, TwoLayer


def network(seed: int = 0, scale: float = 1.3, theta: float | None = None) -> TwoLayer:
    """A network with m = 3 and n = 4, at a given angle to the one that labels."""
    g = torch.Generator().manual_seed(seed)
    v, v_star, w, w_star = (torch.randn(n, generator=g, dtype=torch.float64) for n in (3, 3, 4, 4))
    w_star = w_star / w_star.norm()
    if theta is not None:
        across = w - (w @ w_star) * w_star
        w = math.cos(theta) * w_star + math.sin(theta) * across / across.norm()
    return TwoLayer(v, scale * w, v_star, w_star)


def parts(net: TwoLayer) -> dict[str, Tensor]:
    """What a network is made of."""
    return {f.name: getattr(net, f.name) for f in fields(net)}


def by_quadrature(net: TwoLayer, proxy: str) -> Tensor:
    """E g from one-dimensional integrals over x = z·ŵ, term by term, without any closed form of a product."""
    h, lower, upper = INDICATORS[proxy]
    size, theta = float(net.w.norm()), float(net.theta)
    e = net.across / net.across.norm()
    start, end = max(lower / size, -12), min(upper / size, 12)

    def mean(g) -> float:  # type: ignore[no-untyped-def] # a function of x
        pieces = sorted({start, end, *(x for x in (0.0,) if start < x < end)})
        return sum(quad(lambda x: g(x) * norm.pdf(x), a, b, epsabs=1e-13, epsrel=1e-12)[0] for a, b in pairwise(pieces))

    slope = 1 / math.tan(theta)
    alone = mean(lambda x: x) * net.w_hat  # E[z ψ]
    own = mean(lambda x: x * (x > 0)) * net.w_hat  # E[z ψ σ(z·w)]
    label = mean(lambda x: x * norm.cdf(x * slope)) * net.w_hat + mean(lambda x: norm.pdf(x * slope)) * e
    total = torch.zeros_like(net.w)
    for i in range(3):
        for j in range(3):
            total += (own if i == j else alone / 2) * net.v[i] * net.v[j]
            total -= (label if i == j else alone / 2) * net.v[i] * net.v_star[j]
    return h * total


@pytest.mark.parametrize("proxy", sorted(INDICATORS))
@pytest.mark.parametrize("theta", [0.3, math.pi / 2, 2.5, None])
def test_coarse_gradients_against_integrals(proxy: str, theta: float | None) -> None:
    """The mean coarse gradient equals a sum of integrals over z·ŵ to 1e-10."""
    net = network(1, 0.7, theta)
    assert torch.allclose(net.coarse_gradient_w(proxy), by_quadrature(net, proxy), rtol=0, atol=1e-10)


@pytest.mark.slow
def test_networks_side_by_side() -> None:
    """Everything of networks [2, 3], also at angles 0 and π, is that of each by itself."""
    alone = [network(1, 0.7, theta) for theta in (0.0, math.pi, 0.3, 1.5, 3.0, 2.2)]
    both = TwoLayer(*(torch.stack([parts(net)[k] for net in alone]).view(2, 3, -1) for k in parts(alone[0])))
    for i, net in enumerate(alone):
        at = divmod(i, 3)
        torch.testing.assert_close(both.loss()[at], net.loss(), rtol=0, atol=1e-14)
        for found, own in (
            (both.gradient_v(), net.gradient_v()),
            (both.gradient_w(), net.gradient_w()),
            *((both.coarse_gradient_w(proxy), net.coarse_gradient_w(proxy)) for proxy in INDICATORS),
        ):
            torch.testing.assert_close(found[at], own, rtol=0, atol=1e-14)


def test_published_forms_of_identity_and_relu() -> None:
    """Identity: (‖v‖² ŵ − v·v* w*)/√2π; ReLU: the form with cos θ/2 of Yin et al. (2019), lemmas 5 and 8."""
    net = network(2)
    root = math.sqrt(2 * math.pi)
    identity = ((net.v @ net.v) * net.w_hat - (net.v @ net.v_star) * net.w_star) / root
    assert torch.allclose(net.coarse_gradient_w("identity"), identity, rtol=0, atol=1e-14)
    h = net.v @ net.v + net.v.sum() ** 2 - net.v.sum() * net.v_star.sum() + net.v @ net.v_star
    half = (net.w_hat + net.w_star) / (net.w_hat + net.w_star).norm()
    relu = h / (2 * root) * net.w_hat - math.cos(net.theta / 2) * (net.v @ net.v_star) / root * half
    assert torch.allclose(net.coarse_gradient_w("relu"), relu, rtol=0, atol=1e-14)


def test_the_loss_and_its_gradients() -> None:
    """The gradients are those of the loss by central differences, and the loss that of 10⁵ antithetic samples."""
    net = network(3)
    h = 1e-5
    for name, gradient in (("v", net.gradient_v()), ("w", net.gradient_w())):
        for i in range(len(gradient)):
            step = torch.zeros_like(getattr(net, name))
            step[i] = h
            ends = [
                TwoLayer(**{**parts(net), name: getattr(net, name) + sign * step}).loss().item() for sign in (1, -1)
            ]
            assert float(gradient[i]) == pytest.approx((ends[0] - ends[1]) / (2 * h), abs=1e-9)
    z = torch.randn(100_000, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y, y_star = ((z @ w > 0).double() @ v for v, w in ((net.v, net.w), (net.v_star, net.w_star)))
    half = (y - y_star).square() / 2
    assert abs(float(half.mean()) - net.loss()) < 5 * float(half.std()) / math.sqrt(len(z))


def test_relu_stays_at_a_minimum_and_identity_leaves_it() -> None:
    """At w = w*, v = v* all mean coarse gradients are 0; at w = −w*, that of the identity is not (Yin et al.).

    There v minimises the loss, and those of ReLU and clipped ReLU are 0.
    """
    net = network(4)
    at = TwoLayer(net.v_star, net.w_star, net.v_star, net.w_star)
    for proxy in INDICATORS:
        assert not at.coarse_gradient_w(proxy).any()
    ones = torch.ones(3, 3, dtype=torch.float64)
    eye = torch.eye(3, dtype=torch.float64)
    opposite = TwoLayer(torch.linalg.solve(eye + ones, (ones - eye) @ net.v_star), -net.w_star, net.v_star, net.w_star)
    assert float(opposite.gradient_v().norm()) < 1e-14
    assert float(opposite.coarse_gradient_w("relu").norm()) < 1e-14
    assert float(opposite.coarse_gradient_w("clipped_relu").norm()) < 1e-14
    assert float(opposite.coarse_gradient_w("identity").norm()) > 0.05


@pytest.mark.parametrize("factor", [1.0, 0.3, 7.0, -0.3])
def test_parallel_weights_have_a_gradient_of_exactly_0(factor: float) -> None:
    """At w = c w*, whose ŵ is w* but for rounding, sin θ and ∂f/∂w are 0, and θ is 0 or π: rounding is no direction."""
    for seed in range(20):
        net = network(seed)
        at = TwoLayer(net.v, factor * net.w_star, net.v_star, net.w_star)
        assert not at.gradient_w().any()
        assert float(at.theta) == (0.0 if factor > 0 else math.pi)
        same = TwoLayer(net.v_star, factor * net.w_star, net.v_star, net.w_star)
        assert factor < 0 or not same.gradient_v().any()
        assert factor < 0 or float(same.loss()) == 0
        assert factor < 0 or not any(same.coarse_gradient_w(proxy).any() for proxy in INDICATORS)


def test_what_has_no_closed_form_is_refused() -> None:
    """Another proxy, w = 0 and a w* that is not of norm 1 are errors that say what is allowed."""
    net = network()
    with pytest.raises(UsageError, match="no closed form for proxy atan; there are identity"):
        net.coarse_gradient_w("atan")
    with pytest.raises(UsageError, match="norm 1"):
        TwoLayer(net.v, net.w, net.v_star, 2 * net.w_star)
    with pytest.raises(UsageError, match="must not be 0"):
        TwoLayer(net.v, 0 * net.w, net.v_star, net.w_star)
