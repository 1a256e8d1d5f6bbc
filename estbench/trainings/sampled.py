"""Sampled gradients of a batch: replicates are copies of one network side by side, each with noise of its own."""

from __future__ import annotations


import torch
from torch import Tensor, nn

from estbench.moments import Floats, moments
from estbench.networks.base import Expect
from estbench.networks.gradients import chosen, copies, gradients


def shard(
    model: nn.Module,
    x: Tensor,
    y: Tensor | None,
    part: str,
    expect: Expect,
    true: Tensor,
    replicates: int,
    seed: int = 0,
) -> Floats:
    """The packed record [1, 8 + 3P] of so many replicates of the gradient of the batch x [B, pixels] at one seed.

    It takes any network and any parameters: each replicate is a training step of its own. `expect` draws the noise.
    """
    each = copies(model, seed, replicates)
    batch = x.double().expand(replicates, *x.shape)
    labels = None if y is None else y.expand(replicates, *y.shape)
    found = gradients(each, chosen(each, part), batch, labels, expect)
    packed: Floats = moments(found.unsqueeze(0), true).numpy()
    return packed


