"""Exact values of every metric of the cells whose intervals are measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from scipy.special import erfc, expit, roots_legendre

from estbench.draws import MAIN, Draw
from estbench.estimate import estimates
from estbench.estimators.antithetic.arm import Arm
from estbench.estimators.base import Estimator
from estbench.estimators.score_function.reinforce import Reinforce
from estbench.exact import exact
from estbench.intervals import exact_metrics
from estbench.moments import Floats, Moments
from estbench.objectives.quadratic import Quadratic
from estbench.problem import Problem, make

Probabilities = tuple[float, ...]

METRICS = ("variance", "mse", "bias_squared", "cosine", "cosine_of_mean")
DELTA = 0.1  # f(1) − f(0) of (z − 0.45)²


def problem_at(p: Probabilities) -> Problem:
    """The problem of variables of these probabilities."""
    return make(Quadratic(), torch.tensor(p, dtype=torch.float64).logit(), "bernoulli")


def exact_values(estimator: Estimator, p: Probabilities) -> dict[str, float]:
    """The exact value of every metric.

    One variable, and REINFORCE: by the exact engine. ARM and ST-Gumbel at several from the exact bias b_d and variance
    v_d of each variable on its own (the objective is a sum). Coordinates of ST-Gumbel are independent, so b and v stay;
    ARM's variance gains the others' share of f, E ĝ_d² = (E ĝ_d²)₁ + Σ_{j≠d} 2 p_j δ²/12 with δ = f(1) − f(0), p ≤ ½.
    """
    problem = problem_at(p)
    assert problem.exact_gradient is not None
    g = problem.exact_gradient.numpy()
    if len(p) == 1 or isinstance(estimator, Reinforce):
        columns = exact_metrics(Moments.unpack(exact(problem, estimator, 1).packed, g))
        return {metric: float(columns[metric]) for metric in METRICS}
    own = {x: exact(problem_at((x,)), estimator, 1) for x in set(p)}
    b, v = (np.array([of.item() for of in each]) for each in ([own[x].mean for x in p], [own[x].variance for x in p]))
    b = b - g
    u = g / np.linalg.norm(g)
    if isinstance(estimator, Arm):
        v = v + (sum(p) - np.array(p)) * 2 * DELTA**2 / 12
        cos = cosine_of_arm(p, u)
    else:
        cos = cosine_of_independent({x: law(estimator, x) for x in set(p)}, p, u)
    bias2, mean = float(b @ b), g + b
    return {
        "variance": float(v.sum()),
        "mse": bias2 + float(v.sum()),
        "bias_squared": bias2,
        "cosine": cos,
        "cosine_of_mean": float(mean @ u / np.linalg.norm(mean)),
    }


def over_norm(integrand: Callable[[float], float], low: float, high: float) -> float:
    """E x·u/‖x‖ = 2/√π ∫₀^∞ F(s) ds from F(s) = E[x·u e^{−s²‖x‖²}], in which independent coordinates separate.

    By trapezia in y = log s from `low` to `high`: F is analytic for |Im y| < π/4, so the steps cost e^(−2π·π/4/step).
    """
    step = 0.2  # 2e-11
    total = math.fsum(s * integrand(s) for s in np.exp(np.arange(low, high, step)).tolist())
    return 2 / math.sqrt(math.pi) * step * total


def cosine_of_arm(p: Probabilities, u: Floats) -> float:
    """E cos(ĝ, g) of ARM, ĝ = δ c w: w uniform on (−½, ½), c counts the w_d > ½ − p_d less those below p_d − ½.

    By c = −D … D: B_c = E[e^{−s²‖w‖²}; c] and A_c = E[w·u e^{−s²‖w‖²}; c] grow variable by variable; ĝ = 0 at c = 0.
    """

    def integrand(s: float) -> float:
        A, B = np.zeros(1), np.ones(1)
        half = math.sqrt(math.pi) / (2 * s)
        for x, along in zip(p, u, strict=True):
            edge = 0.5 - x
            beyond = half * float(erfc(s * edge) - erfc(s / 2))
            slope = along * math.exp(-((s * edge) ** 2)) * -math.expm1(-(s**2) * x * (1 - x)) / (2 * s**2)
            one = np.array([beyond, 2 * half * math.erf(s * edge), beyond])
            A = np.convolve(A, one) + np.convolve(B, [-slope, 0.0, slope])
            B = np.convolve(B, one)
        return float(np.sign(np.arange(len(A)) - len(p)) @ A)

    return over_norm(integrand, -24, 20)


def law(estimator: Estimator, p: float) -> tuple[Floats, Floats]:
    """ĝ of one variable and its weights at Gauss-Legendre nodes of the logistic noise x − φ, cut at the jump x = 0."""
    phi = math.log(p / (1 - p))
    nodes, weights = roots_legendre(12)
    edges = np.concatenate((np.linspace(-30, -phi, 600), np.linspace(-phi, 30, 600)[1:]))
    middle, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    noise = (middle[:, None] + half[:, None] * nodes).ravel()
    weight = (half[:, None] * weights).ravel() * expit(noise) * expit(-noise)
    u = torch.from_numpy(expit(-noise)).view(-1, 1, 1)
    draw = Draw(problem_at((p,)), len(u), 1, noise={MAIN: u}, weights=torch.from_numpy(weight))
    (estimate,) = estimates(estimator, draw, [1])
    return estimate[:, 0].numpy(), weight


def cosine_of_independent(laws: Mapping[float, tuple[Floats, Floats]], p: Probabilities, u: Floats) -> float:
    """E x·u/‖x‖ of independent x_d that follow laws[p_d] (values and weights)."""

    def integrand(s: float) -> float:
        A, B = {}, {}
        for key, (x, weight) in laws.items():
            e = np.exp(-(np.minimum(s * np.abs(x), 26.0) ** 2)) * weight
            A[key], B[key] = float(e @ x), float(e.sum())
        others = [math.prod(B[x] for j, x in enumerate(p) if j != d) for d in range(len(p))]
        return math.fsum(u[d] * A[x] * others[d] for d, x in enumerate(p))

    return over_norm(integrand, -30, 350)
