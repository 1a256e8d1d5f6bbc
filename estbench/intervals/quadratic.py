"""Bounds of ‖β‖² from T = ‖b̂‖², b̂ ~ (β, V), without knowing the direction of β or the eigenvalues of V."""

from __future__ import annotations

from dataclasses import dataclass

from scipy.special import chdtrc, chndtr, gammainc


@dataclass(frozen=True)
class QuadraticForm:
    """T = ‖b̂‖² with trV = trace V > 0, trVV = trace V² > 0 and ρ the variance of b̂ along its own direction.

    T has mean β + trV and variance 4βρ + 2trV² (β for ‖β‖²). It is taken as c·χ′²_ν(λ) with c = (trV² + βρ)/(trV + β),
    ν = trV²/c², λ = βρ/c²: the same mean and variance, and the exact law where V has one eigenvalue (beside 0). A
    Gamma law of these moments is too skewed: its nominal 5 % lower tail holds up to 10 % if V has rank 1, 7 % if 2.
    """

    T: float
    trV: float
    trVV: float
    rho: float

    def upper(self, tail: float) -> float:
        """Solve F(max(T, trV); U) = tail for U = ‖β‖²."""
        return self._solve(max(self.T, self.trV), tail)

    def lower(self, tail: float) -> float:
        """Solve F(T; L) = 1 − tail for L = ‖β‖²; 0 if even β = 0 leaves no less than `tail` above T."""
        return 0.0 if self.exceed_if_zero >= tail else self._solve(self.T, 1 - tail)

    @property
    def exceed_if_zero(self) -> float:
        """p₀ = 1 − F(T; 0)."""
        return float(chdtrc(self.trV**2 / self.trVV, self.T * self.trV / self.trVV))

    def _cdf(self, x: float, beta: float) -> float:
        mean, variance = beta + self.trV, 4 * beta * self.rho + 2 * self.trVV
        c = (self.trVV + beta * self.rho) / mean
        nu, shift = self.trVV / c**2, beta * self.rho / c**2
        if shift > 1e5:  # slow there, and a Gamma law agrees to 1e-4
            return float(gammainc(mean**2 / variance, x * mean / variance))
        return float(chndtr(x / c, nu, shift))

    def _solve(self, x: float, probability: float) -> float:
        """Bisect F(x; β) = probability; F falls as β grows."""
        low, high = 0.0, x
        while self._cdf(x, high) > probability:
            low, high = high, 2 * high
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if self._cdf(x, middle) > probability else (low, middle)
        return (low + high) / 2
