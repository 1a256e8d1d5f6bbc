"""The papers' formulas for noisy logits once more, in numpy; every gradient is a complex step, none is written out.

A function F of the logits θ is differentiated as Im F(θ + ih)/h, exact to rounding. Letters: R rows (replicates), D
variables, K classes; Bernoulli arrays are [R, D], categorical ones [R, D, K]. Also: quadrature nodes for the noise.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import expit, roots_legendre
from torch import Tensor

from estbench.draws import MAIN, Draw
from estbench.estimate import estimates
from estbench.estimators.base import Estimator
from estbench.moments import Floats
from estbench.problem import Problem
from tests.estimators.paper_arithmetic import Wave
from tests.problems import make

Numbers = Any  # an array, real or complex
Logits = list[float] | list[list[float]]


def f(z: Numbers) -> Numbers:
    """`Wave` at flattened samples [R, P], for complex arguments too: [R]."""
    n = np.arange(z.shape[-1])
    return np.sin(z @ (1.3 + 0.4 * n) + 0.3) + (z @ np.cos(1 + n)) ** 3 / 2


def problem(logits: Logits) -> Problem:
    """`Wave` of one or more variables of these logits."""
    return make(Wave(), torch.tensor(logits, dtype=torch.float64))


ONE: dict[str, Logits] = {"low": [-1.3], "high": [0.8]}
ONE_OF_THREE: dict[str, Logits] = {"three": [[0.9, -0.4, 1.6]]}
SEVERAL: dict[str, Logits] = {"B2": [0.7, -1.2], "B3": [0.7, -1.2, 0.3], "C2x3": [[0.9, -0.4, 1.6], [-0.2, 0.7, 0.1]]}


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
        signal = f(g.flat(g.z)) - eta * f(g.relaxed(g.x_tilde, tau))
        paths = g.gradient(lambda g: f(g.relaxed(g.x, tau)) - f(g.relaxed(g.x_tilde, tau)))
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
            return eta * f(g.relaxed(x, tau)) + critic(g.flat(x), network)

        signal = f(g.flat(g.z)) - c(g, g.x_tilde)
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

        signal = f(g.flat(g.z)) - critic(g.flat(still), network)
        return signal[:, None] * g.gradient(log_density) + g.gradient(lambda g: critic(g.flat(noisy(g)), network))

    return formula


def rows(estimator: Estimator, of: Draw) -> Floats:
    """The estimates [R, P] of a draw of one sample."""
    g = estimates(estimator, of, [1])[0]
    return g.numpy()


def given(of: Draw, number: int = 0) -> Given:
    """The rows of a draw of one sample, with its redraw of this number."""
    theta = of.distribution.logits.numpy()
    z, noise, redraw = (t[:, 0].numpy() for t in (of.z, of.noise(), of.redraw(number)))
    return Given(theta, z, noise, redraw)


# Quadrature: composite Gauss-Legendre on x itself, for noise given the class, with no knowledge of any estimator

_S, _W = roots_legendre(20)
_EDGES = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 5, 7, 9, 12, 16, 21, 28, 40])


def panels(edges: Floats, nodes: int = 20) -> tuple[Floats, Floats]:
    """Nodes and weights on the panels between the edges."""
    s, w = (_S, _W) if nodes == 20 else roots_legendre(nodes)
    half = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + half * (1 + s)).ravel(), (half * w).ravel()


def product(axes: Sequence[tuple[Floats, ...]]) -> list[list[Floats]]:
    """The product grid of axes, each a tuple of arrays of one length: a list of arrays for each place."""
    grids = [np.meshgrid(*column, indexing="ij") for column in zip(*axes, strict=True)]
    return [[g.ravel() for g in grid] for grid in grids]


def logistic(phi: float, k: int) -> tuple[Floats, Floats, Floats]:
    """u and v at nodes of x ∈ (0, 40) or (−40, 0), and weights of sum 1: the law of u given class k, of v ever."""
    s, w = panels(_EDGES)
    x = s if k else -s
    u = expit(phi - x)
    weight = w * expit(x - phi) * u / expit(phi if k else -phi)
    v = u / expit(phi) if k else 1 - expit(x - phi) / expit(-phi)
    return np.clip(u, 0, 1 - 2.0**-53), np.clip(v, 2.0**-60, 1 - 2.0**-48), weight


@dataclass(frozen=True)
class Cell:
    """One joint state: its sample, its probability, and nodes of the two streams with weights summing to 1 each."""

    z: Floats
    P: float
    noise: tuple[Floats, Floats]
    redraw: tuple[Floats, Floats]


def bernoulli_cells(logits: list[float]) -> list[Cell]:
    """All states of one or two Bernoulli variables."""
    cells = []
    for z in itertools.product((0, 1), repeat=len(logits)):
        axes = [logistic(phi, k) for phi, k in zip(logits, z, strict=True)]
        u, v, w = product(axes)
        weight = np.prod(w, axis=0)
        P = np.prod([expit(phi if k else -phi) for phi, k in zip(logits, z, strict=True)])
        cells.append(Cell(np.array(z, float), float(P), (np.stack(u, -1), weight), (np.stack(v, -1), weight)))
    return cells


def class_cells(logits: list[float], scale: bool = False) -> list[Cell]:
    """The classes of one variable of two or three, by ratios ρ_i = e_i/e_k with density (K − 1)!/(1 + Σρ)^K.

    With `scale`, S = Σ e is a Gamma(K) variable of its own; without, e_k is 1.
    """
    K = len(logits)
    pi = np.exp(logits) / np.exp(logits).sum()
    t, w = panels(np.array([0.0, 2, 6, 12, 25]), 12) if scale else panels(np.array([0.0, 1, 3, 6, 10, 16, 26, 40]), 12)
    around = (np.concatenate((-t[::-1], t)), np.concatenate((w[::-1], w)))
    log_sum = panels(np.array([-12.0, -4, 0, 2, 4]), 14)

    def nodes(axis: tuple[Floats, Floats], least: Floats, others: list[int]) -> tuple[Floats, Floats]:
        logs, weights = product([axis] * (K - 1) + ([log_sum] if scale else []))
        ratios = np.exp(np.stack(logs[: K - 1], -1)) * least
        total = 1 + ratios.sum(-1)
        weight = np.prod(weights, axis=0) * math.factorial(K - 1) * ratios.prod(-1) / total**K
        e = np.ones((len(weight), 1, K))
        e[:, 0, others] = ratios
        if scale:
            S = np.exp(logs[-1])
            weight = weight * S**K * np.exp(-S) / math.factorial(K - 1)
            e = e * (S / total)[:, None, None]
        return e, weight

    cells = []
    for k in range(K):
        others = [i for i in range(K) if i != k]
        e, weight = nodes((t, w), pi[others] / pi[k], others)
        e_redraw, weight_redraw = nodes(around, np.ones(K - 1), others)
        exactly = 1e-9 if scale else 1e-12
        assert abs(weight.sum() - pi[k]) < exactly  # the class wins with probability π_k
        assert abs(weight_redraw.sum() - 1) < exactly
        cells.append(Cell(np.eye(K)[k][None], float(pi[k]), (e, weight / pi[k]), (e_redraw, weight_redraw)))
    return cells


Evaluate = Callable[[Floats, Floats, Floats], Floats]
"""Estimates [R, P] from samples [R, …] and both noises."""


def by_quadrature(evaluate: Evaluate, cells: list[Cell]) -> tuple[Floats, Floats]:
    """E ĝ and Var ĝ, [P] each, of an estimate that given z is a sum of one part of the noise and one of the redraw."""
    mean, square = 0.0, 0.0
    for cell in cells:
        (e, w), (v, wv) = cell.noise, cell.redraw
        e0, v0 = e[:1], v[:1]

        def at(e: Floats, v: Floats, cell: Cell = cell) -> Floats:
            R = max(len(e), len(v))
            return evaluate(*(np.broadcast_to(t, (R, *cell.z.shape)).copy() for t in (cell.z[None], e, v)))

        base = at(e0, v0)[0]
        of_noise, of_redraw = at(e, v0) - base, at(e0, v) - base
        first = base + w @ of_noise + wv @ of_redraw
        within = w @ (of_noise - w @ of_noise) ** 2 + wv @ (of_redraw - wv @ of_redraw) ** 2
        mean, square = mean + cell.P * first, square + cell.P * (within + first**2)
    return np.asarray(mean), square - np.asarray(mean) ** 2


def of_estimator(estimator: Estimator, of: Problem) -> Evaluate:
    """The estimator's own estimates."""

    def evaluate(z: Floats, e: Floats, v: Floats) -> Floats:
        z_, e_, v_ = (torch.from_numpy(t).unsqueeze(1) for t in (z, e, v))
        return rows(estimator, Draw(of, len(z), 1, z=z_, noise={MAIN: e_, "redraw/0": v_}))

    return evaluate


def of_formula(formula: ByHand, of: Problem, kind: type[Given] = Given) -> Evaluate:
    """The formula's estimates."""
    theta = of.distribution.logits.numpy()
    return lambda z, e, v: formula(kind(theta, z, e, v))


def cells(of: Problem, scale: bool = False) -> list[Cell]:
    """The cells of a problem of few variables."""
    logits: Tensor = of.distribution.logits
    return bernoulli_cells(logits.tolist()) if logits.ndim == 1 else class_cells(logits[0].tolist(), scale)


def gradient(of: Problem) -> Numbers:
    """Σ_z f(z) ∂P(z)/∂θ over all states, [P]: the truth, once more."""
    d = of.distribution
    z = d.states().numpy()
    still = Given(d.logits.numpy(), z, np.full_like(z, 0.5), np.full_like(z, 0.5))
    return f(still.flat(z)) @ still.gradient(lambda g: np.exp(g.log_p))
