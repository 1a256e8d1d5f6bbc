"""Calls of a function of rewards: for many estimates at once where that gives the same, else one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from estbench.adapters.calls import Way, lengths
from estbench.adapters.evaluation import tensor
from estbench.adapters.function import Function, of_the_function, seeded
from estbench.adapters.gradient import Array, as_array
from estbench.adapters.signature import GROUPS, MASKS
from estbench.isolation import UserCodeError, next_numbers

OF_TOKENS = "token_level"


@dataclass(frozen=True)
class Groups:
    """A function of the rewards of groups: each group is one estimate, each of its samples has so many tokens."""

    function: Function
    tokens: int
    array: Array = "torch"
    _ways: dict[int, Way] = field(default_factory=dict)

    def one(self, rewards: Tensor, number: int) -> Tensor:
        """The advantages [N] or [N, T] of the rewards [N] of one group; numbers with which it is seeded differ."""
        with seeded(number):
            return self._of_one(rewards, number)

    def fixed_each(self, groups: Iterable[Tensor]) -> list[Tensor]:
        """The advantages of each of some groups, of a function that was found to make no random numbers."""
        with seeded(0):
            return [self._of_one(rewards, 0) for rewards in groups]

    def watched(self, rewards: Tensor, number: int) -> tuple[Tensor, bool]:
        """The same, and whether a global generator was used."""
        with seeded(number):
            return self._of_one(rewards, number), next_numbers() != _first_numbers(number)

    def many(self, rewards: Tensor, number: int) -> Tensor:
        """The advantages [R, N] or [R, N, T] of R groups."""
        way = self.way(rewards.shape[1])
        with seeded(number):
            return self._many(way, rewards, number)

    def fixed(self, rewards: Tensor) -> Tensor:
        """The same of a function that was found to make no random numbers; UserCodeError where it makes some here."""
        N = rewards.shape[1]
        way = self.way(N)
        with seeded(0):
            A = self._many(way, rewards, 0)
            if next_numbers() != _first_numbers(0):
                raise UserCodeError(f"it makes random numbers at N = {N}, and made none at the N at which it was tried")
        return A

    def _many(self, way: Way, rewards: Tensor, number: int) -> Tensor:
        if way == "batch":
            return self._batch(rewards, number)
        if way == "vmap":
            return self._vmap(rewards, number)
        if way == "flat":
            return self._flat(rewards, number)
        return torch.stack([self._of_one(r, number + i) for i, r in enumerate(rewards)])

    def way(self, N: int) -> Way:
        """The first way that gives what single calls give: rewards [R, N], one long list of R groups, or one by one."""
        if N not in self._ways:
            self._ways[N] = self._found_way(N)
        return self._ways[N]

    def _found_way(self, N: int) -> Way:
        if self.array != "torch":
            return "loop"
        rows = lengths(N, self.tokens)
        r = torch.sin(torch.arange(1.0, rows[0] * N + 1, dtype=torch.float64) * 2.4).view(rows[0], N)
        r[1::2] = r[1::2].round()  # with ties
        ways: tuple[tuple[Way, Callable[[Tensor, int], Tensor]], ...] = (
            ("batch", self._batch),
            ("vmap", self._vmap),
            ("flat", self._flat),
        )
        with seeded(0):
            alone = torch.stack([self._of_one(each, i) for i, each in enumerate(r)])
            return next((way for way, many in ways if all(_agree(many, r[:n], alone[:n]) for n in rows)), "loop")

    def _of_one(self, rewards: Tensor, number: int) -> Tensor:
        return self._called(rewards, len(rewards), (self.tokens,), number)

    def _batch(self, rewards: Tensor, number: int) -> Tensor:
        return self._called(rewards, rewards.shape[1], (self.tokens,), number)

    def _vmap(self, rewards: Tensor, number: int) -> Tensor:
        with of_the_function():
            found: Tensor = torch.vmap(lambda each: self._of_one(each, number))(rewards)
        return found

    def _flat(self, rewards: Tensor, number: int) -> Tensor:
        A = self._called(rewards.flatten(), rewards.shape[1], (self.tokens,), number)
        return A.view(*rewards.shape, *A.shape[1:])

    def _called(self, rewards: Tensor, N: int, tokens: tuple[int], number: int) -> Tensor:
        """The advantages, like the rewards or with an axis of tokens more.

        The rewards are given as they are, or per token, at the last one. What else the function takes is filled in by
        its name: masks are ones, the index tells the groups of N samples apart, the size of a group is N. UserCodeError
        for what it raises, and for anything but advantages.
        """
        function, shape = self.function, rewards.shape
        fills = {
            name: rewards.new_ones(*shape, *tokens)
            if name in MASKS
            else np.array([f"group {i // N}" for i in range(rewards.numel())], dtype=object).reshape(tuple(shape))
            if name in GROUPS
            else N
            for name in function.parameters.given
        }
        given = rewards.clone()
        if function.parameters.first.startswith(OF_TOKENS):
            given = rewards.new_zeros(*shape, *tokens)
            given[..., -1] = rewards
        with of_the_function():
            found = function(as_array(self.array, given), {**fills, **function.given(number, rewards.device)})
            if isinstance(found, tuple) and len(found):
                found = found[0]
            A = tensor(found, "advantages are an array").detach().to(rewards)
            if A.shape not in (shape, (*shape, *tokens)):
                allowed = " or ".join(str(list(s)) for s in (shape, (*shape, *tokens)))
                raise ValueError(f"advantages of rewards {list(shape)} have the shape {allowed}, not {list(A.shape)}")
        return A


@lru_cache(maxsize=8)
def _first_numbers(number: int) -> tuple[float, float, float]:
    """What the global generators make first where they are seeded with a number."""
    with seeded(number):
        return next_numbers()


def _agree(many: Callable[[Tensor, int], Tensor], rewards: Tensor, alone: Tensor) -> bool:
    try:
        found = many(rewards, 0)
    except UserCodeError:  # it takes no batch: whatever it raises says so
        return False
    size = float(alone.nan_to_num(0.0, 0.0, 0.0).abs().max())
    return found.shape == alone.shape and torch.allclose(found, alone, rtol=1e-9, atol=1e-9 * size, equal_nan=True)
