"""Estimates with a known law, and their sums as moments."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from estbench.moments import Moments, moments

Floats = NDArray[np.float64]


RNG = np.random.default_rng


def sums(raw: Floats, g: Floats | None) -> Moments:
    """Moments of raw estimates [S, n, P] by the program."""
    true = None if g is None else torch.tensor(g)
    return Moments.unpack(moments(torch.tensor(raw), true).numpy(), g)


def skewed(P: int, S: int = 20, n: int = 30, noise: float = 1.0) -> tuple[Floats, Floats]:
    """Raw skewed, correlated estimates with a bias, and the true gradient."""
    rng = RNG()
    g = rng.normal(size=P)
    left, right = (np.linalg.qr(rng.normal(size=(P, P)))[0] for _ in range(2))
    mixing = left * np.linspace(0.5, 1.5, P) @ right
    return g + 0.1 + noise * (rng.exponential(size=(S, n, P)) - 1) @ mixing, g
