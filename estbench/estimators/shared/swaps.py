"""Swaps: samples of the same exponentials with two of their entries exchanged, the pseudo-samples of ARS and ARSM."""

from __future__ import annotations

import torch
from torch import Tensor

from estbench.problem import Problem


def f_swapped(problem: Problem, e: Tensor, j: Tensor) -> Tensor:
    """f(z^{m⇌j}) for all m: [R, N, K], at z of e [R, N, D, K] with entries m and j swapped in every variable.

    j is one-hot, [R, N, K].
    """
    K = e.shape[-1]
    e_j = (e @ j.unsqueeze(-1)).squeeze(-1)  # [R, N, D]
    f = e.new_empty(*e.shape[:2], K)
    for m in range(K):  # one at a time, they stay in the cache
        swapped = torch.lerp(e, e[..., m : m + 1], j.unsqueeze(-2))
        swapped[..., m] = e_j
        f[..., m] = problem.f(problem.independent.sample(swapped))
    return f


def f_all_swapped(problem: Problem, e: Tensor, fz: Tensor) -> Tensor:
    """f(z^{m⇌j}) − f(z) for all m and j: [K, K, R, N], at z of e [R, N, D, K] with entries m and j swapped as above.

    The class of z is that of the greatest score s_k = π_k/e_k. A swap makes them s_m = π_m/e_j and s_j = π_j/e_m, of
    the same product as before. Against them stands the best of the others; where m and j were the best two themselves,
    one of them stays as good as the second, so that the best two are all that need be known.
    """
    D, K = e.shape[-2:]
    pi = problem.independent.mean.movedim(-1, 0).contiguous().view(K, -1, 1, D)  # [K, 1 or R, 1, D]
    e = e.movedim(-1, 0).contiguous()  # [K, R, N, D]
    k = torch.arange(K).to(e)[:, None, None, None]
    first, second = best_two(pi / e, k)
    difference = fz.new_zeros(K, K, *fz.shape)
    for j in range(1, K):
        m = k[:j].expand(j, *fz.shape, e.shape[-1])  # all m < j at once
        without_j = torch.lerp(first, second, where_equal(first[1], k[j]))
        s, c = torch.lerp(without_j.unsqueeze(1), second.unsqueeze(1), where_equal(without_j[1], m))  # nor m: [j, …]
        s_m, s_j = pi[:j] / e[j], pi[j] / e[:j]
        c.lerp_(m, torch.gt(s_m, s, out=torch.empty_like(s)))
        c.lerp_(k[j], torch.gt(s_j, torch.maximum(s, s_m), out=s))
        difference[j, :j] = difference[:j, j] = problem.difference(problem.f_of_classes(c), fz)
    return difference


def best_two(s: Tensor, k: Tensor) -> list[Tensor]:
    """The greatest two of the positive scores s [K, …], which are overwritten, each with its class k: [2, …]."""
    found = []
    for _ in range(2):
        top = s.amax(0)
        hit = where_equal(s, top)
        found.append(torch.stack((top, (hit * k).amax(0))))
        s.addcmul_(hit, s, value=-1)
    return found


def where_equal(a: Tensor, b: Tensor) -> Tensor:
    """1[a = b], of the type of a and the shape of the larger."""
    return torch.eq(a, b, out=torch.empty_like(b if b.ndim > a.ndim else a, memory_format=torch.contiguous_format))
