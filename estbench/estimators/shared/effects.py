"""What each variable alone does to f, the others held at the sample."""

from __future__ import annotations

import torch
from torch import Tensor

from estbench.draws import Draw


def effects(draw: Draw) -> Tensor:
    """f(z_{−d}, 1) − f(z_{−d}, 0), [R, N, D], or f(z_{−d}, e_k) − f(z), [R, N, D, K]: ∇f by finite differences.

    One variable at a time is turned through its other classes: D (K − 1) + 1 evaluations of f, that of f(z) among them.
    """
    z, turned, effect = draw.z, draw.z.clone(), torch.zeros_like(draw.z)
    if draw.distribution.event_dim == 1:  # a number has one effect, f at 1 less f at 0; one-hot has one for each class
        other = 1 - z
        for d in range(draw.problem.D):
            turned[:, :, d] = other[:, :, d]
            effect[:, :, d] = draw.problem.f(turned)
            turned[:, :, d] = z[:, :, d]
        return draw.problem.difference(effect, draw.fz.unsqueeze(-1), trailing=1).mul_(other.sub_(z))
    for d in range(draw.problem.D):
        c = z[:, :, d]
        for _ in range(draw.distribution.classes - 1):
            turned[:, :, d] = c = c.roll(1, -1)
            change = draw.problem.difference(draw.problem.f(turned), draw.fz)
            effect[:, :, d].addcmul_(change.unsqueeze(-1), c)
        turned[:, :, d] = z[:, :, d]
    return effect
