"""Formulas for E ĝ in terms of a problem and N: what mistakes do to it.

Means of functions of one sample are sums over all joint states.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from estbench.distributions import Independent
from estbench.moments import Floats
from estbench.problem import Problem

MeanOf = Callable[[Problem, int], Floats | None]
"""E ĝ [P] on a problem at N samples; None where the formula has none there."""


def true_gradient(problem: Problem) -> Floats:
    """g."""
    g = problem.exact_gradient
    assert g is not None
    found: Floats = g.numpy()
    return found


def times(c: float) -> MeanOf:
    """c · g."""

    def mean(problem: Problem, N: int) -> Floats:
        del N
        return c * true_gradient(problem)

    return mean


def by_n(factor: Callable[[int], float]) -> MeanOf:
    """factor(N) · g."""
    return lambda problem, N: factor(N) * true_gradient(problem)


def by_shape(factor: Callable[[Problem], float]) -> MeanOf:
    """factor · g, where the factor depends on D and K."""

    def mean(problem: Problem, N: int) -> Floats:
        del N
        return factor(problem) * true_gradient(problem)

    return mean


def scaled(factor: Callable[[int, Problem], float]) -> MeanOf:
    """factor(N, problem) · g."""
    return lambda problem, N: factor(N, problem) * true_gradient(problem)


def of_sample(row: Callable[[Problem, Tensor], Tensor]) -> MeanOf:
    """E h(z) of a function of one sample, [..., D(, K)]."""

    def mean(problem: Problem, N: int) -> Floats:
        del N
        d = problem.distribution
        total = sum(((d.lift(P) * row(problem, z)).sum(0) for z, P in problem.enumerate()), torch.zeros_like(d.logits))
        found: Floats = problem.project(total).numpy()
        return found

    return mean


def sampled_from(law: Callable[[Independent], Tensor]) -> MeanOf:
    """E f s where z is drawn at other logits than those of d: law(d)."""

    def mean(problem: Problem, N: int) -> Floats:
        del N
        d, other = problem.distribution, problem.distribution.with_logits(law(problem.independent))
        total = torch.zeros_like(d.logits)
        for z, _ in problem.enumerate():
            total = total + (d.lift(other.log_prob(z).exp() * problem.f(z)) * d.score(z)).sum(0)
        found: Floats = problem.project(total).numpy()
        return found

    return mean


def fs(problem: Problem, z: Tensor) -> Tensor:
    """f(z) s(z), like z."""
    d = problem.distribution
    return d.lift(problem.f(z)) * d.score(z)


def own_probability(problem: Problem, z: Tensor) -> Tensor:
    """π of the class that was drawn, variable by variable, to multiply samples."""
    d = problem.independent
    return d.pick(z, d.marginals)


def joint(problem: Problem, z: Tensor) -> Tensor:
    """P(z), to multiply samples."""
    d = problem.distribution
    return d.lift(d.log_prob(z).exp())


def ones_only(problem: Problem, z: Tensor) -> Tensor:
    """f times the part of the score that z = 1 has."""
    d = problem.independent
    return problem.f(z).unsqueeze(-1) * z * d.q


def straight_through(problem: Problem, z: Tensor) -> Tensor:
    """J ∇f(z), like z."""
    d = problem.independent
    return d.mean_jac(problem.df(z))


def only(distribution: str, mean: MeanOf) -> MeanOf:
    """The mean of a mistake that is made with one distribution alone, given by its name; none with others."""
    return lambda problem, N: mean(problem, N) if problem.distribution.name == distribution else None


def chained(problem: Problem, N: int) -> Floats:
    """J g."""
    del N
    d = problem.independent
    g = torch.from_numpy(true_gradient(problem)).view(d.event_shape)
    found: Floats = problem.project(d.mean_jac(g)).numpy()
    return found


def from_probabilities(problem: Problem, N: int) -> Floats:
    """J ∇E f(z), z drawn at logits that are the probabilities."""
    del N
    d = problem.independent
    g = problem.at(d.mean).exact_gradient
    assert g is not None
    found: Floats = problem.project(d.mean_jac(g.view(d.event_shape))).numpy()
    return found


def plus(a: MeanOf, b: MeanOf, sign: float = 1.0) -> MeanOf:
    """a + sign · b."""

    def mean(problem: Problem, N: int) -> Floats | None:
        one, two = a(problem, N), b(problem, N)
        return None if one is None or two is None else one + sign * two

    return mean


def entropy(problem: Problem, z: Tensor) -> Tensor:
    """−log P(z) s(z)."""
    d = problem.distribution
    return d.lift(-d.log_prob(z)) * d.score(z)


def of_f(change: Callable[[Tensor], Tensor]) -> MeanOf:
    """E change(f(z)) s(z)."""
    return of_sample(lambda p, z: p.distribution.lift(change(p.f(z))) * p.distribution.score(z))


def probit_law(d: Independent) -> Tensor:
    """Logits of 1[φ + normal noise > 0]."""
    law: Tensor = torch.special.log_ndtr(d.logits) - torch.special.log_ndtr(-d.logits)
    return law


def nothing(problem: Problem, N: int) -> Floats | None:
    """No formula: the mean was fitted."""
    del problem, N
    return None


def score_at(tau: float) -> MeanOf:
    """E f(z) s(z), the score of logits/τ: (z − E z at logits/τ)/τ."""

    def row(problem: Problem, z: Tensor) -> Tensor:
        d = problem.distribution
        return d.lift(problem.f(z)) * d.with_logits(d.logits / tau).score(z) / tau

    return of_sample(row)


def all_at(tau: float) -> MeanOf:
    """The gradient in the logits of E f(z), z drawn at logits/τ."""

    def mean(problem: Problem, N: int) -> Floats:
        del N
        g = problem.at(problem.distribution.logits / tau).exact_gradient
        assert g is not None
        found: Floats = g.numpy() / tau
        return found

    return mean
