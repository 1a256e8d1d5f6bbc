"""The global generators of random numbers, of torch, numpy and Python: seeded, put back, and watched."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from numpy.random import mtrand


def seed(*entropy: object) -> None:
    """Seed the global generators of torch, numpy and Python from numbers and texts."""
    number = int.from_bytes(sha256(repr(entropy).encode()).digest()[:8], "big")
    torch.default_generator.manual_seed(number >> 1)
    if _cuda():
        torch.cuda.manual_seed_all(number >> 1)
    np.random.seed([number >> 32, number & 0xFFFFFFFF])
    random.seed(number)


def _cuda() -> bool:
    """Whether CUDA is in use: asking for its generators would begin it."""
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call] # of torch


def generators() -> Callable[[], None]:
    """Note their states; what puts them back."""
    of_torch, of_numpy, of_python = torch.get_rng_state(), _replaced_in_numpy(), random.getstate()
    of_cuda = torch.cuda.get_rng_state_all() if _cuda() else None

    def restore() -> None:
        torch.set_rng_state(of_torch)
        of_numpy()
        random.setstate(of_python)
        if of_cuda is not None:
            torch.cuda.set_rng_state_all(of_cuda)

    return restore


_SPARE: list[Any] = []
"""Generators of numpy that no call draws from at present: making one takes as long as all else that a call needs."""


def _replaced_in_numpy() -> Callable[[], None]:
    """Let numpy draw from another generator; what puts its own back, which numpy reads and writes word by word."""
    own, state = mtrand.get_bit_generator(), np.random.get_state(legacy=False)
    ours = _SPARE.pop() if _SPARE else np.random.MT19937()
    mtrand.set_bit_generator(ours)

    def restore() -> None:
        mtrand.set_bit_generator(own)
        if state["has_gauss"]:  # the second of two normal numbers is kept beside the generator
            np.random.set_state(state)
        _SPARE.append(ours)

    return restore


def next_numbers() -> tuple[float, float, float]:
    """The next numbers of torch's, numpy's and Python's global generators: others once one of them was used."""
    return float(torch.rand((), dtype=torch.float64, device="cpu")), np.random.random(), random.random()  # noqa: S311 # no secret


def states_beside_torch() -> object:
    """The states of numpy's and Python's global generators: equal where nothing was drawn in between."""
    state = np.random.get_state(legacy=False)
    words = [each.tobytes() if isinstance(each, np.ndarray) else each for each in state["state"].values()]
    return random.getstate(), words, state["has_gauss"], state["gauss"]


def generator(kind: str, number: int, device: torch.device) -> Any:
    """A generator of its own that is seeded with a number: "torch", "numpy", or a key of "jax"."""
    if kind == "torch":
        return torch.Generator(device).manual_seed(number)
    if kind == "numpy":
        return np.random.default_rng(number)
    return importlib.import_module("jax").random.PRNGKey(number % 2**32)
