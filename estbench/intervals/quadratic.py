"""Bounds of ‖b‖² from T = ‖b̂‖², b̂ ~ (b, V), without knowing the direction of b or the eigenvalues of V."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.special import chdtrc, chndtr, gammainc

from estbench.intervals.root import Point, root
from estbench.moments import Floats

PRECISION = 1e-13  # of ends, relative to ‖b̂‖²


@dataclass(frozen=True)
class QuadraticForm:
    """T = ‖b̂‖² and q = b̂ᵀV̂b̂, which are known together, with the traces of V, V² and V³ (all > 0).

    T has mean β + trV and variance 4Q + 2trV², where β = ‖b‖² and Q = bᵀVb. It is taken as c·χ′²_ν(λ) with
    c = (trV² + Q)/(trV + β), ν = trV²/c², λ = Q/c²: the same mean and variance, and the exact law where V has one
    eigenvalue (beside 0). A Gamma law of these moments is too skewed: its nominal 5 % lower tail holds up to 10 % if V
    has rank 1, 7 % if 2.

    Q depends on the direction of b. To take βq/T, the spread along b̂, is wrong upwards: T is low where noise took away
    the part of b that lies along much noise, and what is left of b̂ lies along little. As E q = Q + trV² and
    Cov(T, q) = 4W + 2trV³, W = bᵀV²b, the regression of q on T says for each β

        Q(β) = q − trV² + κ·(β − (T − trV)),   κ = Cov(T, q)/Var T ≤ √trV²,   within [0, β·trV].

    w is an unbiased estimate of b̂ᵀV²b̂; inflate multiplies Q(β), as V is known from a few shards only.
    """

    T: float
    trV: float
    trVV: float
    trVVV: float
    q: float
    w: float
    inflate: float = 1.0

    @classmethod
    def of_shards(
        cls, T: float, trV: float, trVV: float, G: Floats, along: Floats, inflate: float = 1.0
    ) -> QuadraticForm:
        """With q, w and trV³ from the noise of S shards: G = x xᵀ [S, S], x with Σ xxᵀ = V̂, and along [S] = x·b̂.

        Powers of V come from distinct shards, w ∝ Σ_{s≠t} along_s (x_s·x_t) along_t.
        """
        S = len(G)
        w = float(along @ (G - np.diag(np.diag(G))) @ along) * S / (S - 1)
        return cls(T, trV, trVV, trace_cube(G, trV, trVV), float(along @ along), w, inflate)

    def upper(self, tail: float) -> float:
        """Solve F(max(T, trV); U) = tail for U = ‖b‖²."""
        return self._solve(max(self.T, self.trV), tail, 0.0)

    def upper_within(self, limit: float, tail: float) -> bool:
        """Whether `upper` is at most `limit`: as F falls with β, whether F(max(T, trV); limit) ≤ tail."""
        return self._cdf(max(self.T, self.trV), limit, 0.0) <= tail

    def lower(self, tail: float) -> float:
        """Solve F(T; L) = 1 − tail for L = ‖b‖²; 0 if even β = 0 leaves no less than `tail` above T.

        Here Q(β) is at least half of βq/T: else the end is too high up to 8 times of 100 where b lies across the noise.
        """
        least = self.q / self.T / 2 if self.T > 0 else 0.0
        return 0.0 if self.exceed_if_zero >= tail else self._solve(self.T, 1 - tail, least)

    @property
    def exceed_if_zero(self) -> float:
        """p₀ = 1 − F(T; 0)."""
        return float(chdtrc(self.trV**2 / self.trVV, self.T * self.trV / self.trVV))

    @property
    def p_value(self) -> float:
        """P(T̂ > T) where b = 0."""
        return p_value(self.T, self.trV, self.trVV, self.trVVV)

    def spread(self, beta: float, least: float = 0.0) -> float:
        """Q(β), at least `least`·β, times `inflate`."""
        Q0, W0 = max(self.q - self.trVV, 0.0), max(self.w - self.trVVV, 0.0)
        kappa = min((4 * W0 + 2 * self.trVVV) / (4 * Q0 + 2 * self.trVV), sqrt(self.trVV))
        Q = self.q - self.trVV + kappa * (beta - (self.T - self.trV))
        return min(max(Q, least * beta), beta * self.trV) * self.inflate

    def _cdf(self, x: float, beta: float, least: float) -> float:
        Q = self.spread(beta, least)
        mean, variance = beta + self.trV, 4 * Q + 2 * self.trVV
        c = (self.trVV + Q) / mean
        nu, shift = self.trVV / c**2, Q / c**2
        if shift > 1e5:  # slow there, and a Gamma law agrees to 1e-4
            return float(gammainc(mean**2 / variance, x * mean / variance))
        return float(chndtr(x / c, nu, shift))

    def _solve(self, x: float, probability: float, least: float) -> float:
        """Solve F(x; β) = probability; F falls as β grows."""

        def at(beta: float) -> Point:
            return beta, self._cdf(x, beta, least) - probability

        low, high = at(0.0), at(x)
        if low[1] <= 0:
            return 0.0
        while high[1] > 0:
            low, high = high, at(2 * high[0])
        return root(lambda beta: at(beta)[1], low, high, PRECISION * high[0])


def p_value(T: float, trV: float, trVV: float, trVVV: float) -> float:
    """P(‖b̂‖² > T), b̂ ~ (0, V), by three moments: ‖b̂‖² = trV + √(trV²/ν) (χ²_ν − ν), ν = trV²³/trV³² (Buckley 1988).

    With two, as for the ends of an interval, p-values below .001 are 2 to 4 times too frequent where one of some
    eigenvalues stands out, and 11 times where one of many is a fifth of trV.
    """
    nu = trVV**3 / trVVV**2
    return float(chdtrc(nu, max(nu + (T - trV) * sqrt(nu / trVV), 0.0)))


def trace_cube(G: Floats, trV: float, trVV: float) -> float:
    """Estimate trV³ from x xᵀ [S, S], Σ xxᵀ = V̂, within [trV²²/trV, trV²^{3/2}].

    It comes from distinct shards, ∝ Σ_{s≠t≠u} (x_s·x_t)(x_t·x_u)(x_u·x_s): S × S products, never P × P.
    """
    S = len(G)
    G = G - np.diag(np.diag(G))
    trVVV = float(((G @ G) * G).sum()) * S**2 / ((S - 1) * (S - 2))
    most: float = trVV**1.5
    return min(max(trVVV, trVV**2 / trV), most)
