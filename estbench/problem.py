"""A problem: a distribution, an objective, and what is known exactly about the gradient of E f(z)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeGuard, cast

import torch
from torch import Tensor

from estbench.distributions import DISTRIBUTIONS, Distribution, Independent
from estbench.errors import UsageError
from estbench.isolation import exit_if_forked
from estbench.objectives.base import ForDistribution, Objective, WithExpectation, WithGrad
from estbench.parametrisation import FREE, TIED, Jacobian, Parametrisation
from estbench.rounding import rounding
from estbench.tensor_versions import cached_property

MAX_STATES = 2**20
_CHUNK = 2**14
_FEW_STATES = 2**16  # of a whole batch: enumerated in a tenth of a second
_ALMOST = 0.99
"""Probability of a class from which on 1 − P, had by subtraction, lacks digits that matter."""


@dataclass
class Evaluations:
    """The number of evaluations of f and ∇f, in rows (one row is one sample of all D variables)."""

    f: int = 0
    df: int = 0


@dataclass(frozen=True, eq=False)
class Problem:
    """The gradient of E f(z) with respect to the logits, P numbers.

    P is D or D K; with `tie` all variables share one logit (vector), the gradient is summed over them, and P is 1 or K.
    With a `jacobian` the parameters are those of a linear map to the logits, and P is their number: see
    `parametrisation`. UsageError for both, and for a Jacobian that does not fit.
    Where the logits have batch axes, every entry of the batch is a problem of its own: gradients are [*batch_shape, P],
    samples [*batch_shape, N, …] (see `distributions.base`). The logits are float32 or float64; UsageError otherwise.
    Estimators evaluate the objective by `f` and `df` alone, which count. The exact quantities below them do not count:
    they belong to the problem, not to an estimate.

    `zero_rounding` is whether `difference` takes for 0 what rounding alone can make. It is right where an estimate is
    measured in float64; in training, in float32, real differences are as small, and leaving them out is a bias.
    """

    distribution: Distribution
    objective: Objective
    tie: bool = False
    evaluations: Evaluations = field(default_factory=Evaluations)
    zero_rounding: bool = True
    jacobian: Jacobian | None = None

    def __post_init__(self) -> None:
        given = self.distribution.logits.dtype
        if given not in (torch.float32, torch.float64):
            raise UsageError(f"logits are float32 or float64, got {given}: convert them with logits.double()")
        if _adapts(self.objective):
            object.__setattr__(self, "objective", self.objective.for_distribution(self.distribution))
        if self.jacobian is not None:
            if self.tie:
                raise UsageError("give tie or a jacobian, not both: each says what the parameters are")
            batch, J = self.distribution.batch_shape, self.jacobian.J
            if J.ndim < 2 or J.shape[-2] != self.numbers or J.shape[:-2] not in ((), batch):
                wanted = f"[{', '.join(map(str, (*batch, self.numbers, 'P')))}]"
                raise UsageError(f"the jacobian of these logits has the shape {wanted}, got {list(J.shape)}")

    @property
    def independent(self) -> Independent:
        """The distribution, for those who have made sure that it is one of independent variables.

        Estimators are given only distributions that their facts say they serve, and quadrature serves the same.
        """
        return cast(Independent, self.distribution)

    @property
    def D(self) -> int:
        """The number of variables."""
        return self.distribution.n_variables

    @cached_property
    def numbers(self) -> int:
        """The numbers in one sample, D or D K."""
        return math.prod(self.distribution.event_shape)

    @property
    def parameters(self) -> int:
        """P, the length of the gradient."""
        return self.parametrisation.parameters(self.distribution)

    @property
    def parametrisation(self) -> Parametrisation:
        """The map from the parameters to the logits."""
        return self.jacobian or (TIED if self.tie else FREE)

    def f(self, z: Tensor) -> Tensor:
        """f at samples (or relaxed samples) [..., D] or [..., D, K]: [...]."""
        self.evaluations.f += z.numel() // self.numbers
        return self._value(self.inputs(z), z.shape[: z.ndim - len(self.distribution.event_shape)])

    def f_of_classes(self, c: Tensor) -> Tensor:
        """f at samples of which only the classes 0 … K − 1 are given, as numbers [n, ..., D]: [n, ...]."""
        self.evaluations.f += c.numel() // self.D
        d = self.distribution
        if self.ordinal:
            return self._value(c / (d.classes - 1), c.shape[:-1])
        each = (self._value(self.inputs(d.one_hot(c)), c.shape[:-1]) for c in c)  # K times as large, they stay cached
        return torch.stack(list(each))

    def difference(self, a: Tensor, b: Tensor, summands: int | None = None, trailing: int = 0) -> Tensor:
        """a − b of values of f, and 0 where they differ by rounding alone: (2 + √n) eps max(|a| + |b|, `size`).

        Whatever subtracts values of f does it here, or goes on from what was found here: equal values must leave 0, as
        rounding would count as a direction. n is the number of `summands`, by default D, as f is often a sum over the
        variables: its rounding grows as √n, and equal sums of other numbers, or in another order, differ by a few
        eps |f| at any n, one among them: (1/3 − 1/2)² is not (2/3 − 1/2)². In float32 the products of a network also
        differ with the place in the batch, by up to 2 eps |f|. It is not finite where a or b is not. The values are
        [..., *batch, N], with so many `trailing` axes more. Without `zero_rounding` it is a − b.
        """
        found = a - b
        if not self.zero_rounding:
            return found
        n = self.D if summands is None else summands
        least = (a.abs() + b.abs()).clamp_(min=self._size(trailing)).mul_(rounding(n, found.dtype))
        return found.mul_(torch.gt(found.abs(), least, out=torch.empty_like(found)))

    def _size(self, trailing: int) -> Tensor | float:
        return self.size.view(*self.size.shape, *[1] * trailing) if isinstance(self.size, Tensor) else self.size

    @cached_property
    def size(self) -> Tensor | float:
        """The median of |f(z)| over 64 samples, always the same: as large are the terms of an f that nearly cancels.

        It is a number, or [*batch, 1]; [1] where reading a number would wait for a device.
        """
        o = self.oracle
        i, d = (torch.arange(1, n + 1).to(o.distribution.logits) for n in (64, self.D))
        u = i.outer((d + 1).log()) % 1  # spread over the cube as uniforms are, and not random
        z = o.distribution.inverse_cdf(u.expand(*self.distribution.batch_shape, *u.shape))
        median = o.f(z).abs().nanmedian(-1, keepdim=True).values
        median = torch.where(median.isfinite(), median, 0.0)
        logits = self.distribution.logits
        return median.to(logits) if self.distribution.batch_shape or logits.device.type != "cpu" else median.item()

    def from_first(self, f: Tensor) -> Tensor:
        """f_n − f_1 of values of f at N samples [R, N], by `difference`: 0 throughout where all are equal."""
        return self.difference(f, f[:, :1])

    def df(self, z: Tensor) -> Tensor:
        """∇f with respect to the sample, of the shape of z."""
        g = self.df_inputs(z)
        return self.distribution.values_vjp(g) if self.ordinal else g if g.shape == z.shape else g.reshape(z.shape)

    def df_inputs(self, z: Tensor) -> Tensor:
        """∇f with respect to what the objective takes: the values v(z), [..., D], or the sample, flat or not."""
        self.evaluations.df += z.numel() // self.numbers
        v = self.inputs(z)
        if not _has_grad(self.objective):
            return _autograd(self.objective, v)
        g = self.objective.grad(v)
        return g.detach() if g.requires_grad else g

    def _value(self, v: Tensor, shape: torch.Size) -> Tensor:
        """f(v), one number of the logits' type for each row, whatever graph the objective made."""
        value = self.objective.value(v)
        exit_if_forked()
        if not isinstance(value, Tensor):
            raise TypeError(f"the objective returned a {type(value).__name__}, not a tensor")
        if value.shape != shape:
            raise ValueError(
                f"the objective returned shape {list(value.shape)}, not {list(shape)}; "
                "it must return one number for each sample"
            )
        if value.requires_grad:  # the weights of a network do
            value = value.detach()
        if value.is_inference():
            value = value.clone()
        return value if value.dtype == v.dtype else value.to(v.dtype)

    @property
    def ordinal(self) -> bool:
        """Whether f is a function of the ordinal values of the variables."""
        return self.objective.on == "values"

    def inputs(self, z: Tensor) -> Tensor:
        """What the objective takes of a sample: its values, or the sample itself, flat or not."""
        if self.ordinal:
            return self.distribution.values(z)
        return self.distribution.flatten(z) if self.objective.on == "flat" else z

    def project(self, rows: Tensor) -> Tensor:
        """Gradients of all logits [..., D] or [..., D, K] as gradients of the parameters: [..., P]."""
        return self.parametrisation.vjp(rows, self.distribution)

    def with_flat_batch(self) -> Problem:
        """The same problem, and the same counters, with one batch axis in place of several."""
        d = self.distribution
        if len(d.batch_shape) < 2:
            return self
        flat = d.with_logits(d.logits.flatten(0, -1 - d.event_dim))
        return replace(self, distribution=flat, jacobian=self.jacobian and self.jacobian.with_flat_batch())

    def at(self, logits: Tensor) -> Problem:
        """The same problem at other logits, with counters of its own."""
        return replace(self, distribution=self.distribution.with_logits(logits), evaluations=Evaluations())

    # What is known exactly. Always in float64.

    @cached_property
    def oracle(self) -> Problem:
        """The same problem in float64 and with counters of its own."""
        return self.at(self.distribution.logits.double())

    @property
    def n_states(self) -> int:
        """The number of joint states, K^D."""
        return self.distribution.n_states

    @property
    def enumerable(self) -> bool:
        """Whether the joint states are few enough to enumerate."""
        return self.n_states <= MAX_STATES

    def enumerate(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All joint states and their probabilities, in chunks: z [*batch, M, D(, K)] and P(z) [*batch, M]."""
        d = self.distribution
        chunk = max(1, _CHUNK // math.prod(d.batch_shape))
        for start in range(0, self.n_states, chunk):
            z = d.states(start, min(start + chunk, self.n_states))
            yield z.expand(*d.batch_shape, *z.shape), d.log_prob(z).exp()

    @cached_property
    def marginals(self) -> Tensor:
        """P(z_d = k), [*batch, D, K], in float64; of coupled variables by enumeration."""
        d = self.oracle.distribution
        if d.independent:
            return self.oracle.independent.marginals
        classes = torch.arange(d.classes)
        found = d.logits.new_zeros(*d.batch_shape, self.D, d.classes)
        for z, P in self.oracle.enumerate():
            found += (P[..., None, None] * (d.numbers(z).unsqueeze(-1) == classes)).sum(-3)
        return found

    @property
    def route(self) -> Literal["closed form", "enumeration", "none"]:
        """How the exact gradient is found. A closed form of E f may assume that the variables are independent.

        Where a variable is almost certain, the part of the others in it may cancel: few states are enumerated then.
        """
        few = self.n_states * math.prod(self.distribution.batch_shape) <= _FEW_STATES
        if self._has_closed_form and not (few and bool((self._likeliest > _ALMOST).any())):
            return "closed form"
        return "enumeration" if self.enumerable else "none"

    @cached_property
    def _likeliest(self) -> Tensor:
        """The probability of the likeliest class of each variable, [*batch, D]."""
        return self.oracle.independent.marginals.amax(-1)

    @cached_property
    def exact_gradient(self) -> Tensor | None:
        """The exact gradient [*batch, P] in float64 by the `route`; None where there is none."""
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
            expected = self.objective.expectation(self.independent.with_logits(logits)).sum()
            constant = not expected.requires_grad
            (g,) = (torch.zeros_like(logits),) if constant else torch.autograd.grad(expected, logits)
        almost = self._likeliest > (0 if constant else _ALMOST)  # [*batch, D]
        for d in almost.view(-1, self.D).any(0).nonzero().flatten().tolist():
            row = self.oracle.independent.mean_jac_of(d, self.conditional_means(d))
            finite = row.isfinite().view(*almost.shape[:-1], -1).all(-1)  # a formula may divide by the probability of a
            better = finite & almost[..., d]  # class that cannot be
            g.select(-self.distribution.event_dim, d)[better] = row[better]
        return self.project(g)

    def conditional_means(self, d: int) -> Tensor:
        """E[f(z) | z_d = k] for each class k, by the closed form at the limit P(z_d = k) → 1. [*batch, K]"""
        assert isinstance(self.objective, WithExpectation)
        of, expectation = self.oracle.independent, self.objective.expectation
        each = [expectation(of.certain(d, k)).detach().to(of.logits) for k in range(of.classes)]
        return torch.stack([mean.expand(of.batch_shape) for mean in each], -1)

    def by_enumeration(self) -> Tensor:
        """Σ_z P(z) (f(z) − f̄) s(z): [*batch, P]; centring f loses nothing, as E s = 0, and saves digits."""
        o = self.oracle
        d = o.distribution
        centre = o.f(d.align(d.mode))  # a number, or [*batch, 1]
        total = torch.zeros_like(d.logits)
        for z, P in o.enumerate():
            total += (d.lift(P * (o.f(z) - centre)) * d.score(z)).sum(-1 - d.event_dim)
        return self.project(total)

    @property
    def _has_closed_form(self) -> bool:
        return isinstance(self.objective, WithExpectation) and self.distribution.independent

    @cached_property
    def mean_f(self) -> Tensor:
        """E f(z), [*batch]: closed form or enumeration."""
        o = self.oracle
        if self._has_closed_form:
            assert isinstance(self.objective, WithExpectation)
            return self.objective.expectation(o.independent).to(self.distribution.logits)
        centre = o.f(o.distribution.align(o.distribution.mode))
        parts = (torch.linalg.vecdot(P, o.f(z) - centre) for z, P in o.enumerate())
        mean: Tensor = centre.reshape(o.distribution.batch_shape) + sum(parts)
        return mean.to(self.distribution.logits)

    @cached_property
    def optimal_baseline(self) -> Tensor:
        """The baseline of least variance, one number a variable, E[‖s_d‖² f]/E‖s_d‖², by enumeration.

        It is [*batch, D], or [*batch, D, 1] where samples are one-hot.

        For Bernoulli it is q E[f | z_d = 1] + p E[f | z_d = 0] (Bengio, Léonard & Courville 2013).
        """
        o = self.oracle
        d = o.distribution
        centre = o.f(d.align(d.mode))  # a number, or [*batch, 1]
        top, bottom = torch.zeros_like(d.logits), torch.zeros_like(d.logits)
        for z, P in o.enumerate():
            weighted = d.lift(P) * d.score(z) ** 2
            top += (d.lift(o.f(z) - centre) * weighted).sum(-1 - d.event_dim)
            bottom += weighted.sum(-1 - d.event_dim)
        top, bottom = d.over_classes(top), d.over_classes(bottom)
        centre = centre.reshape(*d.batch_shape, *[1] * d.event_dim)
        return (centre + torch.where(bottom > 0, top / bottom, 0.0)).to(self.distribution.logits)


def _adapts(objective: Objective) -> TypeGuard[ForDistribution]:
    """Whether it is a ForDistribution; asked of its type, as `isinstance` of a protocol takes longer than a small f."""
    return hasattr(type(objective), "for_distribution")


def _has_grad(objective: Objective) -> TypeGuard[WithGrad]:
    """Whether it is a WithGrad; `isinstance` would take longer than a small f."""
    return getattr(objective, "grad", None) is not None


def _autograd(objective: Objective, v: Tensor) -> Tensor:
    with torch.enable_grad():
        v = v.detach().requires_grad_()
        try:
            value = objective.value(v)
        except RuntimeError as error:
            if "requires grad" not in str(error):
                raise
            raise TypeError(f"f has no gradient: {error}") from error
        (g,) = torch.autograd.grad(value.sum(), v, allow_unused=True) if value.requires_grad else (None,)
    if g is None:
        raise TypeError("f has no gradient: its value is not a differentiable function of its input")
    return g


def make(objective: Objective, logits: Tensor, distribution: str, *, tie: bool = False, **options: Any) -> Problem:
    """The problem of an objective at the logits of a distribution, given by its name in `DISTRIBUTIONS`, with options.

    The name is needed: logits of shape [3, 4] belong to a batch of three problems of four Bernoulli variables, or to
    three categorical variables of four classes. With another distribution write `Problem(distribution, objective)`.
    Raises UsageError for an unknown name and for logits with too few axes.
    """
    if distribution not in DISTRIBUTIONS:
        raise UsageError(f"unknown distribution {distribution!r}; there are {', '.join(DISTRIBUTIONS)}")
    kind = DISTRIBUTIONS[distribution]
    if logits.ndim < kind.event_dim:
        shape = ", ".join(["*batch", "D", "K"][: kind.event_dim + 1])
        raise UsageError(f"{distribution} logits have the shape [{shape}], got {list(logits.shape)}")
    return Problem(kind(logits, **options), objective, tie)
