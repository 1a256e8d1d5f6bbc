"""Gradients of the loss of a batch with respect to chosen parameters, seed by seed, and copies of one seed."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from estbench.errors import UsageError
from estbench.networks.base import Expect, Kind, OneLayer, loss

LOGITS = "logits"
ALL = "all"


def chosen(model: nn.Module, part: str) -> list[nn.Parameter]:
    """The parameters of a part of the network: `all`, or the name of a module or parameter; UsageError for another."""
    named = list(model.named_parameters())
    found = [p for name, p in named if part in (ALL, name) or name.startswith(f"{part}.")]
    if not found:
        known: dict[str, None] = dict.fromkeys([ALL, *([LOGITS] if isinstance(model, OneLayer) else [])])
        for name, _ in named:
            parts = name.split(".")
            known |= dict.fromkeys(".".join(parts[:i]) for i in range(1, len(parts) + 1))
        raise UsageError(f"the network has no {part!r}; it has {', '.join(known)}")
    return found


def demand(model: nn.Module, part: str) -> None:
    """UsageError unless the network has that part: parameters as `chosen` takes them, or the logits of one layer."""
    if part != LOGITS or not isinstance(model, OneLayer):
        chosen(model, part)


def copies(model: nn.Module, seed: int, replicates: int, dtype: torch.dtype = torch.float64) -> Any:
    """The network of one seed, so many times side by side: gradients with respect to a copy are one replicate's."""
    made = deepcopy(model).to(dtype)
    for parameter in made.parameters():
        parameter.data = parameter.data[seed : seed + 1].repeat(replicates, *[1] * (parameter.ndim - 1))
        parameter.grad = None
    return made


def gradients(model: Any, kind: Kind, part: str, x: Tensor, y: Tensor | None, expect: Expect) -> Tensor:
    """The gradient of the mean loss of a batch x [S, B, pixels], y [S, B], for each seed: [S, P].

    With `logits` for the part it is that with respect to the logits of all examples, P = B n.
    """
    if part == LOGITS:
        leaf = model.logits(x).detach().requires_grad_()
        each, of = expect(model.f(x, y), kind.of(leaf.flatten(2))) + model.rest(leaf), [leaf]
    else:
        each, of = loss(model, kind, x, y, expect), chosen(model, part)
    found = torch.autograd.grad(each.mean(1).sum(), of, materialize_grads=True)
    return torch.cat([g.flatten(1) for g in found], 1)
