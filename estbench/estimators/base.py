"""The contract of an estimator: a frozen record of options, a few facts, and a pure function of a draw."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Self

from torch import Tensor
from typing_extensions import Protocol, runtime_checkable  # looks a member up without running `__getattr__`

from estbench.draws import Draw
from estbench.estimators.facts import (
    BERNOULLI,
    BOTH,
    CATEGORICAL,
    LINKS,
    SIGMOID,
    Count,
    Facts,
    Family,
    evaluations,
    why_no_estimate,
)
from estbench.problem import Problem

__all__ = [
    "BERNOULLI",
    "BOTH",
    "CATEGORICAL",
    "LINKS",
    "NO_VJP",
    "SIGMOID",
    "Count",
    "Estimator",
    "Facts",
    "Family",
    "Fitted",
    "HasBreakpoints",
    "JointEstimator",
    "Node",
    "Referenced",
    "RowEstimator",
    "Vjp",
    "evaluations",
    "is_estimator",
    "why_no_estimate",
]


Vjp = Callable[[Tensor], Tensor]
"""Rows [R, N, D(, K)], linear in ∇f of the same shape."""


class Estimator(Protocol):
    """What every estimator has. It is a frozen pydantic dataclass: its fields are its options, checked when built.

    An estimator also has `rows` (then it is a `RowEstimator`) or `joint` (a `JointEstimator`). It makes no random
    numbers, keeps no state, and returns gradients with respect to all logits, one per sample or one per replicate.
    """

    @property
    def facts(self) -> Facts:
        """The claims; they may depend on the options."""
        ...


@runtime_checkable
class RowEstimator(Estimator, Protocol):
    """An estimator whose estimate from N samples is the mean of N independent rows."""

    def rows(self, draw: Draw) -> Tensor:
        """One gradient estimate per sample: [R, N, D(, K)]."""
        ...


NO_VJP = "its facts say node=True, but it has no vjp(draw): derive it from estbench.estimators.base.Node"


class Node:
    """A row estimator that wants one ∇f a sample, at one point, and is linear in it: a stochastic node of a network.

    `training.sample` passes the point forward and `vjp` backward. Where the facts say `node`, an estimator derives from
    this class and has `vjp`; its rows follow.
    """

    def vjp(self, draw: Draw) -> tuple[Tensor, Vjp]:
        """The point h at which ∇f is wanted, like z, and g ↦ the rows if ∇f(h) is g: [R, N, D(, K)].

        All noise is read here: the function of g reads none, may be called more than once, and writes into nothing.
        """
        raise NotImplementedError

    def rows(self, draw: Draw) -> Tensor:
        """The rows at g = ∇f(h)."""
        h, of = self.vjp(draw)
        return of(draw.df(h))


@runtime_checkable
class JointEstimator(Estimator, Protocol):
    """An estimator that couples its N samples."""

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """One gradient estimate per replicate from its first `samples` samples: [R, D(, K)]."""
        ...


@runtime_checkable
class Fitted(Estimator, Protocol):
    """An estimator with numbers to fit before it is measured, on draws of their own; what is measured is frozen."""

    n_fit: int

    def fit(self, problem: Problem, draw: Draw) -> Self:
        """The same estimator with its fitted fields filled, from a draw of `n_fit` replicates of its least N."""
        ...


@runtime_checkable
class HasBreakpoints(Estimator, Protocol):
    """An estimator that jumps or kinks in its noise where z does not, or that reads uniforms of its own."""

    def breakpoints(self, problem: Problem) -> dict[str, list[Tensor]]:
        """For each stream of uniforms, where: one tensor of points in (0, 1) per axis of the stream (D = 1)."""
        ...


@runtime_checkable
class Referenced(Estimator, Protocol):
    """An estimator that is unbiased for the gradient of an expectation of its own."""

    def reference(self, problem: Problem) -> Tensor:
        """The gradient of that expectation, [P] in float64."""
        ...


def is_estimator(thing: Any) -> bool:
    """Whether it, or an instance of it, has what estimators have; none of its code is run to find out."""
    return _has(thing, "facts") and (_has(thing, "rows") or _has(thing, "joint"))


def _has(thing: Any, member: str) -> bool:
    return inspect.getattr_static(thing, member, _ABSENT) is not _ABSENT


_ABSENT = object()
