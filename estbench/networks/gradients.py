"""Gradients of the loss of a batch with respect to chosen parameters, seed by seed, and copies of one seed."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from estbench.errors import UsageError
from estbench.networks.base import Expect


def chosen(model: nn.Module, part: str) -> list[nn.Parameter]:
    """The parameters of a part of the network: `all`, or the name of a module or parameter; UsageError for another."""
    named = list(model.named_parameters())
    found = [p for name, p in named if part == "all" or name == part or name.startswith(f"{part}.")]
    if not found:
        known = dict.fromkeys(name[: i + 1].rstrip(".") for name, _ in named for i, c in enumerate(name + ".") if c == ".")
        raise UsageError(f"parameters: the network has no {part!r}; it has all, {', '.join(known)}")
    return found


def copies(model: nn.Module, seed: int, replicates: int, dtype: torch.dtype = torch.float64) -> Any:
    """The network of one seed, so many times side by side: gradients with respect to a copy are one replicate's."""
    made = deepcopy(model).to(dtype)
    for parameter in made.parameters():
        parameter.data = parameter.data[seed : seed + 1].repeat(replicates, *[1] * (parameter.ndim - 1))
        parameter.grad = None
    return made


def gradients(model: Any, parameters: Sequence[nn.Parameter], x: Tensor, y: Tensor | None, expect: Expect) -> Tensor:
    """The gradient of the mean loss of a batch x [S, B, pixels], y [S, B], for each seed: [S, P]."""
    loss = model.loss(x, y, expect).mean(1).sum()
    found = torch.autograd.grad(loss, parameters, materialize_grads=True)
    return torch.cat([g.flatten(1) for g in found], 1)
