"""Swaps: samples of the same exponentials with two of their entries exchanged, the pseudo-samples of ARS and ARSM."""

from __future__ import annotations

import torch
from torch import Tensor

from estbench.problem import Problem


def f_swapped(problem: Problem, e: Tensor, j: Tensor, M: int) -> Tensor:
    """f(z^{m⇌j}) for all m < M: [R, N, M], at z of e [R, N, D, K] with entries m and j swapped in every variable.

    j is one-hot: [R, N, K], or [K] where it is the same for all samples.
    """
    at_m = (e @ j.unsqueeze(-1)).squeeze(-1) if j.ndim > 1 else e @ j  # e_j: [R, N, D]
    at_j = e[..., :M].transpose(-1, -2).unsqueeze(-1)  # e_m: [R, N, M, D, 1]
    swapped = e.new_empty(*e.shape[:2], M, *e.shape[2:])  # [R, N, M, D, K]
    torch.lerp(e.unsqueeze(2), at_j, j.unsqueeze(-2).unsqueeze(-2), out=swapped)
    swapped.diagonal(dim1=2, dim2=4).copy_(at_m.unsqueeze(-1))  # [R, N, D, M]
    return problem.f(problem.distribution.sample(swapped))
