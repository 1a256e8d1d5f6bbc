"""Whether a function can be trained through: four evaluations before the first step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from estbench.errors import UsageError
from estbench.training.given import OVERWRITES, WRITES, version

MIXES = (
    "{what} mix: f of one changes with the others (batch normalisation in training mode does that), which biases every "
    "estimator that calls unbiased what it sees of f"
)

FEW = 16
"""Rows of which all are one-hot by chance less than once in 60 000 times."""


def check(f: Callable[[Tensor], Tensor], z: Tensor, *, event_dim: int | None = None) -> None:
    """Raise UsageError, with all that is found, where f does not treat each sample of each example by itself.

    Four evaluations, without gradients: at z twice (random numbers as of dropout, state), with other values in the
    first half of the examples (examples that mix, as by batch normalisation), and with other values in the other half
    and more samples before and after (another N, samples that mix). Each looks for writes into z, or into an earlier
    result, and for a wrong shape or type of the result.

    z  samples [*batch, N, D] or one-hot [*batch, N, D, K], best at the batch size of training and not all alike
    event_dim  1 for [D], 2 for [D, K]; by default found from z and the shape of the result

    Values that differ by 64 units of rounding of the largest count as equal. Where f draws random numbers on purpose,
    as a nested expectation does, check the inner function.
    """
    if not callable(f):
        raise UsageError(f"f must be a function of samples, got {type(f).__name__}")
    if not isinstance(z, Tensor) or not z.is_floating_point():
        got = z.dtype if isinstance(z, Tensor) else type(z).__name__
        raise UsageError(f"z must be a tensor of floating-point numbers, got {got}")
    value, faults = _evaluated(f, z)
    event_dim = event_dim or _event_dim(z, value)
    axis = z.ndim - event_dim - 1
    if axis < 0:
        raise UsageError(f"z must have the axis of samples: [*batch, N, D] or [*batch, N, D, K], got {list(z.shape)}")
    returned = _numbers(value, z, axis, faults)
    if returned is None:
        raise _refusal(faults)
    first = returned.clone()
    generators = _generators(z)
    again = _at(f, z, axis, faults)
    if again is None or not _same(again, first):
        drew = _generators(z) != generators
        faults.append(
            "two evaluations at the same z differ: f "
            + ("draws random numbers (dropout?)" if drew else "keeps state (a counter, a running mean?)")
            + "; estimators compare values of f, and this comes on top as noise"
        )
        raise _refusal(faults)
    other, batch, N = _others(z, event_dim), z.shape[:axis], z.shape[axis]
    early = (torch.arange(batch.numel(), device=z.device) < batch.numel() // 2).view(batch)
    kept, what = ~early, "the samples of an example"
    if early.any():
        value = _at(f, _where(kept, z, other), axis, faults)
        if value is None or _same(value[kept], first[kept]):
            kept, what = early, "the samples of an example, or examples,"
        else:
            faults.append(MIXES.format(what="examples"))
            kept = torch.ones_like(early)
    value = _at(f, torch.cat((other.narrow(axis, 0, 1), _where(kept, z, other), other), axis), axis, faults)
    if value is not None and not _same(value.narrow(axis, 1, N)[kept], first[kept]):
        faults.append(MIXES.format(what=what))
    if not _same(returned, first):
        faults.append(OVERWRITES)
    if faults:
        raise _refusal(faults)


def _event_dim(z: Tensor, value: object) -> int:
    """2 where all rows of z are one-hot and are many, or the shape of f says so."""
    if z.shape[-1] == 1 or not bool(((z == 0) | (z == 1)).all() & (z.sum(-1) == 1).all()):
        return 1
    return 2 if z[..., 0].numel() >= FEW or (isinstance(value, Tensor) and value.shape == z.shape[:-2]) else 1


def _at(f: Callable[[Tensor], Tensor], z: Tensor, axis: int, faults: list[str]) -> Tensor | None:
    """f(z), or None where the check cannot go on with it; what is wrong with it is added to the faults."""
    value, more = _evaluated(f, z)
    faults += more
    return _numbers(value, z, axis, faults)


def _evaluated(f: Callable[[Tensor], Tensor], z: Tensor) -> tuple[object, list[str]]:
    given = z.clone()
    before = version(given)
    with torch.no_grad():
        value = f(given)
    untouched = torch.equal(given, z) and version(given) == before
    return value, [] if untouched else [WRITES]


def _numbers(value: object, z: Tensor, axis: int, faults: list[str]) -> Tensor | None:
    wanted = z.shape[: axis + 1]
    if not isinstance(value, Tensor):
        faults.append(f"f returns a {type(value).__name__}, not a tensor")
    elif value.shape != wanted:
        faults.append(f"f must return {list(wanted)} for z of {list(z.shape)}, got {list(value.shape)}")
    elif not value.is_floating_point():
        faults.append(f"f returns {value.dtype}, not floating-point numbers")
    else:
        return value
    return None


def _same(a: Tensor, b: Tensor) -> bool:
    """Whether they differ by rounding alone: products differ with the size of the batch."""
    least = 64 * torch.finfo(a.dtype).eps
    scale = float(b.detach().abs().nan_to_num().max()) if b.numel() else 0.0
    return torch.allclose(a.double(), b.double(), rtol=0.0, atol=least * scale, equal_nan=True)


def _where(kept: Tensor, z: Tensor, other: Tensor) -> Tensor:
    """The samples z of examples that are kept [*batch], and others of the rest."""
    return torch.where(kept.view(*kept.shape, *[1] * (z.ndim - kept.ndim)), z, other)


def _others(z: Tensor, event_dim: int) -> Tensor:
    """Other samples: every number, or class, is another one."""
    return z.roll(1, -1) if event_dim == 2 else 1 - z  # a function of one's own comes without its distribution


def _generators(z: Tensor) -> list[bytes]:
    """The states of the global generators that f may draw from."""
    states = [torch.get_rng_state()]
    if z.device.type == "cuda":
        states.append(torch.cuda.get_rng_state(z.device))
    return [state.numpy().tobytes() for state in states]


def _refusal(faults: list[str]) -> UsageError:
    return UsageError("f cannot be trained through as it is: " + "; ".join(dict.fromkeys(faults)))
