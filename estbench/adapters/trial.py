"""What is found out about a function before it is measured: by calling it on small problems of three variables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from typing import ClassVar, Literal

import torch
from torch import Tensor

from estbench.adapters.calls import WAYS, Calls
from estbench.adapters.function import Function
from estbench.adapters.gradient import Array
from estbench.adapters.groups import Groups
from estbench.adapters.signature import Form
from estbench.distributions import DISTRIBUTIONS
from estbench.errors import UsageError
from estbench.isolation import reason
from estbench.problem import Problem

LOGITS = {
    "bernoulli": [0.5, 0.3, 0.4],
    "categorical": [[0.5, 0.3, 0.4, -0.2], [0.2, 0.6, -0.1, 0.3], [0.0, 0.4, 0.7, 0.1]],
}
"""Where it is called. A threshold at 0 gives three ones, and an argmax over the variables a single one."""

CALLS = 16
SIZES = (1, 2, 3, 4, 5, 6, 8)
"""Numbers of samples that are tried until the estimate is finite."""

FURTHER = 4
"""By how many more samples it is tried, to see which numbers of samples it takes."""


@dataclass(frozen=True, eq=False)
class Watching:
    """A function of three variables that keeps the samples it was asked for: sin Σ_d (d + ½ k_d)."""

    seen: list[Tensor] = field(default_factory=list)
    on: ClassVar[Literal["one-hot"]] = "one-hot"
    distributions = frozenset(DISTRIBUTIONS)

    def value(self, z: Tensor) -> Tensor:
        """f(z), [..., 3] or [..., 3, 4] to [...]."""
        self.seen.append(z.detach())
        axes = z.ndim - 1 if z.shape[-1] == 3 else z.ndim - 2
        flat = z.reshape(*z.shape[:axes], -1)
        return torch.sin(flat @ torch.linspace(0.3, 1.7, flat.shape[-1], dtype=z.dtype))


@dataclass(frozen=True)
class Found:
    """What a function of a form does.

    distributions  those that it serves
    samples        the smallest number of samples of one call
    step           by how much that number may grow
    f, df          the evaluations of f and of ∇f in that call
    array          how it takes the logits
    random         whether it makes random numbers
    symmetric      of advantages: whether other orders of the rewards give the same advantages in that order
    shift_free     of advantages: whether a constant added to all rewards leaves them as they are
    notes          how it is called
    """

    form: Form
    distributions: frozenset[str]
    samples: int
    f: int
    df: int
    array: Array = "torch"
    random: bool = True
    step: int = 1
    symmetric: bool = False
    shift_free: bool = False
    notes: tuple[str, ...] = ()


def tried(function: Function, forms: tuple[Form, ...], distribution: str | None, samples: int | None) -> Found:
    """Call a function in the forms that it may have until one works; UsageError with what went wrong otherwise."""
    if forms == ("advantages",):
        return _advantages(function, samples)
    wrong: dict[str, str] = {}
    for form in forms:
        found = [
            each
            for name in ([distribution] if distribution is not None else LOGITS)
            if (each := _served(function, form, name, samples, wrong, given=distribution is not None)) is not None
        ]
        if found:
            serves = frozenset(name for each in found for name in each.distributions)
            samples, step = (max(getattr(each, number) for each in found) for number in ("samples", "step"))
            return replace(found[0], distributions=serves, samples=samples, step=step)
    raise UsageError("; ".join(f"as a {what}: {why}" for what, why in wrong.items()))


def _served(
    function: Function, form: Form, name: str, samples: int | None, wrong: dict[str, str], *, given: bool
) -> Found | None:
    """What it does with one distribution; None, and why in `wrong`, where it does not serve it."""
    watching, event = Watching(), f"{form} of {name} variables"
    problem = Problem(DISTRIBUTIONS[name](torch.tensor(LOGITS[name], dtype=torch.float64)), watching)
    several = samples is None and function.parameters.samples is not None
    for N, array in product(
        SIZES if several else [samples or 1], function.arrays if form == "gradient" else ("torch",)
    ):
        calls = Calls(function, form, array, problem, N)
        problem.evaluations.f = problem.evaluations.df = 0
        try:
            first = _estimate(calls, 0)
            counts = problem.evaluations.f, problem.evaluations.df
            rest = [_estimate(calls, number) for number in range(1, CALLS)]
        except Exception as error:  # whatever it does where it does not fit
            wrong.setdefault(event, reason(error))
            continue
        if not bool(first.isfinite().all()):
            wrong.setdefault(event, "the estimate is not finite")
            continue
        seen = [z.double().reshape(-1, *problem.distribution.event_shape) for z in watching.seen]
        if not given and seen and not _fits(torch.cat(seen), name):
            wrong[event] = f"its samples are no {name} samples"
            return None
        random = any(not torch.equal(each, first) for each in rest)

        def one(n: int, array: Array = array) -> Tensor:
            return _estimate(Calls(function, form, array, problem, n), 0)

        step = _step(N, one) if several else 1
        return Found(form, frozenset({name}), N, *counts, array, random, step, notes=(WAYS[calls.way()],))
    return None


def _step(N: int, call: Callable[[int], Tensor]) -> int:
    """By how much the number of samples may grow: the smallest step that divides N and works; 1 where none does."""
    for step in (n for n in range(1, FURTHER + 1) if N % n == 0):
        try:
            if bool(call(N + step).isfinite().all()):
                return step
        except Exception:  # noqa: S112 # whatever it does with so many samples
            continue
    return 1


def _estimate(calls: Calls, number: int) -> Tensor:
    return calls.gradients(calls.problem.distribution.logits.unsqueeze(0), number)[0]


def _fits(z: Tensor, name: str) -> bool:
    """Whether most samples may be of the distribution: one-hot samples add up to 1, and those of numbers do not."""
    one_hot = (z.sum(-1) - 1).abs() < 1e-3
    return not bool(one_hot.all()) if name == "bernoulli" else bool(one_hot.double().mean() > 0.5)


def _advantages(function: Function, samples: int | None) -> Found:
    """What advantages do; they serve all distributions, as the score is not theirs."""
    why = ""
    arrays = (array for array in function.arrays if array != "leaf")
    for N, array in product(SIZES if samples is None else [samples], arrays):
        groups, rewards = Groups(function, 3, array), next(_rewards(N))
        try:
            first = groups.one(rewards, 0)
            if not bool(first.isfinite().all()):
                why = why or f"the advantages of {N} rewards are not finite"
                continue
            again, other = groups.one(rewards, 0), groups.one(rewards, 1)
        except Exception as error:  # whatever it does with so few rewards
            why = why or reason(error)
            continue
        if not torch.equal(first, again):
            raise UsageError("it keeps state: two calls with the same rewards gave two values")
        random = not torch.equal(first, other)

        def one(n: int, groups: Groups = groups) -> Tensor:
            return groups.one(next(_rewards(n)), 0)

        step = _step(N, one)
        sizes = [*range(N, N + 5 * step, step), N + 12 * step]
        return Found(
            "advantages",
            frozenset(DISTRIBUTIONS),
            N,
            f=N,
            df=0,
            array=array,
            random=random,
            step=step,
            symmetric=not random and _at_all(_symmetric, groups, sizes),
            shift_free=not random and _at_all(_shift_free, groups, sizes),
            notes=(WAYS[groups.way(N)],),
        )
    raise UsageError(f"as advantages of rewards: {why}")


def _at_all(holds: Callable[[Groups, int], bool], groups: Groups, sizes: Iterable[int]) -> bool:
    """Whether something holds at all numbers of rewards that a function takes."""
    for N in sizes:
        try:
            if not holds(groups, N):
                return False
        except Exception:  # noqa: S112 # it takes no such N
            continue
    return True


def _symmetric(groups: Groups, N: int) -> bool:
    """Whether rewards in another order have the same advantages in that order, equal rewards among them."""
    turned, exchanged = torch.arange(N).roll(1), torch.arange(N)
    exchanged[[0, -1]] = exchanged[[-1, 0]]
    return all(
        torch.allclose(groups.one(r[order], 0), groups.one(r, 0)[order], rtol=1e-9, atol=1e-12, equal_nan=True)
        for r in _rewards(N)
        for order in (turned, exchanged)
    )


def _shift_free(groups: Groups, N: int) -> bool:
    """Whether a constant added to all rewards leaves the advantages as they are."""
    return all(
        torch.allclose(groups.one(r + c, 0), groups.one(r, 0), rtol=1e-6, atol=1e-9, equal_nan=True)
        for r in _rewards(N)
        for c in (-3.0, 0.25, 40.0)
    )


def _rewards(N: int) -> Iterator[Tensor]:
    """Rewards of N samples at which advantages are tried: all different, with ties, of both signs, and large."""
    r = torch.sin(torch.arange(1.0, N + 1, dtype=torch.float64) * 2.4) * 1.3
    yield from (r, (r > 0).double(), torch.ones_like(r), 30 * r, -r)
