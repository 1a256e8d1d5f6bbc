"""Tests that an objective or an estimator of a user is a pure function, as all measurements assume.

An objective is called again, in other batches, orders and shapes. An estimator is called again on one draw, which is
then compared with an equal one that it never saw. Both are called with the global generators seeded alike, then
differently.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from estbench.distributions.base import Factorised
from estbench.draws import Draw
from estbench.estimate import estimates
from estbench.estimators.base import Estimator
from estbench.isolation import UserCodeError, exit_if_forked, next_numbers, seed
from estbench.objectives.base import Objective, WithExpectation, WithGrad
from estbench.objectives.function import Function, name_of
from estbench.problem import Problem
from estbench.rounding import Coarsest, between_batches
from estbench.streams import Streams

ROWS, MANY, REPLICATES = 24, 1536, 32


class ImpureError(UserCodeError):
    """An objective or an estimator is not a pure function of its arguments."""


def demand_purity(problem: Problem) -> None:
    """Raise ImpureError, with what was seen, unless the problem's objective is a pure function of each row alone.

    It sees samples of the problem, [24, D(, K)] and more: f twice, f with other random numbers, f of the rows reversed,
    in parts, alone, repeated to a large batch, and under two leading axes; ∇f and E f where they are written out.
    """
    objective = problem.objective
    draw = Draw(problem, ROWS, 1, streams=Streams(0, "purity", range(1)))
    v = problem.inputs(draw.z[:, 0]).clone()
    _pure("f", objective.value, v, objective)
    if isinstance(objective, WithGrad):
        _pure("grad", objective.grad, v, objective)
    distribution = problem.distribution
    if isinstance(objective, WithExpectation) and isinstance(distribution, Factorised):
        one, two = (_asked(lambda _: objective.expectation(distribution), v, 0) for _ in range(2))
        if not _same(one, two):
            raise ImpureError(
                f"{_name(objective)}.expectation is not a function of the logits: two calls gave two values"
            )


def _pure(what: str, f: Callable[[Tensor], Tensor], v: Tensor, objective: Objective) -> None:
    who, given = _called(objective, what), v.clone()
    with (coarsest := Coarsest()):
        first = _asked(f, given, 0)
    if not _same(given, v):
        raise ImpureError(f"{who} writes in place into what it is given; it must work on a copy (v - a, not v -= a)")
    if not _same(first, _asked(f, v.clone(), 0)):
        raise ImpureError(f"{who} keeps state, or makes random numbers that no seed reaches: two calls gave two values")
    if not _same(first, _asked(f, v.clone(), 1)):
        raise ImpureError(
            f"{who} is random: two calls with other random numbers gave two values (dropout? call .eval())"
        )
    n, rest = len(v), first.shape[1:]
    halves = torch.cat((_asked(f, v[: n // 2].clone(), 0), _asked(f, v[n // 2 :].clone(), 0)))
    alone = torch.cat([_asked(f, v[i : i + 1].clone(), 0) for i in range(n)])
    reversed_ = _asked(f, v.flip(0), 0).flip(0)
    times = MANY // n
    many = _asked(f, v.repeat(times, *[1] * (v.ndim - 1)), 0).view(times, n, *rest)
    axes = _asked(f, v.view(2, n // 2, *v.shape[1:]).clone(), 0).reshape(n, *rest)
    for other in (halves, alone, reversed_, many[0], many[-1], axes):
        if not _same(first, other, between_batches(coarsest.eps)):
            raise ImpureError(
                f"{who} depends on the other rows of the batch (whitening, batch normalisation, a mean over all?): one "
                "row among others gave another value"
            )


def _asked(f: Callable[[Tensor], Tensor], v: Tensor, number: int) -> Tensor:
    seed("purity", number)
    found = f(v)
    exit_if_forked()
    if not isinstance(found, Tensor):
        raise TypeError(f"the objective returned a {type(found).__name__}, not a tensor")
    return found.detach().clone()


def random_of_its_own(made: Callable[[], Problem], estimator: Estimator, N: int) -> bool:
    """Whether an estimator makes random numbers of its own, with the global generators of torch, numpy or Python.

    Their next numbers are others then, or two calls on one draw differ where they are seeded differently. `made` gives
    a new problem at each call. Raises ImpureError where the calls differ although they are seeded alike, or the
    estimator writes into what it shares.
    """
    used, clean, third = (Draw(made(), REPLICATES, N, streams=Streams(0, "purity", range(1))) for _ in range(3))

    def asked(draw: Draw, number: int) -> Tensor:
        seed("purity", number)
        return estimates(estimator, draw, [N])

    seed("purity", 0)
    before, untouched = held(used), next_numbers()
    first = asked(used, 0)
    makes_numbers = next_numbers() != untouched
    touched = [*used.written(), *replaced(used, before), *used.differences(clean)]
    if touched:
        raise ImpureError(writes(estimator, touched))
    if not (_same(first, asked(used, 0)) and _same(first, asked(clean, 0))):
        raise ImpureError(
            f"{_name(estimator)} keeps state between calls, or makes random numbers that no seed reaches: two calls on "
            "one draw differ (ask the draw: draw.uniform(name, ...))"
        )
    return makes_numbers or not _same(first, asked(third, 1))


class Held(NamedTuple):
    """What a draw's problem and distribution hold, by name, and copies of the tensors that are shared.

    Torch does not count writes through numpy memory or `.data`: the copies show them.
    """

    members: list[dict[str, object]]
    copies: list[tuple[str, Tensor, Tensor]]


def held(draw: Draw, *, copies: bool = False) -> Held:
    """What the problem and the distribution of a draw hold now; with copies where a user's code has the tensors."""
    shared = draw.shared() if copies else ()
    return Held(_members(draw), [(label, tensor, tensor.detach().clone()) for label, tensor in shared])


def _members(draw: Draw) -> list[dict[str, object]]:
    return [dict(vars(of)) for of in (draw.problem, draw.distribution)]


def replaced(draw: Draw, before: Held) -> list[str]:
    """The names of what was `held` before, and is something else now, or gone."""
    pairs = zip(before.members, _members(draw), strict=True)
    names = [name for known, now in pairs for name, value in known.items() if now.get(name) is not value]
    return names + [label for label, tensor, copy in before.copies if not _equal(tensor, copy)]


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=0.0, atol=0.0, equal_nan=True)


def writes(estimator: Estimator, touched: list[str]) -> str:
    """The message for an estimator that has changed what others read."""
    what = ", ".join(dict.fromkeys(touched))
    return f"{_name(estimator)} changes what other estimators read too: {what}. It must work on a copy (.clone())"


def _called(objective: Objective, what: str) -> str:
    if isinstance(objective, Function):
        return name_of(objective.f)
    return f"{_name(objective)}.{'value' if what == 'f' else what}"


def _name(of: object) -> str:
    return type(of).__name__


def _same(a: Tensor, b: Tensor, rounding: float = 0.0) -> bool:
    """Equal up to the rounding of other batch sizes; NaN and infinities are equal to themselves.

    It is 1e-10 of the largest, or more if so is said, or if all numbers are of float32.
    """
    if a.shape != b.shape:
        return False
    a, b = a.double(), b.double()
    single = torch.equal(a.nan_to_num(), a.float().double().nan_to_num())
    finite = a.isfinite()
    size = float(a[finite].abs().max()) if bool(finite.any()) else 0.0
    return torch.allclose(a, b, rtol=0.0, atol=max(1e-5 if single else 1e-10, rounding) * size, equal_nan=True)
