"""What each variable alone does to f, the others held at the sample."""

from __future__ import annotations

import torch
from torch import Tensor

from estbench.draws import Draw


def effects(draw: Draw) -> Tensor:
    """f(z_{−d}, 1) − f(z_{−d}, 0), [R, N, D], or f(z_{−d}, e_k) − f(z), [R, N, D, K]: ∇f by finite differences.

    One variable at a time is turned through its other classes: D (K − 1) + 1 evaluations of f, that of f(z) among them.
    """
    z, problem, distribution = draw.z, draw.problem, draw.distribution
    turned, effect, f = z.clone(), torch.zeros_like(z), z.new_empty(*z.shape[:2], problem.D)
    for other, direction in distribution.others(z):
        for d in range(problem.D):
            turned[:, :, d] = other[:, :, d]
            f[:, :, d] = problem.f(turned)
            turned[:, :, d] = z[:, :, d]
        change = problem.difference(f, draw.fz.unsqueeze(-1), trailing=1)
        effect.addcmul_(distribution.per_variable(change), direction)
    return effect
