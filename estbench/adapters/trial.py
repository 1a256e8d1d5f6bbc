"""What is found out about a function before it is measured: by calling it on small problems of three variables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import lcm
from typing import ClassVar, Literal

import torch
from torch import Tensor

from estbench.adapters.calls import WAYS, Calls
from estbench.adapters.function import Function
from estbench.adapters.gradient import Array
from estbench.adapters.groups import Groups
from estbench.adapters.signature import Form
from estbench.adapters.watched import watched
from estbench.distributions import DISTRIBUTIONS
from estbench.errors import UsageError
from estbench.isolation import UserCodeError, reason
from estbench.problem import Problem

LOGITS = {
    "bernoulli": [0.5, 0.3, 0.4],
    "categorical": [[0.5, 0.3, 0.4, -0.2], [0.2, 0.6, -0.1, 0.3], [0.0, 0.4, 0.7, 0.1]],
}
"""Where it is called. A threshold at 0 gives three ones, and an argmax over the variables a single one."""

CALLS = 16
SIZES = (*range(1, 17), 18, 20, 22, 24)
"""Numbers of samples that are tried: of each number up to 12 a multiple too."""


@dataclass(frozen=True, eq=False)
class Watching:
    """A function of three variables that keeps the samples it was asked for: sin Σ_d (d + ½ k_d)."""

    event_dim: int
    seen: list[Tensor] = field(default_factory=list)
    on: ClassVar[Literal["one-hot"]] = "one-hot"
    distributions = frozenset(DISTRIBUTIONS)

    def value(self, z: Tensor) -> Tensor:
        """f(z), [..., 3] or [..., 3, 4] to [...]."""
        flat = watched(z, self.seen.append).flatten(-self.event_dim)
        return torch.sin(flat @ torch.linspace(0.3, 1.7, flat.shape[-1], dtype=z.dtype))


@dataclass(frozen=True)
class Found:
    """What a function of a form does.

    distributions  those that it serves
    samples        the smallest number of samples of one call
    step           what that number is a multiple of
    sizes          the numbers of samples that were tried and work
    f, df          the evaluations of f and of ∇f in a call of `counted` samples
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
    counted: int
    array: Array = "torch"
    random: bool = True
    step: int = 1
    sizes: tuple[int, ...] = ()
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
            step = lcm(*(each.step for each in found))
            smallest = max(each.samples for each in found)
            sizes = tuple(n for n in found[0].sizes if all(n in each.sizes for each in found))
            most = max(found, key=lambda each: each.samples)  # its counts are those of so many samples
            return replace(most, distributions=serves, samples=-(-smallest // step) * step, step=step, sizes=sizes)
    raise UsageError("; ".join(f"as a {what}: {why}" for what, why in wrong.items()))


def _served(
    function: Function, form: Form, name: str, samples: int | None, wrong: dict[str, str], *, given: bool
) -> Found | None:
    """What it does with one distribution; None, and why in `wrong`, where it does not serve it."""
    kind, event = DISTRIBUTIONS[name], f"{form} of {name} variables"
    watching = Watching(kind.event_dim)
    problem = Problem(kind(torch.tensor(LOGITS[name], dtype=torch.float64)), watching)
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
        except UserCodeError as error:  # whatever it does where it does not fit
            wrong.setdefault(event, reason(error))
            continue
        if not bool(first.isfinite().all()):
            wrong.setdefault(event, "the estimate is not finite")
            continue
        seen = [z.double().reshape(-1, *problem.distribution.event_shape) for z in watching.seen]
        if not given and seen and not _fits(torch.cat(seen), name):
            wrong[event] = f"its samples are not {name} samples"
            return None
        random = any(not torch.equal(each, first) for each in rest)

        def one(n: int, array: Array = array) -> Tensor:
            return _estimate(Calls(function, form, array, problem, n), 0)

        sizes = _working(one) if several else (N,)
        for n in sizes if not random else ():  # at the smallest N, say, a baseline may leave nothing but zeros
            more = Calls(function, form, array, problem, n)
            random = random or not torch.equal(*(_estimate(more, number) for number in range(2)))
        smallest, step = _limits(sizes) if several else (N, 1)
        notes = (WAYS[calls.way()],)
        return Found(form, frozenset({name}), smallest, *counts, N, array, random, step, sizes, notes=notes)
    return None


def _working(call: Callable[[int], Tensor]) -> tuple[int, ...]:
    """The numbers of samples at which a function returns finite numbers; what it raised, if there are none."""
    found, raised = [], UserCodeError("estimates that are not finite")
    for n in SIZES:
        try:
            if bool(call(n).isfinite().all()):
                found.append(n)
        except UserCodeError as error:  # whatever it does with so many samples
            raised = error
    if not found:
        raise raised
    return tuple(found)


def _limits(sizes: Sequence[int]) -> tuple[int, int]:
    """(smallest, step): the multiples of a step, from the smallest on, of which all work that were tried.

    Of all such pairs the one that admits the most; where none admits two, the smallest that works, and a step of 1.
    """
    admitted = []
    for step in range(1, max(SIZES) // 2 + 1):
        tried_ = [n for n in SIZES if n % step == 0]
        failed = max((n for n in tried_ if n not in sizes), default=0)
        admitted.append((sum(n > failed for n in tried_), step, min((n for n in tried_ if n > failed), default=0)))
    most, step, smallest = max(admitted, key=lambda each: each[0])
    return (smallest, step) if most > 1 else (sizes[0], 1)


def _estimate(calls: Calls, number: int) -> Tensor:
    return calls.gradients(calls.problem.distribution.logits.unsqueeze(0), number)[0]


def _fits(z: Tensor, name: str) -> bool:
    """Whether most samples may be of the distribution: one-hot samples add up to 1, and those of numbers do not."""
    one_hot = (z.sum(-1) - 1).abs() < 1e-3
    # samples of code that is not known yet: it may draw of either kind, at logits of either shape
    return not bool(one_hot.all()) if name == "bernoulli" else bool(one_hot.double().mean() > 0.5)


def _advantages(function: Function, samples: int | None) -> Found:
    """What advantages do; they serve all distributions, as the score is not theirs."""
    if samples is not None:
        raise UsageError("advantages are of all N rewards of an estimate; leave out samples")
    why = ""
    arrays = (array for array in function.arrays if array != "leaf")
    for N, array in product(SIZES, arrays):
        groups, rewards = Groups(function, 3, array), next(_rewards(N))
        try:
            first = groups.one(rewards, 0)
            if not bool(first.isfinite().all()):
                why = why or f"the advantages of {N} rewards are not finite"
                continue
        except UserCodeError as error:  # whatever it does with so few rewards
            why = why or reason(error)
            continue

        def one(n: int, groups: Groups = groups) -> Tensor:
            return groups.one(next(_rewards(n)), 0)

        sizes = _working(one)
        smallest, step = _limits(sizes)
        random = _random(groups, sizes)
        return Found(
            "advantages",
            frozenset(DISTRIBUTIONS),
            smallest,
            f=1,
            df=0,
            counted=1,
            array=array,
            random=random,
            step=step,
            sizes=sizes,
            symmetric=not random and _at_all(_symmetric, groups, sizes),
            shift_free=not random and _at_all(_shift_free, groups, sizes),
            notes=(WAYS[groups.way(smallest)],),
        )
    raise UsageError(f"as advantages of rewards: {why}")


def _random(groups: Groups, sizes: Iterable[int]) -> bool:
    """Whether it makes random numbers at any number of rewards; UsageError where a seed does not repeat what it does.

    It does if other seeds give other numbers, and also if it has moved a global generator: it may use what it draws
    for some rewards alone.
    """
    random = groups.function.parameters.generator is not None
    for N in sizes:
        for rewards in _rewards(N):
            try:
                (first, drew), (other, _) = (groups.watched(rewards, number) for number in (0, 1))
                differs = not _equal(first, other)
                if differs and not _equal(first, groups.one(rewards, 0)):
                    raise UsageError(
                        "it keeps state, or makes random numbers that no seed reaches: two calls with the same rewards "
                        "gave two values"
                    )
            except UserCodeError:  # it does not take these rewards
                continue
            random = random or drew or differs
    return random


def _equal(one: Tensor, other: Tensor) -> bool:
    """Whether all numbers are the same, NaN among them."""
    return one.shape == other.shape and torch.allclose(one, other, rtol=0.0, atol=0.0, equal_nan=True)


def _close(one: Tensor, other: Tensor, absolute: float) -> bool:
    """Whether all numbers are the same but for rounding, NaN among them."""
    return one.shape == other.shape and torch.allclose(one, other, rtol=1e-9, atol=absolute, equal_nan=True)


def _at_all(holds: Callable[[Groups, int], bool], groups: Groups, sizes: Iterable[int]) -> bool:
    """Whether something holds at all numbers of rewards that a function takes."""
    for N in sizes:
        try:
            if not holds(groups, N):
                return False
        except UserCodeError:  # it takes no such N
            continue
    return True


def _symmetric(groups: Groups, N: int) -> bool:
    """Whether rewards in another order have the same advantages in that order, equal rewards among them."""
    turned, exchanged = torch.arange(N).roll(1), torch.arange(N)
    exchanged[[0, -1]] = exchanged[[-1, 0]]
    for r in _rewards(N):
        alone, *others = groups.fixed_each([r, r[turned], r[exchanged]])
        if not all(
            _close(other, alone[order], 1e-12) for order, other in zip((turned, exchanged), others, strict=True)
        ):
            return False
    return True


def _shift_free(groups: Groups, N: int) -> bool:
    """Whether a constant added to all rewards leaves the advantages as they are."""
    for r in _rewards(N):
        alone, *others = groups.fixed_each([r, r - 3.0, r + 0.25, r + 40.0])
        if not all(_close(other, alone, 1e-9) for other in others):
            return False
    return True


def _rewards(N: int) -> Iterator[Tensor]:
    """Rewards of N samples at which advantages are tried: all different, with ties, of both signs, and large."""
    r = torch.sin(torch.arange(1.0, N + 1, dtype=torch.float64) * 2.4) * 1.3
    yield from (r, (r > 0).double(), torch.ones_like(r), 30 * r, -r)
