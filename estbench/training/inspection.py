"""Whether a function can be trained through: four evaluations before the first step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor

from estbench.errors import UsageError
from estbench.isolation import reason
from estbench.rounding import Coarsest, between_batches
from estbench.training.given import OVERWRITES, WRITES, version

MIXES = (
    "{what} mix: f of one changes with the others (batch normalisation in training mode does that), which biases every "
    "estimator that calls unbiased what it sees of f"
)

UNSEEN = "None of the inputs have requires_grad=True"
"""What `torch.utils.checkpoint` warns of with use_reentrant=True; without gradients it warns of it everywhere."""

REENTRANT = (
    "torch.utils.checkpoint with use_reentrant=True gives what it wraps no gradient where the samples require none, as "
    "with all estimators that want values of f alone; say use_reentrant=False"
)

FEW = 16
"""Rows of which all are one-hot by chance less than once in 60 000 times."""


def check(f: Callable[[Tensor], Tensor], z: Tensor, *, samples: int | None = 1, event_dim: int | None = None) -> None:
    """Raise UsageError, with all that is found, where f does not treat each sample of each example by itself.

    Four evaluations, without gradients: at z twice (random numbers as of dropout, state), with other values in the
    first half of the examples (examples that mix, as by batch normalisation), and with other values in the other half
    and more samples before and after (another N, samples that mix). Each looks for writes into z, or into an earlier
    result, and for a wrong shape or type of the result. What torch raises on a shape is said with the shape that f got.
    Where `torch.utils.checkpoint` warns that it stops gradients, a fifth evaluation, with gradients, confirms it.

    z  samples [*batch, N, D] or one-hot [*batch, N, D, K], best at the batch size of training and not all alike
    samples    None, as in `expectation`, where f has no axis of samples: z is [*batch, D] or [*batch, D, K]
    event_dim  1 for [D], 2 for [D, K]; by default found from z and the shape of the result

    Values that differ by 100 units of rounding of the largest, or in half and bfloat16 by half of their digits, count
    as equal. The unit is that of the coarsest type in which f computes, whatever the types of z and of its values are.
    Where f draws random numbers on purpose, as a nested expectation does, check the inner function.
    """
    if not callable(f):
        raise UsageError(f"f must be a function of samples, got {type(f).__name__}")
    if not isinstance(z, Tensor) or not z.is_floating_point():
        got = z.dtype if isinstance(z, Tensor) else type(z).__name__
        raise UsageError(f"z must be a tensor of floating-point numbers, got {got}")
    faults = list[str]()
    has_axis = samples is not None
    value, warned = _evaluated(f, z, z.ndim - (event_dim or _event_dim(z, None)) - 1 if has_axis else None, faults)
    event_dim = event_dim or _event_dim(z, value)
    leading = z.ndim - event_dim
    if leading < has_axis:
        raise UsageError(f"z must have the axis of samples: [*batch, N, D] or [*batch, N, D, K], got {list(z.shape)}")
    axis = leading - 1 if has_axis else None
    returned = _numbers(value, z, leading, faults)
    if returned is None:
        raise _refusal(faults)
    first = returned.clone()
    generators = _generators(z)
    N = 0 if axis is None else z.shape[axis]
    coarsest = Coarsest()
    at = partial(_at, f, leading, axis, faults, N)
    again = at(z, coarsest)
    least = between_batches(max(coarsest.eps, torch.finfo(first.dtype).eps))
    if again is None or not _same(again, first, least):
        drew = _generators(z) != generators
        faults.append(
            "two evaluations at the same z differ: f "
            + ("draws random numbers (dropout?)" if drew else "keeps state (a counter, a running mean?)")
            + "; estimators compare values of f, and this comes on top as noise"
        )
        raise _refusal(faults)
    for what in _mixing(at, z, _others(z, event_dim), first, axis, least):
        faults.append(MIXES.format(what=what))
    if not _same(returned, first, least):
        faults.append(OVERWRITES)
    if warned and _evaluated(f, z, axis, [], gradients=True)[1]:
        faults.append(REENTRANT)
    if faults:
        raise _refusal(faults)


def _event_dim(z: Tensor, value: object) -> int:
    """2 where all rows of z are one-hot and are many, or the shape of f says so."""
    if z.ndim == 1 or z.shape[-1] == 1 or not bool(((z == 0) | (z == 1)).all() & (z.sum(-1) == 1).all()):
        return 1
    return 2 if z[..., 0].numel() >= FEW or (isinstance(value, Tensor) and value.shape == z.shape[:-2]) else 1


def _mixing(
    at: Callable[[Tensor], Tensor | None], z: Tensor, other: Tensor, first: Tensor, axis: int | None, least: float
) -> Iterator[str]:
    """What changes the values of an example that is not its own: examples, samples; `first` is f(z)."""
    batch = first.shape if axis is None else first.shape[:axis]
    early = (torch.arange(batch.numel(), device=z.device) < batch.numel() // 2).view(batch)
    kept, what = ~early, "the samples of an example"
    if early.any():
        value = at(_where(kept, z, other))
        if value is None or _same(value[kept], first[kept], least):
            kept, what = early, "examples" if axis is None else "the samples of an example, or examples,"
        else:
            yield "examples"
            kept = torch.ones_like(early)
    last = _where(kept, z, other)
    value = at(last if axis is None else torch.cat((other.narrow(axis, 0, 1), last, other), axis))
    if value is not None and axis is not None:
        value = value.narrow(axis, 1, z.shape[axis])
    if value is not None and not _same(value[kept], first[kept], least):
        yield what


def _at(
    f: Callable[[Tensor], Tensor],
    leading: int,
    axis: int | None,
    faults: list[str],
    N: int,
    z: Tensor,
    mode: AbstractContextManager[Any] | None = None,
) -> Tensor | None:
    """f(z), or None where the check cannot go on with it; what is wrong with it is added to the faults.

    leading: the axes of z that are not of one sample. N: what f was called with first. f is called under the mode.
    """
    return _numbers(_evaluated(f, z, axis, faults, N, mode)[0], z, leading, faults)


def _evaluated(
    f: Callable[[Tensor], Tensor],
    z: Tensor,
    axis: int | None,
    faults: list[str],
    N: int = 0,
    mode: AbstractContextManager[Any] | None = None,
    *,
    gradients: bool = False,
) -> tuple[object, bool]:
    """f(z), and whether `torch.utils.checkpoint` warned of gradients that it stops."""
    given = z.clone()
    before = version(given)
    with warnings.catch_warnings(record=True) as caught, torch.set_grad_enabled(gradients):
        warnings.filterwarnings("always", message=UNSEEN)
        try:
            with mode or nullcontext():
                value = f(given)
        except (RuntimeError, ValueError, IndexError) as error:
            if isinstance(error, UsageError | torch.cuda.OutOfMemoryError):
                raise
            raise _refusal([*faults, _raised(error, z, axis, N)]) from error
    unseen = [UNSEEN in str(w.message) for w in caught]
    for other in (w for w, of_checkpoint in zip(caught, unseen, strict=True) if not of_checkpoint):
        warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
    if not (torch.equal(given, z) and version(given) == before):
        faults.append(WRITES)
    return value, any(unseen)


def _raised(error: Exception, z: Tensor, axis: int | None, N: int) -> str:
    """What f got, what it raised, and what to do."""
    text = f"f got z of {list(z.shape)} and raised {reason(error)}"
    if axis is None or axis < 1:
        return text
    data = f"data of the examples need an axis for the samples, x.unsqueeze({axis})"
    if N and z.shape[axis] != N:
        return f"{text}; at N = {N} it did not, and it must take any N: {data}"
    return (
        f"{text}; {data}, and layers that take one batch axis, such as convolutions, want z.flatten(0, {axis}), with "
        f".unflatten(0, z.shape[:{axis + 1}]) of their result"
    )


def _numbers(value: object, z: Tensor, leading: int, faults: list[str]) -> Tensor | None:
    wanted = z.shape[:leading]
    if not isinstance(value, Tensor):
        faults.append(f"f returns a {type(value).__name__}, not a tensor")
    elif value.shape != wanted:
        faults.append(f"f must return {list(wanted)} for z of {list(z.shape)}, got {list(value.shape)}")
    elif not value.is_floating_point():
        faults.append(f"f returns {value.dtype}, not floating-point numbers")
    else:
        return value
    return None


def _same(a: Tensor, b: Tensor, least: float) -> bool:
    """Whether they differ by at most so much of the largest."""
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


def _refusal(faults: Sequence[str]) -> UsageError:
    return UsageError("f cannot be trained through as it is: " + "; ".join(dict.fromkeys(faults)))
