"""The contract of an objective f, and the few sums that objectives share."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from typing_extensions import Protocol, runtime_checkable  # looks a member up without running `__getattr__`

from estbench.distributions import DISTRIBUTIONS, Distribution, Factorised

Reduction = Literal["sum", "mean"]


class Objective(Protocol):
    """A real function of the variables, batched over leading axes and pure; its fields are its options.

    `on` says of what: the ordinal "values" v(z) = k/(K − 1) of the variables, [..., D]; the "flat" sample, [..., D]
    or [..., D K]; or the "one-hot" sample, [..., D, K]. Off the vertices f is its formula's natural extension.
    Two methods are optional: `grad(v)`, ∇f in closed form and of the shape of v (else autograd), and
    `expectation(distribution)`, E f(z) in closed form and differentiable in the logits (else enumeration). It is given
    independent variables only.
    """

    @property
    def on(self) -> Literal["values", "flat", "one-hot"]:
        """What `value` and `grad` are functions of."""
        ...

    @property
    def distributions(self) -> frozenset[str]:
        """The distributions it is defined for."""
        ...

    def value(self, v: Tensor) -> Tensor:
        """f(v): [..., D] or [..., D, K] to [...]."""
        ...


@runtime_checkable
class WithGrad(Protocol):
    """An objective whose gradient is written out."""

    def grad(self, v: Tensor) -> Tensor:
        """∇f(v), the shape of v."""
        ...


@runtime_checkable
class WithExpectation(Protocol):
    """An objective whose expectation is written out."""

    def expectation(self, distribution: Factorised) -> Tensor:
        """E f(z), [*batch_shape], differentiable in the logits."""
        ...


@runtime_checkable
class ForDistribution(Protocol):
    """What becomes an objective where its distribution is known."""

    def for_distribution(self, distribution: Distribution) -> Objective:
        """The objective itself."""
        ...


BOTH = frozenset({"bernoulli", "categorical"})


def unserved(objective: Objective, distribution: str, event_dim: int) -> str | None:
    """Why an objective does not take samples of a distribution, given by its name and axes; None if it does.

    It takes those of the distributions that it names, and those of any other that look the same.
    """
    same = [name for name, kind in DISTRIBUTIONS.items() if kind.event_dim == event_dim]
    takes = [distribution] if distribution in DISTRIBUTIONS else same
    if objective.distributions & {*takes}:
        return None
    return f"serves {' and '.join(map(repr, sorted(objective.distributions)))} variables, not {distribution!r}"


def over_variables(t: Tensor, reduction: Reduction = "sum") -> Tensor:
    """Σ_d t_d (or the mean) of t [..., D]; a product with ones, as sums over a short last axis are slow."""
    D = t.shape[-1]
    if D == 1:
        return t.squeeze(-1)
    return t @ t.new_full((D,), 1.0 if reduction == "sum" else 1.0 / D)


def means(h: Tensor, distribution: Factorised) -> Tensor:
    """E h(v_d) = Σ_k P(z_d = k) h_k of each variable, [*batch, D], from h at the ordinal levels: [K] or [D, K].

    h is centred at the likeliest class, so that the mean and its derivative keep their digits where P is almost 1.
    """
    P = distribution.marginals
    likeliest = h.expand(P.shape).gather(-1, P.detach().argmax(-1, keepdim=True))  # [D, 1]
    return (P * (h - likeliest)).sum(-1) + likeliest.squeeze(-1)


def separable_expectation(h: Tensor, distribution: Factorised, reduction: Reduction) -> Tensor:
    """E Σ_d h(v_d) (or the mean over d) from h at the ordinal levels: [K] or [D, K]."""
    return over_variables(means(h, distribution), reduction)
