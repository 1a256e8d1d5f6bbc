"""Bounds of ‖β‖² from T = ‖b̂‖², b̂ ~ (β, V): T is taken as Gamma with the mean and variance that it should have."""

from __future__ import annotations

from dataclasses import dataclass

from scipy.special import gammainc, gammaincc


@dataclass(frozen=True)
class QuadraticForm:
    """T = ‖b̂‖² with trV = trace V > 0, trVV = trace V² > 0 and ρ the variance of b̂ along its own direction."""

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
        shape, scale = self._gamma(0.0)
        return float(gammaincc(shape, self.T / scale))

    def _gamma(self, beta: float) -> tuple[float, float]:
        """Shape and scale for mean β + trV and variance 4βρ + 2 trV²."""
        mean, variance = beta + self.trV, 4 * beta * self.rho + 2 * self.trVV
        return mean**2 / variance, variance / mean

    def _solve(self, x: float, probability: float) -> float:
        """Bisect F(x; β) = probability; F falls as β grows."""

        def above(beta: float) -> bool:
            shape, scale = self._gamma(beta)
            return bool(gammainc(shape, x / scale) > probability)

        low, high = 0.0, x
        while above(high):
            low, high = high, 2 * high
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if above(middle) else (low, middle)
        return (low + high) / 2
