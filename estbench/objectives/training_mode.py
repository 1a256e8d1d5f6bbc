"""Modules of torch that a function uses, and what in them is random or learns while they are in training mode."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

Layers = nn.modules.dropout._DropoutNd | nn.modules.batchnorm._NormBase | nn.RReLU
"""Layers whose value in training mode is random, or depends on the rest of the batch, or that change themselves."""


def modules_of(f: object) -> dict[str, nn.Module]:
    """The modules that a function is, is a method of, or mentions, by name; those of functions it mentions too."""
    found: dict[str, nn.Module] = {}
    seen: set[int] = set()
    todo: list[tuple[str, object]] = [("", f)]
    while todo:
        name, each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, nn.Module):
            found[name or type(each).__name__] = each
        elif isinstance(each, functools.partial):
            todo += [(name, part) for part in (each.func, *each.args, *each.keywords.values())]
        elif inspect.ismethod(each):
            todo += [(name or type(each.__self__).__name__, each.__self__), (name, each.__func__)]
        elif inspect.isfunction(each):
            with suppress(ValueError):  # a cell that is empty
                mentioned = inspect.getclosurevars(each)
                todo += [*mentioned.nonlocals.items(), *mentioned.globals.items()]
        elif hasattr(each, "__dict__") and not inspect.ismodule(each) and not inspect.isclass(each):
            todo += [(f"{name}.{part}".strip("."), value) for part, value in vars(each).items()]
    return found


def in_training_mode(f: object) -> str:
    """What of the modules of a function is in training mode, and the remedy; "" where nothing is."""
    parts = []
    for name, module in modules_of(f).items():
        layers = [
            f"{path or name} ({type(layer).__name__})"
            for path, layer in module.named_modules()
            if layer.training and isinstance(layer, Layers)
        ]
        if layers:
            parts.append(f"{name} is in training mode, with {', '.join(layers[:3])}: call .eval() on it first")
    return "; ".join(parts)


@contextmanager
def buffers_kept(f: object) -> Iterator[None]:
    """Whatever a function is asked in here, the buffers of its modules are as before afterwards."""
    kept: list[tuple[Tensor, Any]] = [
        (buffer, buffer.detach().clone()) for module in modules_of(f).values() for buffer in module.buffers()
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in kept:
                buffer.copy_(before)
