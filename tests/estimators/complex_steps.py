"""Formulas of estimators that read noisy logits, row by row in numpy; every gradient is a complex step.

A function F of the logits θ is differentiated as Im F(θ + ih)/h, exact to rounding. Letters: R rows (replicates), D
variables, K classes; Bernoulli arrays are [R, D], categorical ones [R, D, K].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from estbench.draws import Draw
from estbench.moments import Floats
from estbench.problem import Problem
from tests.estimators.noise import Evaluate
from tests.estimators.states import Numbers, wave


@dataclass(frozen=True)
class Given:
    """What a row has: the logits (maybe complex), the samples z, base noise u or e, and that of a redraw, v or e′."""

    theta: Numbers
    z: Floats
    noise: Floats
    redraw: Floats

    @property
    def bernoulli(self) -> bool:
        """Whether the logits are [D]."""
        return len(np.shape(self.theta)) == 1

    @property
    def log_pi(self) -> Numbers:
        """The normalised logits (categorical)."""
        return self.theta - np.log(np.exp(self.theta).sum(-1, keepdims=True))

    @property
    def x(self) -> Numbers:
        """The noisy logits: φ + log((1 − u)/u), log π − log e."""
        if self.bernoulli:
            return self.theta + np.log((1 - self.noise) / self.noise)
        return self.log_pi - np.log(self.noise)

    @property
    def x_tilde(self) -> Numbers:
        """x redrawn given z, as the papers write it: through u′ = p v or p + q v; by truncated Gumbels."""
        if self.bernoulli:
            p = 1 / (1 + np.exp(-self.theta))
            u = self.z * p * self.redraw + (1 - self.z) * (p + (1 - p) * self.redraw)
            return self.theta + np.log((1 - u) / u)
        top = (self.redraw * self.z).sum(-1, keepdims=True)
        return -np.log(np.where(self.z == 1, top, self.redraw / np.exp(self.log_pi) + top))

    @property
    def log_p(self) -> Numbers:
        """log P(z), [R]."""
        if self.bernoulli:
            p = 1 / (1 + np.exp(-self.theta))
            return (self.z * np.log(p) + (1 - self.z) * np.log(1 - p)).sum(-1)
        return (self.z * self.log_pi).sum((-2, -1))

    def relaxed(self, x: Numbers, tau: float) -> Numbers:
        """σ(x/τ) or softmax(x/τ), flat: [R, P]."""
        if self.bernoulli:
            return 1 / (1 + np.exp(-x / tau))
        y = np.exp((x - x.real.max(-1, keepdims=True)) / tau)
        return (y / y.sum(-1, keepdims=True)).reshape(len(y), -1)

    def flat(self, t: Numbers) -> Numbers:
        """[R, P]."""
        return t.reshape(len(t), -1)

    def gradient(self, of: Callable[[Given], Numbers]) -> Floats:
        """∂/∂θ of numbers [R] that depend on the row: [R, P]."""
        h, columns = 1e-30, []
        for i in np.ndindex(self.theta.shape):
            theta = self.theta.astype(np.complex128)
            theta[i] += 1j * h
            columns.append(of(type(self)(theta, self.z, self.noise, self.redraw)).imag / h)
        return np.stack(columns, -1)


ByHand = Callable[[Given], Numbers]
"""Estimates [R, P] of rows."""


def rebar(tau: float, eta: float) -> ByHand:
    """[f(z) − η f(ỹ)] ∂ log P(z) + η ∂ f(y) − η ∂ f(ỹ)."""

    def formula(g: Given) -> Numbers:
        signal = wave(g.flat(g.z)) - eta * wave(g.relaxed(g.x_tilde, tau))
        paths = g.gradient(lambda g: wave(g.relaxed(g.x, tau)) - wave(g.relaxed(g.x_tilde, tau)))
        return signal[:, None] * g.gradient(lambda g: g.log_p) + eta * paths

    return formula


Network = tuple[Floats, Floats, Floats]


def critic(x: Numbers, network: Network) -> Numbers:
    """aᵀ tanh(W x + b) at x [R, P]: [R]."""
    W, b, a = network
    return np.tanh(x @ W.T + b) @ a


def relax(tau: float, eta: float, network: Network) -> ByHand:
    """[f(z) − c(x̃)] ∂ log P(z) + ∂ c(x) − ∂ c(x̃), c(x) = η f(y) + r(x)."""

    def formula(g: Given) -> Numbers:
        def c(g: Given, x: Numbers) -> Numbers:
            return eta * wave(g.relaxed(x, tau)) + critic(g.flat(x), network)

        signal = wave(g.flat(g.z)) - c(g, g.x_tilde)
        paths = g.gradient(lambda g: c(g, g.x) - c(g, g.x_tilde))
        return signal[:, None] * g.gradient(lambda g: g.log_p) + paths

    return formula


def lax(network: Network) -> ByHand:
    """[f(z) − r(x)] ∂ log p(x) + ∂ r(x), x = φ − logit(u) or θ − log e: the density's gradient is at x held still."""

    def formula(g: Given) -> Numbers:
        def noisy(g: Given) -> Numbers:
            return g.x if g.bernoulli else g.theta - np.log(g.noise)

        still = noisy(g)

        def log_density(g: Given) -> Numbers:
            t = still - g.theta
            return g.flat(-t - 2 * np.log(1 + np.exp(-t)) if g.bernoulli else -t - np.exp(-t)).sum(-1)

        signal = wave(g.flat(g.z)) - critic(g.flat(still), network)
        return signal[:, None] * g.gradient(log_density) + g.gradient(lambda g: critic(g.flat(noisy(g)), network))

    return formula


def given(of: Draw, number: int = 0) -> Given:
    """The rows of a draw of one sample, with its redraw of this number."""
    theta = of.distribution.logits.numpy()
    z, noise, redraw = (t[:, 0].numpy() for t in (of.z, of.noise(), of.redraw(number)))
    return Given(theta, z, noise, redraw)


def of_formula(formula: ByHand, of: Problem, kind: type[Given] = Given) -> Evaluate:
    """The formula's estimates."""
    theta = of.distribution.logits.numpy()
    return lambda z, e, v: formula(kind(theta, z, e, v))
