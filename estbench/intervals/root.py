"""The root of a function of one number."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

Point = tuple[float, float]
"""A number and what the function is there."""


def root(f: Callable[[float], float], low: Point, high: Point, tolerance: float) -> float:
    """Where f crosses zero between two points at which its signs differ, to `tolerance`; a jump across zero counts.

    Inverse quadratic interpolation where three points say that it can be trusted, else halving (Chandrupatla 1997, "A
    new hybrid quadratic/bisection algorithm for finding the zero of a nonlinear function without using derivatives",
    Advances in Engineering Software 28, 145–149): a third of the evaluations of halving alone.
    """
    (b, fb), (a, fa) = low, high
    c, fc, share = a, fa, 0.5
    if fb == 0:
        return b
    while fa != 0:
        x = a + share * (b - a)
        fx = f(x)
        if (fx > 0) == (fa > 0):
            c, fc = a, fa
        else:
            c, b, fc, fb = b, a, fb, fa
        a, fa = x, fx
        least = tolerance / abs(b - a)
        if least > 0.5:
            return a if abs(fa) < abs(fb) else b
        share = min(max(_share(a, b, c, fa, fb, fc), least), 1 - least)
    return a


def _share(a: float, b: float, c: float, fa: float, fb: float, fc: float) -> float:
    """How far from a towards b the next point lies."""
    xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
    if not 1 - sqrt(1 - xi) < phi < sqrt(xi):
        return 0.5
    return fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
