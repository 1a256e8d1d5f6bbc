"""∇ E f(h) of independent noisy units h_d by quadrature: what estimators that differentiate f(h) are unbiased for.

It is found from values of f alone, ∇ E f(h) = E f(h) ∂ log density(h)/∂φ: it owes nothing to what it is compared with,
and kinks of f cost it far fewer digits than kinks of ∇f would.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple, cast

import torch
from scipy.special import roots_legendre
from torch import Tensor

from estbench.distributions import Bernoulli
from estbench.distributions.tables import table
from estbench.problem import Problem

MAX_VARIABLES = 3
_NODES = {1: 512, 2: 256, 3: 96}


class Nodes(NamedTuple):
    """One unit's values h, their weights (of sum 1), and their scores ∂ log density(h)/∂φ (of mean 0): [n] each."""

    h: Tensor
    weight: Tensor
    score: Tensor


@lru_cache(maxsize=8)
def clustered(n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Gauss-Legendre nodes of (0, 1) through t = s⁴(35 − 84s + 70s² − 20s³), which tames logarithms at the ends.

    Returns t, 1 − t and weights, [n] each in float64.
    """
    s, w = (torch.from_numpy(a) / 2 for a in roots_legendre(n))
    s = s + 0.5
    t = s**4 * (35 - 84 * s + 70 * s**2 - 20 * s**3)
    return t, t.flip(0), w * 140 * (s * (1 - s)) ** 3


@table
def gradient(problem: Problem, unit: Callable[[Bernoulli, int], Nodes]) -> Tensor:
    """E (f(h) − f(0)) score_d over the product grid of at most MAX_VARIABLES units: [*batch, P] in float64."""
    d = problem.distribution
    each = (replace(problem, distribution=d.with_logits(one)) for one in d.logits.view(-1, *d.event_shape))
    return torch.stack([_gradient(one, unit) for one in each]).view(*d.batch_shape, problem.parameters)


def _gradient(problem: Problem, unit: Callable[[Bernoulli, int], Nodes]) -> Tensor:
    o, n = problem.oracle, _NODES[problem.D]
    every = o.independent.with_logits(o.distribution.logits.cpu())
    variables = [cast(Bernoulli, every.only(slice(d, d + 1))) for d in range(problem.D)]
    h, weight, score = (
        torch.cartesian_prod(*axes).view(-1, problem.D)  # [n^D, D]
        for axes in zip(*(unit(variable, n) for variable in variables), strict=True)
    )
    f = o.f(h) - o.f(torch.zeros_like(h[:1]))
    return problem.project((weight.prod(-1) * f) @ score).to(o.independent.logits)
