"""Many calls of one function: all at once where that gives the same, else one after the other."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor

from estbench.adapters import gradient, loss, sampler
from estbench.adapters.evaluation import Evaluation
from estbench.adapters.function import Function, of_the_function, seeded
from estbench.adapters.gradient import Array
from estbench.adapters.replay import rows_agree
from estbench.adapters.signature import Form
from estbench.problem import Evaluations, Problem

Way = Literal["batch", "vmap", "flat", "loop"]
"""How a function is called for many estimates: with an axis for them, by `torch.vmap`, in one list, or one by one."""

WAYS: dict[Way, str] = {
    "batch": "called once for many estimates, with an axis for them in front: equal to single calls",
    "vmap": "called once for many estimates by torch.vmap: equal to single calls",
    "flat": "called once for the rewards of many estimates in one list, group by group: equal to single calls",
    "loop": "called once for each estimate: a call for many at once fails, or gives something else",
}

_ROWS = (23, 12)
"""Numbers of rows on which ways are compared: a function may treat odd and even lengths, or multiples, differently."""


def lengths(*others: int) -> list[int]:
    """Numbers of rows of a trial, the largest first, none of which is another length of the problem.

    One is odd and one is even.
    """
    return [next(n for n in range(rows, 4 * rows, 2) if n not in others) for rows in _ROWS]


@dataclass(frozen=True, eq=False)
class Calls:
    """A function of the first three forms on one problem: gradients of so many samples each.

    `random`: whether other seeds give other gradients. Where they do not, equal logits are asked for once.
    """

    function: Function
    form: Form
    array: Array
    problem: Problem
    samples: int
    random: bool = True

    def gradients(self, logits: Tensor, number: int) -> Tensor:
        """One estimate for each of the logits [M, D(, K)], like them; f and ∇f are counted in the problem."""
        if len(logits) == 1:
            with seeded(number):
                return self._one(self.problem, number)(logits[0]).unsqueeze(0)
        if not self.random and (found := self._fixed(logits, number)) is not None:
            return found
        way = self.way()
        if way == "loop":
            with seeded(number):
                one = self._one(self.problem, number)
                return torch.stack([one(each) for each in logits])
        alone, together = (replace(self.problem, evaluations=Evaluations()) for _ in range(2))
        with seeded(number):  # f of what all estimates share is asked for once in the call for many
            self._one(alone, number)(logits[0])
        self._count(alone, len(logits))
        with seeded(number):
            return (self._one if way == "batch" else self._many)(together, number)(logits)

    def _fixed(self, logits: Tensor, number: int) -> Tensor | None:
        """What single calls give of a function without random numbers; None where it makes some at these logits."""
        every, which = torch.unique(logits.flatten(1), dim=0, return_inverse=True)
        found = []
        for i, each in enumerate(every):
            counted, times = replace(self.problem, evaluations=Evaluations()), int((which == i).sum())
            with seeded(number):
                found.append(self._one(counted, number)(each.view(logits.shape[1:])))
            with seeded(number + 1):
                again = self._one(replace(self.problem, evaluations=Evaluations()), number + 1)
                if not torch.equal(found[-1], again(each.view(logits.shape[1:]))):
                    return None
            self._count(counted, times)
        return torch.stack(found)[which]

    def _count(self, one: Problem, times: int) -> None:
        """Count what one call has asked of f, so many times."""
        self.problem.evaluations.f += one.evaluations.f * times
        self.problem.evaluations.df += one.evaluations.df * times

    def way(self) -> Way:
        """The first way that gives what single calls give, on the same random numbers and at other logits."""
        d = self.problem.distribution
        return _way(self.function, self.form, self.array, _Same(self.problem), self.samples, d.event_shape)

    def _one(self, problem: Problem, number: int) -> Callable[[Tensor], Tensor]:
        return self._made(problem, number, lambda call: call)

    def _many(self, problem: Problem, number: int) -> Callable[[Tensor], Tensor]:
        return self._made(problem, number, lambda call: torch.vmap(call, randomness="different"))

    def _made(self, problem: Problem, number: int, over: Callable[[Any], Any]) -> Callable[[Tensor], Tensor]:
        """From logits to gradients, of the function or of a function made of it; UserCodeError for what it raises."""
        function, names = self.function, self.function.parameters
        others: dict[str, Any] = {}
        if names.f is not None:
            others[names.f] = Evaluation(problem)
        if names.samples is not None:
            others[names.samples] = self.samples
        generators = _generators(function, number, problem.distribution.logits.device)

        def call(logits: Any) -> Any:
            return function(logits, {**others, **next(generators)})

        def made(x: Tensor) -> Tensor:
            with of_the_function():
                if self.form == "sampler":
                    return sampler.gradient(over(call), problem, x)
                if self.form == "loss":
                    return loss.gradient(over(call), problem.distribution.event_dim, x)
                return gradient.gradient(over(call), self.array, x)

        return made

    def found_way(self) -> Way:
        """The same, not kept."""
        if self.array in ("numpy", "jax"):
            return "loop"
        d = self.problem.distribution
        rows = lengths(*d.event_shape, self.samples)
        x = d.logits.new_tensor(range(rows[0])).view(-1, *[1] * d.event_dim) * 0.618
        spread = torch.arange(float(self.problem.numbers)).view(d.event_shape).to(x) * 0.381
        x = 0.05 + 0.9 * ((x + spread) % 1)  # inside (0, 1), as the link identity wants it
        trial = replace(self, function=replace(self.function, target=_twin(self.function.target)))
        one = trial._one(self.problem, 0)
        ways: tuple[tuple[Way, Callable[[Tensor], Tensor]], ...] = (
            ("batch", one),
            ("vmap", trial._many(self.problem, 0)),
        )
        if not trial._repeats(x[0]):  # vmap would leave tensors of its own in what is kept between calls
            return "loop"
        with seeded(0):
            return next((way for way, many in ways if all(rows_agree(many, one, x[:n]) for n in rows)), "loop")

    def _repeats(self, logits: Tensor) -> bool:
        """Whether two calls with the same seed give the same, as those of a function do that keeps no state."""
        found = []
        for _ in range(2):
            with seeded(0):
                found.append(self._one(self.problem, 0)(logits))
        return torch.equal(*found)


def _twin(target: Any) -> Any:
    """A copy of an object that is called, whose state is not to be that of trials; a function or a class is itself."""
    if inspect.isroutine(target) or inspect.isclass(target):
        return target
    try:
        return copy.deepcopy(target)
    except Exception:  # it holds something that cannot be copied
        return target


def _generators(function: Function, number: int, device: torch.device) -> Iterator[Mapping[str, Any]]:
    """A generator for each call, where the function takes one."""
    names = function.parameters.generator
    if names is None or names[1] != "jax":
        same = function.given(number, device)
        while True:
            yield same
    call = 0
    while True:
        yield function.given(number + call, device)
        call += 1


@dataclass(frozen=True)
class _Same:
    """A problem that stands for all that have the same objective, and the same kind of variables."""

    problem: Problem

    def __hash__(self) -> int:
        return hash((self._calls_like, type(self.problem.distribution)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Same):
            return False
        one, two = self.problem, other.problem
        return self._calls_like == other._calls_like and type(one.distribution) is type(two.distribution)

    @property
    def _calls_like(self) -> object:
        """What is equal for objectives that can be called in the same way: by default the objective itself."""
        return getattr(self.problem.objective, "calls_like", id(self.problem.objective))


@lru_cache(maxsize=64)
def _way(function: Function, form: Form, array: Array, same: _Same, samples: int, event_shape: tuple[int, ...]) -> Way:
    del event_shape
    p = same.problem
    first = p.distribution.logits.reshape(-1, *p.distribution.event_shape)[0]
    alone = Problem(p.distribution.with_logits(first), p.objective)
    return Calls(function, form, array, alone, samples).found_way()
