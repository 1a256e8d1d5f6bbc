"""Multisets of samples: what N independent samples are where their order does not matter, and how likely each is.

N samples of S joint states make S^N tuples, but only C(S + N − 1, N) multisets. A multiset is a row of N states in
order, or a row of S counts; it is also a choice among N + S − 1 places, of N for samples and S − 1 for bars between
states.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Integers = NDArray[np.int64]

CAP = 10**15
"""Larger numbers are not counted any further."""

_STIRLING = 16  # below, log c! is known to the last digit as it is; from here on, five terms of its series suffice


def number(states: int, samples: int) -> int:
    """The number of multisets, C(S + N − 1, N), or `CAP` if there are more."""
    n, found = states + samples - 1, 1
    for i in range(1, min(samples, states - 1) + 1):
        found = found * (n - i + 1) // i
        if found > CAP:
            return CAP
    return found


def members(states: int, samples: int, start: int, stop: int) -> Tensor:
    """The states, in order, of the multisets start … stop − 1: [M, N], integers."""
    places = _subsets(states + samples - 1, samples, start, stop)
    return torch.from_numpy(places - np.arange(samples))


def counts(states: int, samples: int, start: int, stop: int) -> Tensor:
    """How often each state is in the multisets start … stop − 1: [M, S], integers."""
    n = states + samples - 1
    bars = _subsets(n, states - 1, start, stop)
    return torch.from_numpy(np.diff(bars, prepend=-1, append=n) - 1)


def members_of(counts: Tensor) -> Tensor:
    """The states, in order, of multisets that are given by their counts [M, S] with one sum N: [M, N]."""
    each = torch.arange(counts.shape[1]).expand_as(counts)
    return each.flatten().repeat_interleave(counts.flatten()).view(len(counts), -1)


def log_prob_of_members(members: Tensor, log_prob: Tensor) -> Tensor:
    """log [N!/Π_s c_s! Π_n P(z_n)] of multisets of a few samples, given by their states [M, N]: [M]."""
    total, run = log_prob[members].sum(1) + math.lgamma(members.shape[1] + 1), torch.ones(len(members))
    for before, now in zip(members.T, members.T[1:], strict=False):
        run = torch.where(now == before, run + 1, 1.0)  # c! is the product of 1 … c, one after the other
        total -= run.double().log()
    return total


def log_prob_of_counts(counts: Tensor, log_prob: Tensor) -> Tensor:
    """log [N!/Π_s c_s! Π_s P(s)^{c_s}] of multisets of any number of samples, given by their counts [M, S]: [M].

    It is Σ_s log Poisson(c_s; N P(s)) − log Poisson(N; N), whose terms are of the size of the result: log N! and what
    nearly cancels it would cost five digits at N = 65 535.
    """
    N = int(counts[0].sum())
    c = torch.arange(N + 1, dtype=torch.float64)
    each = _log_poisson(c, log_prob.unsqueeze(1) + math.log(N))  # [S, N + 1]
    total = _log_poisson(c[-1:], torch.full((1,), math.log(N), dtype=torch.float64))
    return each[torch.arange(len(each)), counts].sum(1) - total


def _log_poisson(c: Tensor, log_mean: Tensor) -> Tensor:
    """c log μ − μ − log c!; for larger c as −½ log 2πc − (c log c/μ − c + μ) − [log c! less Stirling] (Loader 2000)."""
    mean, large = log_mean.exp(), c.clamp(min=_STIRLING)
    small = torch.where(c > 0, c * log_mean, 0.0) - mean - torch.lgamma(c + 1)
    apart = mean / large - 1
    near = large * (apart - apart.log1p())  # where c is about μ, the logarithm would cancel
    deviance = torch.where(apart.abs() < 0.5, near, large * (large.log() - log_mean) - large + mean)
    square = large**-2
    series = 1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188)))
    return torch.where(c < _STIRLING, small, -0.5 * (2 * math.pi * large).log() - deviance - series / large)


def _subsets(n: int, size: int, start: int, stop: int) -> Integers:
    """The subsets of `size` of the numbers 0 … n − 1, each in order, of ranks start … stop − 1: [M, size].

    A subset j_1 < j_2 < … has the rank Σ_i C(j_i, i) (the combinatorial number system; Knuth, TAOCP 4A, 7.2.1.3).
    """
    rank = np.arange(start, stop)
    found = np.empty((len(rank), size), dtype=np.int64)
    for i in range(size, 0, -1):
        binomials = _binomials(n, i)
        found[:, i - 1] = np.searchsorted(binomials, rank, side="right") - 1
        rank -= binomials[found[:, i - 1]]
    return found


@lru_cache(maxsize=64)
def _binomials(n: int, i: int) -> Integers:
    """C(j, i) of j = 0 … n − 1."""
    return np.array([math.comb(j, i) for j in range(n)], dtype=np.int64)
