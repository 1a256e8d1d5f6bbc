"""Whether a network of one's own keeps the contract: two seeds, three examples and two samples, tried once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from estbench.errors import UsageError
from estbench.networks.base import (
    Drawn,
    Kind,
    Layered,
    Network,
    OneLayer,
    WithBound,
    WithLikelihood,
    exactly,
    minus_log_mean,
)
from estbench.networks.data import Images
from estbench.problem import Problem

_SEEDS, _EXAMPLES, _SAMPLES = 2, 3, 2


def tried(network: Network, images: Images, kind: Kind) -> None:
    """Build two networks and call each member of the contract; UsageError says where it departs from `base`."""
    name = type(network).__name__
    model = _built(network, images, kind)
    x = images.train[:_EXAMPLES].expand(_SEEDS, -1, -1)
    y = None if images.train_labels is None else images.train_labels[:_EXAMPLES].expand(_SEEDS, -1)
    batch = (_SEEDS, len(images.train[:_EXAMPLES]))
    if isinstance(model, OneLayer):
        _one_layer(name, model, kind, x, y, batch)
    elif isinstance(model, Layered):
        _expect_shape(f"{name}: loss", model.loss(x, y, exactly), batch)
    else:
        has = [each for each in ("logits", "f", "rest") if hasattr(model, each)]
        lacks = [each for each in ("logits", "f", "rest") if not hasattr(model, each)]
        raise UsageError(
            f"{name}.build: the model has {', '.join(has) or 'none'} of logits, f and rest, and lacks "
            f"{', '.join(lacks)}; one with several layers has `layers` and `loss` (estbench/networks/base.py)"
        )
    if isinstance(model, WithBound):
        _bound(name, model, x, y, batch)


def tried_drawn(network: Network, images: Images, kind: Kind) -> None:
    """The same of a network whose examples are drawn: see `base.Drawn`."""
    name, S, n = type(network).__name__, _SEEDS, _EXAMPLES
    model = _built(network, images, kind)
    named: dict[str, Tensor] = dict(model.named_parameters())
    if not isinstance(model, Drawn):
        raise UsageError(f"{name} says draws_examples, and its model is no `Drawn` (estbench/networks/base.py)")
    if model.part not in named:
        raise UsageError(f"{name}: part is the name of a parameter: {', '.join(named)}; got {model.part!r}")
    _expect_shape(f"{name}: mean_loss", model.mean_loss(), (S,))
    _expect_all(f"{name}: gradients", model.gradients(), {of: tuple(p.shape) for of, p in named.items()})
    problem = model.examples(n, torch.Generator().manual_seed(0))
    if not isinstance(problem, Problem) or problem.jacobian is None:
        raise UsageError(f"{name}: examples must give an estbench.problem.Problem with a Jacobian")
    logits = tuple(problem.distribution.logits.shape)
    if logits != (S * n, *kind.event):
        raise UsageError(
            f"{name}: examples: logits of {n} examples of {S} networks are {[S * n, *kind.event]}, got {list(logits)}"
        )
    P = named[model.part][0].numel()
    if problem.parameters != P:
        raise UsageError(
            f"{name}: examples: the Jacobian is that of {model.part}, {P} numbers, got {problem.parameters}"
        )
    rest = {of: (S * n, *p.shape[1:]) for of, p in named.items() if of != model.part}
    _expect_all(f"{name}: others", model.others(problem), rest)


def _expect_all(what: str, found: Any, shapes: dict[str, tuple[int, ...]]) -> None:
    if lacks := [of for of in shapes if not isinstance(found, dict) or of not in found]:
        raise UsageError(f"{what} lacks {', '.join(lacks)}")
    for of, shape in shapes.items():
        _expect_shape(f"{what}: {of}", found[of], shape)


def _built(network: Network, images: Images, kind: Kind) -> Any:
    """Two networks side by side."""
    name = type(network).__name__
    model: Any = network.build(images, kind, [torch.Generator().manual_seed(s) for s in range(_SEEDS)])
    if not isinstance(model, nn.Module):
        raise UsageError(f"{name}.build must give a torch.nn.Module, and gives '{type(model).__name__}'")
    named = dict(model.named_parameters())
    if not named:
        raise UsageError(f"{name}.build: the model has no parameters")
    for parameter, values in named.items():
        if values.ndim < 1 or len(values) != _SEEDS:
            raise UsageError(
                f"{name}.build: parameter {parameter} must have an axis of the seeds first, here {_SEEDS}, and has the "
                f"shape {list(values.shape)} (estbench.networks.layers has layers with that axis)"
            )
    return model


def _one_layer(name: str, model: OneLayer, kind: Kind, x: Tensor, y: Tensor | None, batch: tuple[int, ...]) -> None:
    logits = model.logits(x)
    flat = (*batch, kind.numbers)
    if not isinstance(logits, Tensor) or tuple(logits.shape) not in ((*batch, *kind.event), flat):
        raise UsageError(f"{name}: logits must have the shape {[*batch, *kind.event]}, and have {_shape(logits)}")
    _expect_shape(f"{name}: rest", model.rest(logits), batch)
    states = kind.of(logits.flatten(2)).states().to(logits)[:_SAMPLES]
    f = model.f(x, y)
    values = f(states.expand(*batch, *states.shape))
    _expect_shape(f"{name}: f", values, (*batch, len(states)))
    if hasattr(f, "of_states"):
        _expect_shape(f"{name}: f.of_states", f.of_states(states), (*batch, len(states)))
        if not torch.allclose(f.of_states(states), values, rtol=1e-3, atol=1e-4):
            raise UsageError(f"{name}: f.of_states gives other values than f at the same states")
    alone = model.f(x[:, :1], None if y is None else y[:, :1])(states.expand(batch[0], 1, *states.shape))
    if not torch.allclose(alone, values[:, :1], rtol=1e-3, atol=1e-4):
        raise UsageError(f"{name}: f of an example depends on the others of its batch; is there batch normalisation?")


def _bound(name: str, model: Any, x: Tensor, y: Tensor | None, batch: tuple[int, ...]) -> None:
    with torch.no_grad():
        summed = model.importance_weighted(x, y, minus_log_mean)
        _expect_shape(f"{name}: importance_weighted", summed, batch)
        if not isinstance(model, WithLikelihood):
            return
        nll = model.minus_log_likelihood(x, y)
    if not torch.allclose(summed, nll, rtol=1e-3, atol=1e-4):
        raise UsageError(
            f"{name}: importance_weighted, with all states in the place of samples, must be minus_log_likelihood; is f "
            "−log p(x, z)/q(z | x), and expect called with q?"
        )


def _expect_shape(what: str, found: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(found, Tensor) or tuple(found.shape) != shape:
        raise UsageError(f"{what} must have the shape {list(shape)}, and has {_shape(found)}")


def _shape(found: Any) -> str:
    return str(list(found.shape)) if isinstance(found, Tensor) else f"none: it is of type '{type(found).__name__}'"
