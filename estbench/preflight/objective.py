"""Tests of an objective: its gradient, its expectation, and the exact gradient by two routes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import sqrt
from typing import Literal

import torch
from scipy.special import ndtr, ndtri
from torch import Tensor

from estbench.draws import Draw
from estbench.engine.tasks import reason
from estbench.estimators.score_function.rloo import Rloo
from estbench.objectives.base import WithExpectation, WithGrad
from estbench.preflight.unbiasedness import NotChecked, confirmed, percent, sampled
from estbench.problem import Evaluations, Problem
from estbench.rounding import Coarsest
from estbench.streams import Streams

MAX_FOR_DIFFERENCES = 2**12
STEP = 1e-4
"""Of central differences of E f."""

CUT = 3.0
"""Logits at which differences of E f keep their digits."""

SMALLER = 2**12
"""Joint states of the first variables alone, on which a closed form is enumerated where all are too many."""

FALSE_ALARM = 1e-6
"""Of the test of a closed form against a sampled mean of f."""

POINTS = 16
SAMPLES = 2**16

Claim = Literal["exact gradient", "E f", "∇f"]


@dataclass(frozen=True)
class Answer:
    """Whether a claim of an objective is true (None: not checked), and how that is known, or why it is not."""

    claim: Claim
    holds: bool | None
    text: str


def answers(problem: Problem) -> Iterator[Answer]:
    """The exact gradient, E f where it is written out, and ∇f."""
    yield exact_gradient(problem)
    if isinstance(problem.objective, WithExpectation):
        yield expectation(problem)
    yield gradient(problem)


def exact_gradient(problem: Problem) -> Answer:
    """The exact gradient by its route against enumeration, differences of E f enumerated, or a sampled gradient."""
    claim: Claim = "exact gradient"
    true, states = problem.exact_gradient, f"{problem.distribution.classes}^{problem.D} joint states"
    if true is None:
        return Answer(claim, None, f"there is none: no closed form, and {states} are too many; so bias is unknown")
    if not bool(true.isfinite().all()):
        return Answer(claim, False, "the exact gradient is not finite")
    if not problem.enumerable:
        return _sampled_gradient(problem)
    routes, wrong = list(_routes(problem)), []
    for route in routes:
        if route.apart > route.allowed:
            wrong.append(f"{route.what} {route.relative:.0e}")
    if wrong:
        return Answer(
            claim, False, f"the routes to it disagree, relative to ‖g‖ by {', '.join(wrong)}: f or E f is wrong"
        )
    clear = [f"{route.what} {route.relative:.0e}" for route in routes if route.clear]
    if clear:
        return Answer(claim, True, ", ".join(clear))
    if not bool((problem.distribution.logits.abs() > CUT).any()):
        return Answer(claim, None, "differences of E f are lost in rounding")
    moderate = exact_gradient(problem.at(problem.oracle.distribution.logits.clamp(-CUT, CUT)))
    return replace(moderate, text=f"at logits cut to ±{CUT:.0f}: {moderate.text}")


@dataclass(frozen=True)
class _Route:
    """Another route to the gradient: how far it is from the route, and how far it may be (a share of ‖g‖, rounding)."""

    what: str
    apart: float
    norm: float
    share: float
    rounding: float

    @property
    def allowed(self) -> float:
        return self.share * self.norm + self.rounding

    @property
    def relative(self) -> float:
        return self.apart / max(self.norm, 1e-12)

    @property
    def clear(self) -> bool:
        """Whether an error of a thousandth would be seen; a gradient of 0 is compared with what rounding leaves."""
        return self.rounding <= max(1e-3 * self.norm, 1e-9)


def _routes(problem: Problem) -> Iterator[_Route]:
    true = problem.exact_gradient
    assert true is not None
    norm, rounding = float(true.norm()), 16 * torch.finfo(torch.float64).eps * _size(problem)
    if problem.route == "closed form":
        yield _Route("enumeration", float((problem.by_enumeration() - true).norm()), norm, 1e-9, rounding)
    if problem.n_states <= MAX_FOR_DIFFERENCES:
        yield _Route("differences of E f", float((differences(problem) - true).norm()), norm, 1e-5, rounding / STEP)
    elif problem.route == "enumeration":
        u, along = direction(problem)
        apart = abs(float(difference(problem, u)) - float(true @ along))
        yield _Route("a difference of E f", apart, norm, 1e-5, rounding / STEP)


def _sampled_gradient(problem: Problem) -> Answer:
    """A closed form against an unbiased estimator."""
    claim: Claim = "exact gradient"
    try:
        found = sampled(problem, Rloo(), 4)
        (wrong,) = confirmed([found], lambda _: sampled(problem, Rloo(), 4, stage=2))
    except NotChecked as why:
        return Answer(claim, None, str(why))
    if wrong is not None:
        return Answer(
            claim, False, f"the closed form is {wrong.bias:.2g} ‖g‖ away from the mean of an unbiased estimator"
        )
    if found.underpowered:
        return Answer(claim, None, found.underpowered)
    return Answer(claim, True, f"sampled: an error above {percent(found.smallest)} of ‖g‖ would have been seen")


def expectation(problem: Problem) -> Answer:
    """E f in closed form against enumeration, else against that of the first variables alone, and a sampled mean."""
    claim: Claim = "E f"
    if problem.enumerable:
        found, apart = _against_enumeration(problem)
        return Answer(claim, found, f"enumeration {apart:.0e}" if found else _off(apart, "all joint states"))
    texts = []
    if (smaller := _first_variables(problem)) is not None:
        found, apart = _against_enumeration(smaller)
        if not found:
            return Answer(claim, False, _off(apart, f"the states of the first {smaller.D} variables alone"))
        texts.append(f"enumeration of {smaller.D} variables: {apart:.0e}")
    f = _sample_of_f(problem)
    said = float(problem.mean_f)
    se = float(f.std()) / sqrt(len(f))
    off, slack = abs(float(f.mean()) - said), 1e-9 * float(f.abs().mean())
    if se == 0 or not f.isfinite().all():
        return Answer(claim, None if not texts else True, "; ".join([*texts, "f does not vary in a sample"]))
    if 2 * float(ndtr(-max(0.0, off - slack) / se)) < FALSE_ALARM:
        return Answer(
            claim,
            False,
            f"`expectation` says {said:.4g}, but the mean of {len(f)} samples of f is {f.mean():.4g} ± {se:.1g}",
        )
    smallest = float(ndtri(1 - FALSE_ALARM / 2) + ndtri(0.9)) * se
    return Answer(
        claim, True, "; ".join([*texts, f"{len(f)} samples of f: an error of {smallest:.1g} would have been seen"])
    )


def gradient(problem: Problem, points: int = POINTS) -> Answer:
    """∇f against differences of f: central ones at random points inside, those that point inward at vertices.

    Of steps h = ∛eps, with eps of the coarsest type in which f computes: their error is of the order of h², and that of
    rounding of eps/h.
    """
    claim: Claim = "∇f"
    numbers, inside = _points(problem, points)
    o = replace(problem.oracle, evaluations=Evaluations())
    written = isinstance(problem.objective, WithGrad)
    try:
        g = o.df(numbers)
    except TimeoutError:  # it is slow, not wrong
        raise
    except Exception as error:  # whatever an f without gradient raises
        return Answer(claim, False if written else None, f"∇f raises {reason(error)}")
    with (coarsest := Coarsest()):
        f = o.f(numbers)
    eps = max(coarsest.eps, torch.finfo(f.dtype).eps)
    h = eps ** (1 / 3)
    size, rounding = float(g.abs().max()), 64 * eps * float(f.abs().max()) / h
    if eps > torch.finfo(f.dtype).eps and rounding > 0.1 * size:
        return Answer(claim, None, f"f is rounded to {eps:.0e} of itself, which hides its derivative")
    worst = 0.0
    flat = numbers.flatten(1)
    for i in range(flat.shape[1]):
        e = torch.zeros_like(flat)
        e[:, i] = 1.0
        e = e.view_as(numbers)
        inward = torch.where(flat[:, i] > 0.5, -h, h)
        step = inward.view(-1, *[1] * (numbers.ndim - 1)) * e
        one, two = o.f(numbers + step), o.f(numbers + 2 * step)
        one_sided = (4 * one - 3 * f - two) / (2 * inward)
        central = (o.f(numbers + h * e) - o.f(numbers - h * e)) / (2 * h)
        expected = torch.where(inside, central, one_sided)
        apart = (g.flatten(1)[:, i] - expected).abs()
        worst = max(worst, float(apart.nan_to_num(nan=torch.inf).max()))
    allowed = (1e-4 + 100 * h**2) * size + rounding + 1e-9
    if worst <= allowed:
        return Answer(claim, True, f"differences of f at {len(numbers)} points")
    what = "`grad`" if written else "∇f by autograd"
    return Answer(
        claim, False, f"{what} is not the derivative of `value`: it is off by {worst:.2g} where ∇f reaches {size:.2g}"
    )


def differences(problem: Problem, step: float = STEP) -> Tensor:
    """∇ E f by central differences of E f enumerated: (E f(θ + h e) − E f(θ − h e))/2h, [P]."""
    logits = problem.oracle.distribution.logits
    units = torch.eye(logits.numel(), dtype=torch.float64).view(-1, *logits.shape)
    return problem.project(torch.stack([difference(problem, u, step) for u in units]).view_as(logits))


def difference(problem: Problem, u: Tensor, step: float = STEP) -> Tensor:
    """(E f(θ + h u) − E f(θ − h u))/2h, a number."""
    logits = problem.oracle.distribution.logits
    ahead, behind = (enumerated(problem, logits + sign * step * u) for sign in (1, -1))
    return (ahead - behind) / (2 * step)


def direction(problem: Problem) -> tuple[Tensor, Tensor]:
    """A direction of the logits of length 1 in which no derivative is likely to vanish, and its parameters [P]."""
    u = Streams(0, "preflight/direction", range(1)).uniform("direction", 1, problem.parameters)[0] - 0.3
    u = u / u.norm()
    return problem.parametrisation.jvp(u, problem.distribution), u


def enumerated(problem: Problem, logits: Tensor) -> Tensor:
    """E f at these logits, a number."""
    moved = problem.at(logits)
    return sum((P @ moved.f(z) for z, P in moved.enumerate()), torch.zeros((), dtype=torch.float64))


def _size(problem: Problem) -> float:
    """E |f(z)|: what rounding is relative to."""
    o = problem.oracle
    return float(sum(P @ o.f(z).abs() for z, P in o.enumerate()))


def _against_enumeration(problem: Problem) -> tuple[bool, float]:
    """Whether E f agrees with the sum over states, and how far it is off relative to E |f|."""
    o, size = problem.oracle, max(_size(problem), 1e-300)
    apart = abs(float(problem.mean_f) - float(enumerated(problem, o.distribution.logits))) / size
    return apart <= 1e-10, apart


def _off(apart: float, what: str) -> str:
    return f"`expectation` is not the mean of `value`: off by {apart:.1g} of E |f|, from {what}"


def _first_variables(problem: Problem) -> Problem | None:
    """The same objective of the first variables alone; None if it does not take fewer."""
    o, K = problem.oracle, problem.distribution.classes
    D = 1
    while D < problem.D and K ** (D + 1) <= SMALLER:
        D += 1
    smaller = replace(problem.at(o.distribution.logits[:D]), tie=False)
    try:
        smaller.f(smaller.distribution.states(0, 1))
        assert smaller.mean_f.isfinite()
    except Exception:  # coefficients of another size, say
        return None
    return smaller


def _sample_of_f(problem: Problem) -> Tensor:
    """f of some samples, [n]."""
    o = problem.oracle
    n = max(256, min(SAMPLES, 2**22 // o.distribution.logits.numel()))
    draw = Draw(o, n, 1, streams=Streams(0, "preflight/objective", range(1)))
    return draw.fz.flatten()


def _points(problem: Problem, points: int) -> tuple[Tensor, Tensor]:
    """Random points inside, mixtures of the classes, and vertices, [2 points, D(, K)]; and which are inside."""
    d = problem.oracle.distribution
    streams = Streams(0, "preflight/points", range(1))
    weights = streams.uniform("points", points, d.classes, d.n_variables)
    weights /= weights.sum(1, keepdim=True)
    pure = (d.one_hot(torch.full_like(weights[:, k], k)) for k in range(d.classes))
    mixed = torch.stack([d.per_variable(weights[:, k]) * z for k, z in enumerate(pure)]).sum(0)
    few = Draw(problem.oracle, points, 1, noise={"main": streams.uniform("vertices", points, 1, *d.event_shape)})
    vertices = few.z[:, 0]
    inside = torch.arange(2 * points) < points
    return torch.cat((mixed, vertices)), inside
