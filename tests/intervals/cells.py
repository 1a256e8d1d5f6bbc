"""Cells with known truth for the tests of intervals, drawn exactly and fast: the counts of states are multinomial."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq

from estbench.moments import Moments

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cell:
    """An estimator that takes the value values[k] [P] with probability prob[k], and the gradient g to estimate."""

    values: Floats
    prob: Floats
    g: Floats

    @cached_property
    def truth(self) -> dict[str, float]:
        """Exact value of every metric, written out."""
        mean = self.prob @ self.values
        length, norms = np.linalg.norm(self.g), np.linalg.norm(self.values, axis=1)
        error = ((self.values - self.g) ** 2).sum(1)
        size = np.linalg.norm(mean)
        cosines = np.where(norms > 0, self.values @ self.g / np.where(norms > 0, norms * length, 1), 0)
        return {
            "bias_squared": float(((mean - self.g) ** 2).sum()),
            "variance": float(self.prob @ ((self.values - mean) ** 2).sum(1)),
            "mse": float(self.prob @ error),
            "cosine": float(self.prob @ cosines),
            "cosine_of_mean": float(mean @ self.g / size / length) if size > 0 else np.nan,
        }

    def replicates_to_decide(self, delta: float) -> float:
        """Exact number of replicates that shows an unbiased estimator to be within δ‖g‖ with a power of 80 %."""
        centred = (self.values - self.prob @ self.values) * np.sqrt(self.prob)[:, None]
        covariance = centred.T @ centred
        trace, square = np.trace(covariance), np.trace(covariance @ covariance)
        nu = trace**2 / square
        h = brentq(lambda x: stats.ncx2.cdf(stats.chi2.ppf(0.8, nu), nu, x) - 0.05, 1, 1000)
        return float(square / trace * h / (delta**2 * self.g @ self.g))

    def draw(self, rng: np.random.Generator, S: int, n: int) -> Moments:
        """Draw S shards of n estimates: their moments."""
        return self.of_counts(rng.multinomial(n, self.prob, size=S).astype(float))

    def of_counts(self, counts: Floats) -> Moments:
        """Compute the moments of shards in which state k was drawn counts[s, k] times."""
        delta = self.values - self.g
        y, norms = (delta**2).sum(1), np.linalg.norm(self.values, axis=1)
        length = np.linalg.norm(self.g)
        cosine = self.values @ self.g / np.where(norms > 0, norms, 1) / length if length > 0 else np.nan * y
        n = counts.sum(1)
        centre = counts @ delta / n[:, None]
        about, mean_cosine = delta - centre[:, None], cosine - (counts @ cosine / n)[:, None]  # [S, K, P], [S, K]
        u = np.maximum(0, y - 2 * centre @ delta.T + (centre**2).sum(1)[:, None])  # [S, K] ‖ĝ − m_s‖²
        return Moments(
            exact_gradient=self.g,
            n=n,
            non_finite=0 * n,
            zeros=counts @ (norms == 0),
            c1=counts @ cosine,
            c2=(counts * mean_cosine**2).sum(1),
            c3=(counts * mean_cosine**3).sum(1),
            d4=(counts * u**2).sum(1),
            umax=(u * (counts > 0)).max(1),
            s1=counts @ self.values,
            m2=(counts[..., None] * about**2).sum(1),
            m3=(counts[..., None] * about**3).sum(1),
        )


def bernoulli(p: float, D: int) -> tuple[Floats, Floats, Floats, Floats]:
    """All states z [2^D, D], their probabilities, f(z) = Σ(z_d − .45)², and the gradient pq(1 − 2·.45)."""
    z = np.array(list(itertools.product([0.0, 1.0], repeat=D)))
    return z, np.prod(np.where(z == 1, p, 1 - p), axis=1), ((z - 0.45) ** 2).sum(1), np.full(D, p * (1 - p) * 0.1)


def reinforce(p: float, D: int, baseline: float = 0.0) -> Cell:
    """(f(z) − baseline)(z − p): unbiased."""
    z, prob, f, g = bernoulli(p, D)
    return Cell((f - baseline)[:, None] * (z - p), prob, g)


def straight_through(p: float, D: int) -> Cell:
    """f′(z)·pq of f(z) = Σ|z_d − .45|³: biased, of true gradient pq(.55³ − .45³)."""
    z, prob, _, _ = bernoulli(p, D)
    pq = p * (1 - p)
    return Cell(3 * np.sign(z - 0.45) * (z - 0.45) ** 2 * pq, prob, np.full(D, pq * (0.55**3 - 0.45**3)))


def turned(cell: Cell, cosine: float) -> Cell:
    """Give the cell another true gradient, at that cosine with the mean of its estimates."""
    mean = cell.prob @ cell.values
    length = np.linalg.norm(mean)
    across = cell.values[0] - cell.values[0] @ mean / length**2 * mean
    across *= length / np.linalg.norm(across)
    return replace(cell, g=cosine * mean + np.sqrt(1 - cosine**2) * across)


def categorical(K: int, seed: int) -> Cell:
    """REINFORCE f(z)(e_z − π) of one categorical: more parameters than shards, and a singular covariance."""
    rng = np.random.default_rng(seed)
    prob = rng.dirichlet(np.full(K, 5.0))
    values = rng.normal(size=(K, 1)) * (np.eye(K) - prob)
    return Cell(values, prob, prob @ values)


def scaled(cell: Cell, factor: float) -> Cell:
    """Multiply the estimates: a relative bias of factor − 1 if there was none."""
    return replace(cell, values=factor * cell.values)
