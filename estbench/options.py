"""Options that are numbers: those of Python, numpy and torch, and nothing else that Python would turn into one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

import torch
from pydantic import dataclasses as pydantic

from estbench.errors import UsageError

__all__ = ["dataclass", "demand_constant", "number", "plain"]

T = TypeVar("T")

LEARNED = (
    "{0} requires a gradient, and gets none: an estimate is a gradient of the logits alone; give a number, or "
    "{0}.detach()"
)
TEMPERATURE = "; to learn the temperature of a relaxation, take F.gumbel_softmax or RelaxedBernoulli of torch"


def number(value: Any, name: str) -> float:
    """A number, also of numpy, or a tensor or array of one, as an int or a float.

    UsageError for a tensor that requires a gradient, which it would not get, and for anything else: truth values, text,
    several numbers.
    """
    if type(value) is float:
        return value
    demand_constant(value, name)
    one = value
    with suppress(AttributeError, ValueError, RuntimeError):  # it is none of numpy or torch, or several numbers
        one = value.item()
    if isinstance(one, Real) and not isinstance(one, bool):
        with suppress(OverflowError):
            found = float(one)
            return int(one) if isinstance(one, Integral) else found
    shape = getattr(value, "shape", ())
    raise UsageError(f"{name} must be a number, got {list(shape) if shape else repr(value)[:80]}")


def plain(value: Any, name: str) -> Any:
    """Numbers of numpy and torch as those of Python, or as lists of them; UsageError for anything else."""
    demand_constant(value, name)
    if not hasattr(value, "tolist"):
        raise UsageError(f"{name} must be a number, text or a list of such, got a {type(value).__name__}")
    return value.tolist()


def demand_constant(value: Any, name: str) -> None:
    """UsageError for a tensor that requires a gradient."""
    if getattr(value, "requires_grad", False) and torch.is_grad_enabled():
        raise UsageError(LEARNED.format(name) + TEMPERATURE * (name == "temperature"))


if TYPE_CHECKING:
    from pydantic.dataclasses import dataclass
else:

    def dataclass(**settings: Any) -> Callable[[type[T]], type[T]]:
        """A pydantic dataclass whose fields are options: those that may be numbers take a `number`, or a word."""

        def made(kind: type[T]) -> type[T]:
            kind = pydantic.dataclass(**settings)(kind)
            names = list(kind.__pydantic_fields__)
            numeric = frozenset(name for name in names if _is_number(kind.__pydantic_fields__[name].annotation))
            init = kind.__init__

            @wraps(init)
            def built(self: T, /, *args: Any, **options: Any) -> None:
                known = [_option(value, name, numeric) for name, value in zip(names, args, strict=False)]
                options = {name: _option(value, name, numeric) for name, value in options.items()}
                init(self, *known, *args[len(names) :], **options)

            kind.__init__ = built
            return kind

        return made


def _is_number(hint: Any) -> bool:
    """Whether an option is a number, or a word in its place: no other text, no list, no truth value."""
    parts = [hint, *(inner for part in get_args(hint) for inner in (part, *get_args(part)))]  # of unions, annotated
    types = {kind for part in parts if isinstance(kind := get_origin(part) or part, type)}
    return bool(types & {int, float}) and not types & {str, bool, tuple, list}


def _option(value: Any, name: str, numeric: frozenset[str]) -> Any:
    """The value of this option, a number of Python where it is one; what else it may not be pydantic says."""
    if type(value) is float or value is None:
        return value
    demand_constant(value, name)
    if name not in numeric:
        return value
    if not isinstance(value, str):
        return number(value, name)
    with suppress(ValueError):
        float(value)
        raise UsageError(f"{name} must be a number, got {value!r}: write it without quotes")
    return value  # a word, such as `fitted`
