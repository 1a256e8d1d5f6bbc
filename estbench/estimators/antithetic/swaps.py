"""Swaps: samples of the same exponentials with two of their entries exchanged, the pseudo-samples of ARS and ARSM."""

from __future__ import annotations

import torch
from torch import Tensor

from estbench.problem import Problem


def f_swapped(problem: Problem, e: Tensor, j: Tensor, M: int) -> Tensor:
    """f(z^{m⇌j}) for all m < M: [R, N, M], at z of e [R, N, D, K] with entries m and j swapped in every variable.

    j is one-hot: [R, N, K], or [K] where it is the same for all samples.
    """
    e_j = (e @ j.unsqueeze(-1)).squeeze(-1) if j.ndim > 1 else e @ j  # [R, N, D]
    f = e.new_empty(*e.shape[:2], M)
    for m in range(M):  # one at a time, they stay in the cache
        swapped = torch.lerp(e, e[..., m : m + 1], j.unsqueeze(-2))
        swapped[..., m] = e_j
        f[..., m] = problem.f(problem.distribution.sample(swapped))
    return f
