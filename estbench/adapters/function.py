"""A function of a user, ready to be called: its options, and what else it is given."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor

from estbench.adapters.gradient import ARRAYS, Array
from estbench.adapters.signature import TEMPERATURES, Parameters, callable_of
from estbench.draws import Draw
from estbench.isolation import Isolated, UserCodeError, generator, reason

STREAM = "adapted function"
"""The stream of a draw that generators are seeded from."""


@dataclass(frozen=True, eq=False)
class Function:
    """A target with its parameters, and values of its options."""

    target: Any
    parameters: Parameters
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, first: Any, others: Mapping[str, Any]) -> Any:
        """Call it with the logits or the rewards, and with others by the names of its parameters."""
        found = self.parameters
        values = {found.first: first, **self.options, **others}
        call: Callable[..., Any] = callable_of(self.target)
        if found.by_position is not None:
            return call(*(values[name] for name in found.by_position if name in values))
        alone = [values.pop(name) for name in found.positional_only if name in values]
        if found.first in values:
            return call(*alone, values.pop(found.first), **values)
        return call(*alone, **values)

    def given(self, number: int, device: torch.device) -> dict[str, Any]:
        """A seeded generator, where it takes one."""
        if self.parameters.generator is None:
            return {}
        name, kind = self.parameters.generator
        return {name: generator(kind, number, device)}

    @property
    def arrays(self) -> tuple[Array, ...]:
        """How it may take arrays, the likeliest first: code that names numpy or JAX, and not torch, is given these."""
        target = getattr(self.target, "func", self.target)
        code = getattr(target, "__code__", None) or getattr(getattr(target, "__call__", None), "__code__", None)  # noqa: B004
        words = set(code.co_names) if code is not None else set()
        for array, names in (("jax", {"jnp", "jax"}), ("numpy", {"np", "numpy"})):
            if words & names and "torch" not in words:
                return cast(Array, array), *(each for each in ARRAYS if each != array)
        return ARRAYS


def named(options: Mapping[str, Any], found: Parameters) -> dict[str, Any]:
    """Options by the names of the function's own parameters: what it calls tau is `temperature` in estbench."""
    own = next((name for name in TEMPERATURES if name in found.options), "temperature")
    return {own if name == "temperature" else name: value for name, value in options.items()}


def number_of(draw: Draw) -> int:
    """A number for seeds, from the draw's own noise: the same in any process, and another one in each block."""
    u: Tensor = draw.uniform(STREAM, per_replicate=True)
    return int(float(u.flatten()[0]) * 2**53)


@contextmanager
def of_the_function() -> Iterator[None]:
    """A context in which whatever is raised is an error of the function, a UserCodeError."""
    try:
        yield
    except UserCodeError:
        raise
    except Exception as error:
        raise UserCodeError(reason(error)) from error


@contextmanager
def seeded(number: int) -> Iterator[None]:
    """Fork the global generators of torch, numpy and Python, seeded with a number; what is thrown is an Exception."""
    with Isolated(STREAM, number), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop")  # of torch.vmap, about single operations
        with torch.enable_grad():
            yield
