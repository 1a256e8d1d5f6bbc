"""Correction of p-values for testing many hypotheses. An undefined (NaN) p stays so, and is not counted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from estbench.errors import UsageError
from estbench.moments import Floats


def holm(p: ArrayLike) -> Floats:
    """Adjust by Holm (1979), which bounds the chance of any false rejection: max over i ≤ j of (k − i + 1)·p₍ᵢ₎."""
    return _in_order(p, lambda ordered, k, i: np.maximum.accumulate((k - i + 1) * ordered))


def bh(p: ArrayLike) -> Floats:
    """Adjust by Benjamini and Hochberg (1995), which bounds the false discovery rate: min over i ≥ j of k·p₍ᵢ₎/i."""
    return _in_order(p, lambda ordered, k, i: np.minimum.accumulate((k / i * ordered)[::-1])[::-1])


def none(p: ArrayLike) -> Floats:
    """Leave every p as it is."""
    return np.array(p, dtype=np.float64)


ADJUSTMENTS: dict[str, Callable[[ArrayLike], Floats]] = {"holm": holm, "bh": bh, "none": none}


def adjust(p: ArrayLike, method: str = "holm") -> Floats:
    """Adjust p-values by the method of that name."""
    if method not in ADJUSTMENTS:
        raise UsageError(f"correction: unknown method {method!r}; choose one of {', '.join(ADJUSTMENTS)}")
    return ADJUSTMENTS[method](p)


def _in_order(p: ArrayLike, rule: Callable[[Floats, int, Floats], Floats]) -> Floats:
    adjusted = none(p)
    defined = np.flatnonzero(~np.isnan(adjusted))
    order = defined[np.argsort(adjusted[defined], kind="stable")]
    k = len(order)
    adjusted[order] = np.minimum(rule(adjusted[order], k, np.arange(1.0, k + 1)), 1.0)
    return adjusted
