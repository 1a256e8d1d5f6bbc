"""A problem: a distribution, an objective, and what is known exactly about the gradient of E f(z)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from estbench.distributions import Bernoulli, Categorical, Distribution
from estbench.objectives.base import Objective, WithExpectation, WithGrad

MAX_STATES = 2**20
_CHUNK = 2**14


@dataclass
class Evaluations:
    """How often f and ∇f were asked for, in rows (one row is one sample of all D variables)."""

    f: int = 0
    df: int = 0


@dataclass(frozen=True, eq=False)
class Problem:
    """The gradient of E f(z) with respect to the logits, P numbers.

    P is D or D K; with `tie` all variables share one logit (vector), the gradient is summed over them, and P is 1 or K.
    `f` and `df` are the only doors to the objective that estimators use, and they count. The oracle constants below
    them do not: they belong to the problem, not to an estimate.
    """

    distribution: Distribution
    objective: Objective
    tie: bool = False
    evaluations: Evaluations = field(default_factory=Evaluations)

    @property
    def D(self) -> int:
        """The number of variables."""
        return self.distribution.event[0]

    @cached_property
    def _numbers(self) -> int:
        return math.prod(self.distribution.event)

    @property
    def parameters(self) -> int:
        """P, the length of the gradient."""
        event = self.distribution.event
        return math.prod(event[1:]) if self.tie else math.prod(event)

    def f(self, z: Tensor) -> Tensor:
        """f at samples (or relaxed samples) [..., D] or [..., D, K]: [...]."""
        self.evaluations.f += z.numel() // self._numbers
        return self.objective.value(self._inputs(z))

    def f_of_classes(self, c: Tensor) -> Tensor:
        """f at samples of which only the classes 0 … K − 1 are given, as numbers [n, ..., D]: [n, ...]."""
        self.evaluations.f += c.numel() // self.D
        d = self.distribution
        if self.ordinal:
            return self.objective.value(c / (d.classes - 1))
        each = (self.objective.value(self._inputs(d.one_hot(part))) for part in c)  # K times as large, they stay cached
        return torch.stack(list(each))

    def difference(self, a: Tensor, b: Tensor, summands: int | None = None) -> Tensor:
        """a − b of values of f, and 0 where they differ by rounding alone: (2 + √n) eps max(|a| + |b|, `size`).

        Whatever subtracts values of f does it here, or goes on from what was found here: equal values must leave 0, as
        rounding would count as a direction. n is the number of `summands`, by default D, as f is often a sum over the
        variables: its rounding grows as √n, and sums of equal numbers in another order differ by a few eps |f| at any
        n. In float64 two summands have but one order, and a − b is exact; in float32 the products of a network also
        differ with the place in the batch, by up to 2 eps |f|. It is not finite where a or b is not.
        """
        found, n = a - b, self.D if summands is None else summands
        if n > 2 or found.dtype != torch.float64:
            rounding = (2 + math.sqrt(n)) * torch.finfo(found.dtype).eps
            least = (a.abs() + b.abs()).clamp_(min=self.size).mul_(rounding)
            found.mul_(torch.gt(found.abs(), least, out=torch.empty_like(found)))
        return found

    @cached_property
    def size(self) -> float:
        """The median of |f(z)| over 64 samples, always the same: as large are the terms of an f that nearly cancels."""
        o = self.oracle
        i, d = (torch.arange(1, n + 1).to(o.distribution.logits) for n in (64, self.D))
        u = i.outer((d + 1).log()) % 1  # spread over the cube as uniforms are, and not random
        median = o.f(o.distribution.inverse_cdf(u)).abs().nanmedian().item()
        return median if math.isfinite(median) else 0.0

    def from_first(self, f: Tensor) -> Tensor:
        """f_n − f_1 of values of f at N samples [R, N], by `difference`: 0 throughout where all are equal."""
        return self.difference(f, f[:, :1])

    def df(self, z: Tensor) -> Tensor:
        """∇f with respect to the sample, of the shape of z."""
        g = self.df_inputs(z)
        return self.distribution.values_pull(g) if self.ordinal else g.reshape(z.shape)

    def df_inputs(self, z: Tensor) -> Tensor:
        """∇f with respect to what the objective takes: the values v(z), [..., D], or the sample, flat or not."""
        self.evaluations.df += z.numel() // self._numbers
        v = self._inputs(z)
        return self.objective.grad(v) if isinstance(self.objective, WithGrad) else _autograd(self.objective, v)

    @property
    def ordinal(self) -> bool:
        """Whether f is a function of the ordinal values of the variables."""
        return self.objective.on == "values"

    def _inputs(self, z: Tensor) -> Tensor:
        if self.ordinal:
            return self.distribution.values(z)
        return z.flatten(-2) if self.objective.on == "flat" and len(self.distribution.event) == 2 else z

    def project(self, rows: Tensor) -> Tensor:
        """Gradients of all logits [..., D] or [..., D, K] as gradients of the parameters: [..., P]."""
        if self.tie:
            axis = -len(self.distribution.event)
            summed = rows.sum(axis)
            rounding = (2 + math.sqrt(self.D)) * torch.finfo(rows.dtype).eps
            size = torch.linalg.vector_norm(rows, 1, axis).mul_(rounding)
            summed = summed.masked_fill_(summed.abs() <= size, 0.0)  # what cancels leaves 0, not rounding
            return summed.unsqueeze(-1) if len(self.distribution.event) == 1 else summed
        return rows if len(self.distribution.event) == 1 else rows.flatten(-2)

    # What is known exactly. Always in float64.

    @cached_property
    def oracle(self) -> Problem:
        """The same problem in float64 and with counters of its own."""
        double = type(self.distribution)(self.distribution.logits.double())
        return replace(self, distribution=double, evaluations=Evaluations())

    @property
    def n_states(self) -> int:
        """The number of joint states, 2^D or K^D."""
        return int(self.distribution.classes**self.D)

    @property
    def enumerable(self) -> bool:
        """Whether the joint states are few enough to enumerate."""
        return self.n_states <= MAX_STATES

    def enumerate(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All joint states and their probabilities, in chunks: z [M, D(, K)] and P(z) [M]."""
        for start in range(0, self.n_states, _CHUNK):
            z = self.distribution.states(start, min(start + _CHUNK, self.n_states))
            yield z, self.distribution.log_prob(z).exp()

    @property
    def route(self) -> Literal["closed form", "enumeration", "none"]:
        """How the exact gradient is found."""
        if isinstance(self.objective, WithExpectation):
            return "closed form"
        return "enumeration" if self.enumerable else "none"

    @cached_property
    def true(self) -> Tensor | None:
        """The exact gradient [P] in float64 by the `route`; None where there is none."""
        if self.route == "closed form":
            return self.by_closed_form()
        return self.by_enumeration() if self.route == "enumeration" else None

    def by_closed_form(self) -> Tensor:
        """∇ E f(z) from the objective's closed form of E f(z): [P].

        Where a class is almost certain (P > 0.99), a derivative through P loses the digits of 1 − P. E f(z) is linear
        in the probabilities of each variable, so for these variables it is J(π_d) E[f | z_d = ·], with no derivative.
        """
        assert isinstance(self.objective, WithExpectation)
        with torch.enable_grad():
            logits = self.distribution.logits.detach().double().requires_grad_()
            expected = self.objective.expectation(type(self.distribution)(logits))
            constant = not expected.requires_grad
            (g,) = (torch.zeros_like(logits),) if constant else torch.autograd.grad(expected, logits)
        marginals = self.oracle.distribution.marginals
        almost = marginals.amax(-1) > (0 if constant else 0.99)
        for d in almost.nonzero().flatten().tolist():
            row = self.oracle.distribution.mean_jac_of(d, self.conditional_means(d))
            if row.isfinite().all():  # a formula may divide by the probability of a class that cannot be
                g[d] = row
        return self.project(g)

    def conditional_means(self, d: int) -> Tensor:
        """E[f(z) | z_d = k] for each class k, from the closed form of E f(z) at the limit P(z_d = k) → 1: [K]."""
        assert isinstance(self.objective, WithExpectation)
        of, expectation = self.oracle.distribution, self.objective.expectation
        return torch.stack([expectation(of.certain(d, k)).detach().to(of.logits) for k in range(of.classes)])

    def by_enumeration(self) -> Tensor:
        """Σ_z P(z) (f(z) − f̄) s(z): [P]; centring f loses nothing, as E s = 0, and saves digits."""
        o = self.oracle
        d = o.distribution
        centre = o.f(d.mode)
        total = torch.zeros_like(d.logits)
        for z, P in o.enumerate():
            total += (d.lift(P * (o.f(z) - centre)) * d.score(z)).sum(0)
        return self.project(total)

    @cached_property
    def mean_f(self) -> Tensor:
        """E f(z), a number: closed form or enumeration."""
        o = self.oracle
        if isinstance(self.objective, WithExpectation):
            return self.objective.expectation(o.distribution).to(self.distribution.logits)
        centre = o.f(o.distribution.mode)
        return (centre + sum(P @ (o.f(z) - centre) for z, P in o.enumerate())).to(self.distribution.logits)

    @cached_property
    def optimal_baseline(self) -> Tensor:
        """The baseline of least variance, one number a variable, E[‖s_d‖² f]/E‖s_d‖²: [D] or [D, 1] by enumeration.

        For Bernoulli it is q E[f | z_d = 1] + p E[f | z_d = 0] (Bengio, Léonard & Courville 2013).
        """
        o = self.oracle
        d = o.distribution
        centre = o.f(d.mode)
        top, bottom = torch.zeros_like(d.logits), torch.zeros_like(d.logits)
        for z, P in o.enumerate():
            weighted = d.lift(P) * d.score(z) ** 2
            top += (d.lift(o.f(z) - centre) * weighted).sum(0)
            bottom += weighted.sum(0)
        if len(d.event) == 2:
            top, bottom = top.sum(-1, keepdim=True), bottom.sum(-1, keepdim=True)
        return (centre + torch.where(bottom > 0, top / bottom, 0.0)).to(self.distribution.logits)


def _autograd(objective: Objective, v: Tensor) -> Tensor:
    with torch.enable_grad():
        v = v.detach().requires_grad_()
        (g,) = torch.autograd.grad(objective.value(v).sum(), v)
    return g


def make(objective: Objective, logits: Tensor, tie: bool = False) -> Problem:
    """The problem of an objective at logits [D] (Bernoulli) or [D, K] (categorical)."""
    return Problem((Bernoulli if logits.ndim == 1 else Categorical)(logits), objective, tie)
