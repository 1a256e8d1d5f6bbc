"""A bias in words: along g or across, and where it vanishes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from estbench.card.diagnosis import LIMIT, Scale, scale_of
from estbench.card.observed import ROUNDING, Observed, observe
from estbench.card.problems import Probe, linear, quadratic
from estbench.card.subject import Subject
from estbench.estimators.base import Estimator
from estbench.preflight.unbiasedness import percent

SMALL_ANGLE = 0.5
"""An angle, in degrees, below which E ĝ counts as parallel to g."""

LARGE = 4
"""How many times more samples are taken to see whether a bias falls."""


def described(
    subject: Subject, estimator: Estimator, probe: Probe, N: int, observations: Sequence[Observed], R: int
) -> Iterator[str]:
    """One line for each thing that is known of a bias."""
    scale = scale_of(observations)
    yield along(scale)
    if not scale.pure:
        yield f"on a linear f it {_where(observe(linear(probe.problem), estimator, N, R, 'linear'))}"
        yield f"on a quadratic f it {_where(observe(quadratic(probe.problem), estimator, N, R, 'quadratic'))}"
    if subject.couples_samples:
        yield many_samples(estimator, probe, N, R)
    else:
        yield "it is the same at every N"
    if (cooler := colder(estimator)) is not None:
        yield cold(estimator, cooler, probe, N, R)


def along(scale: Scale) -> str:
    """Whether E ĝ is a multiple of g."""
    if scale.pure:
        return f"a pure rescaling: E ĝ = {scale.text}"
    if scale.angle < SMALL_ANGLE:
        return "E ĝ is a multiple of g on each problem, by another factor on each"
    return f"E ĝ is turned away from g, by up to {scale.angle:.0f}° on the problems looked at"


def vanishes(seen: Observed) -> bool:
    """Whether no coordinate of the bias is certain."""
    return bool((np.abs(seen.off(seen.g)) < LIMIT).all())


def _where(seen: Observed) -> str:
    if not np.isfinite(seen.m).all():
        return "could not be looked at: estimates are not finite"
    if not vanishes(seen):
        return f"remains: {percent(_relative(seen))} of ‖g‖"
    if seen.exact:
        return "vanishes, exactly"
    return f"is not seen: below {percent(_visible(seen))} of ‖g‖"


def _relative(seen: Observed) -> float:
    bias = float(np.linalg.norm(seen.m - seen.g)) / seen.size
    return bias if bias > ROUNDING else 0.0


def _visible(seen: Observed) -> float:
    return LIMIT * float(np.linalg.norm(seen.noise)) / seen.size


def many_samples(estimator: Estimator, probe: Probe, N: int, R: int) -> str:
    """Whether the bias falls with N."""
    step = getattr(estimator.facts, "multiple", 1) or 1
    large = N * LARGE * step
    try:
        few, many = (observe(probe.problem, estimator, n, R, f"N {n}") for n in (N, large))
    except Exception:  # it takes no such N
        return f"whether it falls with N was not checked: N = {large} fails"
    a, b = _relative(few), _relative(many)
    if vanishes(many) and b < a / 2:
        return f"at N = {large} it is not seen (below {percent(_visible(many))} of ‖g‖), at N = {N} it is {percent(a)}"
    return f"at N = {large} it is {percent(b)} of ‖g‖, at N = {N} {percent(a)}"


def colder(estimator: Estimator) -> Estimator | None:
    """The same at a quarter of its temperature; None where it has none, or takes no other."""
    tau = getattr(estimator, "temperature", None)
    if not isinstance(tau, float | int):
        return None
    try:
        return replace(estimator, temperature=tau / 4)  # type: ignore[type-var] # estimators are dataclasses
    except Exception:  # a temperature that it does not take
        return None


def cold(estimator: Estimator, cooler: Estimator, probe: Probe, N: int, R: int) -> str:
    """Whether the bias falls with the temperature."""
    a, b = (_relative(observe(probe.problem, e, N, 4 * R, "cold")) for e in (estimator, cooler))
    return f"at a quarter of the temperature it is {percent(b)} of ‖g‖, at the temperature itself {percent(a)}"
