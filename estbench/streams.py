"""Streams of uniform random numbers, of which all noise is made. No other module draws random numbers for estimates.

There is one stream per (seed, problem, shard, stream name, shape), so what an estimator sees does not depend on which
other estimators run, in what order, on how many workers, or after a resume. A stream of the shape of one sample has its
seed from its name; one of another shape from its name and its shape.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import lru_cache
from hashlib import sha256
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


@lru_cache
def _tiny(dtype: torch.dtype) -> float:
    """A quarter of the distance from 1 to the next number: 1 − 2 of it is below 1."""
    return torch.finfo(dtype).eps / 4


_Reader = tuple[str, tuple[int, ...], str]


class Streams:
    """The named streams of uniforms of some shards of one problem, read block by block.

    On the CPU numbers come from numpy's SFC64: twice as fast as torch's generator, and the same whether read at once or
    in pieces. On an accelerator they are made there, by one torch generator per stream and job.
    """

    def __init__(self, seed: int, problem: str, shards: range, device: str = "cpu") -> None:
        self._entropy = (seed, _number(problem))
        self._shards = shards
        self._device = torch.device(device)
        self._generators: dict[_Reader, list[np.random.Generator]] = {}
        self._device_generators: dict[_Reader, torch.Generator] = {}
        self.reads = 0

    def again(self) -> Streams:
        """The same streams, from their beginning."""
        twin = copy(self)
        twin._generators, twin._device_generators, twin.reads = {}, {}, 0
        return twin

    @property
    def in_pieces(self) -> bool:
        """Whether what is read in pieces is what is read at once."""
        return self._device.type == "cpu"

    def uniform(
        self, name: str, rows: int, *shape: int, dtype: torch.dtype = torch.float64, reader: str = ""
    ) -> Tensor:
        """The next `rows` rows of every shard, one shard after the other: [shards · rows, *shape], inside (0, 1).

        Rows of another shape, and those of another `reader`, are read from the beginning of the stream.
        """
        self.reads += 1
        total, key, tiny = (len(self._shards) * rows, *shape), (name, shape, reader), _tiny(dtype)
        if self._device.type != "cpu":
            if key not in self._device_generators:
                self._device_generators[key] = self._device_generator(name)
            made = torch.rand(total, generator=self._device_generators[key], device=self._device, dtype=dtype)
            return made.clamp_(tiny, 1 - 2 * tiny)
        if key not in self._generators:
            self._generators[key] = [self._generator(name, shard) for shard in self._shards]
        u = np.empty(total)
        for i, generator in enumerate(self._generators[key]):
            generator.random(out=u[i * rows : (i + 1) * rows])
        uniforms = torch.from_numpy(u).clamp_(min=_tiny(torch.float64))  # 0 does occur, and its logarithm is infinite
        if dtype != torch.float64:
            uniforms = uniforms.to(dtype).clamp_(tiny, 1 - 2 * tiny)
        return uniforms

    def _generator(self, name: str, shard: int) -> np.random.Generator:
        return np.random.Generator(np.random.SFC64(np.random.SeedSequence((*self._entropy, shard, _number(name)))))

    def _device_generator(self, name: str) -> torch.Generator:
        sequence = np.random.SeedSequence((*self._entropy, self._shards.start, _number(name)))
        seed = int(sequence.generate_state(1, np.uint64)[0] >> 1)
        return torch.Generator(self._device).manual_seed(seed)


def _number(text: str) -> int:
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big")


class Uniforms(Protocol):
    """Where the uniforms of a draw come from; `reads` counts how often they were asked for."""

    reads: int

    def uniform(
        self, name: str, rows: int, *shape: int, dtype: torch.dtype = torch.float64, reader: str = ""
    ) -> Tensor:
        """Uniforms of a named stream inside (0, 1), [rows of all replicates, *shape]."""
        ...


class TorchStreams:
    """Uniforms of one torch generator, by default the global one of the device, as each training step goes on.

    Every read makes new numbers, whatever the name: a draw reads each of its streams once.
    """

    def __init__(self, device: torch.device, generator: torch.Generator | None = None) -> None:
        self._device, self._generator, self.reads = device, _global(device) if generator is None else generator, 0

    def uniform(
        self, name: str, rows: int, *shape: int, dtype: torch.dtype = torch.float64, reader: str = ""
    ) -> Tensor:
        """[rows, *shape], inside (0, 1)."""
        del name, reader
        self.reads += 1
        u, tiny = torch.empty(rows, *shape, device=self._device, dtype=dtype), _tiny(dtype)
        return u.uniform_(tiny, 1 - 2 * tiny, generator=self._generator)


def _global(device: torch.device) -> torch.Generator | None:
    """What `torch.manual_seed` seeds, by name where it has one: else torch.compile makes numbers of its own."""
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        return torch.cuda.default_generators[index]
    return torch.default_generator if device.type == "cpu" else None


def common_noise(device: torch.device, generator: torch.Generator | None) -> Callable[[], torch.Generator]:
    """Makes generators that all give the same numbers, from a seed that is drawn of `generator` now.

    They are independent of what `generator` gives before and after. A copy of its state would not be: it would repeat
    the noise of the samples themselves.
    """
    generator = _global(device) if generator is None else generator
    seed = int(torch.randint(2**62, (), generator=generator, device=device))
    return lambda: torch.Generator(device).manual_seed(seed)
