"""Layers of several networks side by side: the first axis of all parameters and inputs is the seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class Linears(nn.Module):
    """S linear maps, one for each seed: [S, n, i] to [S, n, o].

    Weights and biases are uniform on ±1/√i, as those of `torch.nn.Linear` are. Every seed has a stream of its own, so
    that the weights of one do not depend on how many there are.
    """

    def __init__(self, i: int, o: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([_uniform(i, (i, o), g) for g in generators]))
        self.bias = nn.Parameter(torch.stack([_uniform(i, (1, o), g) for g in generators]))

    def forward(self, h: Tensor) -> Tensor:
        """h W_s + b_s."""
        return torch.baddbmm(self.bias, h, self.weight)


def _uniform(i: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return (torch.rand(shape, generator=generator) * 2 - 1) / math.sqrt(i)


def mlp(sizes: Sequence[int], generators: Sequence[torch.Generator]) -> nn.Sequential:
    """Linear maps of these sizes with tanh between them, for each seed."""
    layers: list[nn.Module] = []
    for i, o in pairwise(sizes):
        layers += [Linears(i, o, generators), nn.Tanh()]
    return nn.Sequential(*layers[:-1])
