"""Hall's transformation of the studentised mean of skewed data to a nearly normal variable.

Hall 1992, "On the removal of skewness by transformation", JRSS B 54, 221–228.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from estbench.moments import Floats


def hall(x: Floats, a: Floats) -> Floats:
    """H(x) = x + ax²/3 + a²x³/27 + a/6 of x = (mean − truth)/se, a = skewness/√R: nearly normal."""
    return x + a * x**2 / 3 + a**2 * x**3 / 27 + a / 6


def hall_inverse(x: float, a: float) -> float:
    """H⁻¹(x) = (3/a)(∛(1 + a(x − a/6)) − 1), or x if |a| < 1e−8."""
    return x if abs(a) < 1e-8 else float(3 / a * (np.cbrt(1 + a * (x - a / 6)) - 1))


def hall_interval(mean: float, se: float, a: float, level: float) -> tuple[float, float]:
    """Interval of a mean with standard error se and a = skewness/√R: mean − se·H⁻¹(±z)."""
    z = float(ndtri((1 + level) / 2))
    return mean - se * hall_inverse(z, a), mean - se * hall_inverse(-z, a)
