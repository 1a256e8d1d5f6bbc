"""Why a mean is not the gradient: the mistake that fits what was observed, or what is left to say of the bias.

Observations are means on some problems at some N, with standard errors. A formula fits if no coordinate is off by more
than `LIMIT` standard errors, and none of the others fits better by far.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import acos, degrees

import numpy as np

from estbench.card.formulas import nothing
from estbench.card.members import Member
from estbench.card.mistakes import MISTAKES, Mistake
from estbench.card.observed import Observed
from estbench.moments import Floats

LIMIT = 4.5
"""Standard errors that a coordinate may be off."""

PER_RARITY = 6.0
"""By how much, in χ², a formula must fit better than one that is commoner by one step."""

RARE = 3
"""The rarity from which on a formula is not looked at with a factor."""

FREE = 8.0
"""The same for a factor that was fitted."""

NATURAL = (-2.0, -1.0, -0.5, 0.5, 2.0)
"""Factors that mistakes have. With any factor, some formula fits almost any mean."""

PRECISE = 0.07
"""The relative standard error at which a factor is known to be one of them."""

FEW_PERCENT = 0.05
"""The standard error, relative to ‖g‖, at which a mean is known to be right."""

SHARP = 0.08
"""The standard error of a fitted factor beyond which nothing is said of it."""


@dataclass(frozen=True)
class Cause:
    """What fits: its key, what E ĝ is, and what to look for in the code."""

    key: str
    says: str
    look: str


@dataclass(frozen=True)
class Scale:
    """E ĝ = c g with one factor c for each N, and its standard errors; `pure` if nothing else is there."""

    factors: dict[int, float]
    errors: dict[int, float]
    pure: bool
    angle: float

    @property
    def text(self) -> str:
        """c at each N."""
        each = dict.fromkeys(f"{c:.3g}" for c in self.factors.values())
        if len(each) == 1 or self.constant:
            c = np.average(list(self.factors.values()), weights=[1 / e**2 for e in self.errors.values()])
            return f"{c:.3g} g"
        return ", ".join(f"{self._shown(N)} g at N = {N}" for N in self.factors)

    def _shown(self, N: int) -> str:
        """c, which is 0 where it cannot be told from that."""
        c = self.factors[N]
        return "0" if abs(c) < 4 * self.errors[N] + 1e-6 else f"{c:.3g}"

    @property
    def constant(self) -> bool:
        """Whether c is the same at every N."""
        c, e = np.array(list(self.factors.values())), np.array(list(self.errors.values()))
        mean = np.average(c, weights=1 / e**2)
        return bool((np.abs(c - mean) < 4 * e + 1e-6).all())

    @property
    def nearly_one(self) -> bool:
        """Whether no factor is surely another than 1: it then explains no bias."""
        return all(abs(c - 1) < 4 * self.errors[N] + 1e-6 for N, c in self.factors.items())

    @property
    def mean(self) -> float:
        """c where it is constant."""
        return float(np.average(list(self.factors.values()), weights=[1 / e**2 for e in self.errors.values()]))


def misfit(observations: Sequence[Observed], means: Iterable[Floats | None]) -> float | None:
    """χ² of the means about those of a formula; None where one is off by too much, or the formula says nothing."""
    total, compared = 0.0, 0
    for seen, mean in zip(observations, means, strict=True):
        if mean is None:
            continue
        if not np.isfinite(mean).all():
            return None
        z = seen.off(mean)
        if not np.abs(z).max() < LIMIT:
            return None
        total += float(z @ z)
        compared += 1
    return total if compared else None


def fitting(observations: Sequence[Observed], *, linear: bool) -> Cause | None:
    """The mistake that fits best; None where g itself fits as well, and nothing can be told.

    `linear`: whether estimates are linear in f, which leaves some mistakes out.
    """
    found: list[tuple[float, Mistake | None]] = []
    right = misfit(observations, [seen.g for seen in observations])
    if right is not None:
        found.append((right, None))
    for mistake in _possible(linear=linear):
        chi2 = misfit(observations, (_mean(mistake, seen) for seen in observations))  # most are off at the first
        if chi2 is not None:
            found.append((chi2 + PER_RARITY * mistake.rarity, mistake))
    scale = scale_of(observations)
    explains = scale.pure and max(scale.errors.values()) < SHARP and not scale.nearly_one
    if explains and scale.constant:
        free = misfit(observations, [scale.mean * seen.g for seen in observations])
        if free is not None:
            found.append((free + FREE, _constant(scale.mean)))
    elif explains:
        free = misfit(observations, [scale.factors[seen.N] * seen.g for seen in observations])
        if free is not None:
            found.append((free + 2 * FREE, _of_n(scale)))
    if not found:
        return _times_a_factor(observations, linear=linear)
    best = min(found, key=lambda pair: pair[0])[1]
    if best is None:
        return None
    if best.key == "zero" and any(seen.variance > 0 for seen in observations):
        return UNRELATED
    return Cause(best.key, best.says, best.look)


UNRELATED = Cause(
    "unrelated",
    "E ĝ = 0, though estimates are not 0",
    "f is evaluated at other samples than those whose score it is multiplied by, or at none (at their mean, say)",
)


def _possible(*, linear: bool) -> list[Mistake]:
    return [mistake for mistake in MISTAKES if mistake.linear or not linear]


def _times_a_factor(observations: Sequence[Observed], *, linear: bool) -> Cause | None:
    """The mistake whose mean, times a factor, fits."""
    found = []
    for mistake in _possible(linear=linear):
        if mistake.rarity >= RARE:  # with a factor, one of many would fit almost anything
            continue
        means = [_mean(mistake, seen) for seen in observations]
        some = [mean for mean in means if mean is not None]
        if len(some) < len(observations) or not all(np.isfinite(mean).all() for mean in some):
            continue
        c, error = _factor(observations, some)
        chi2 = misfit(observations, [c * mean for mean in some])
        natural = _natural(c, error)
        if chi2 is not None and natural:
            found.append((chi2 + PER_RARITY * mistake.rarity, natural, mistake))
    if not found:
        return _partly_zero(observations)
    _, c, best = min(found, key=lambda each: each[0])
    says = f"{c:.3g} times {best.says.removeprefix('E ĝ = ')}"
    return Cause(best.key, f"E ĝ = {says}", f"{best.look}; and there is a factor of {c:.3g}")


def _partly_zero(observations: Sequence[Observed]) -> Cause | None:
    """Some logits have no gradient at all."""
    seen = observations[-1]
    never = (seen.m == 0) & (seen.se == 0) & (np.abs(seen.g) > 1e-6 * seen.size)
    if not never.any() or never.all():
        return None
    where = ", ".join(str(i) for i in np.flatnonzero(never)[:6])
    look = (
        "look for an index that is fixed, for a sum or a mean that is taken over the wrong axis, and for a clamp that "
        "cuts probabilities off there"
    )
    return Cause("some_zero", f"ĝ is always 0 in the logits {where} (counted from 0)", look)


def biased_members(observations: Sequence[Observed], candidates: Sequence[Member]) -> list[tuple[Member, float]]:
    """The biased members of the catalogue whose mean, times a factor, is the one observed, the likeliest first."""
    found: list[tuple[float, Member, float]] = []
    for candidate in candidates:
        noisier, means = _compared(candidate, observations)
        if not means:
            continue
        tau = getattr(candidate.estimator, "temperature", None)
        also = (float(tau), 1 / float(tau)) if isinstance(tau, float | int) else ()
        for c, price in ((1.0, 0.0), (_natural(*_factor(noisier, means), also), FREE)):
            if not c:
                continue
            chi2 = misfit(noisier, [c * mean for mean in means])
            if chi2 is not None:
                found.append((chi2 + price, candidate, c))
    return [(candidate, c) for _, candidate, c in sorted(found, key=lambda each: each[0])]


def _compared(candidate: Member, observations: Sequence[Observed]) -> tuple[list[Observed], list[Floats]]:
    """The observations, with the noise of a member's means too, and these; none if no multiple of them may fit."""
    compared: dict[int, tuple[Observed, Floats]] = {}
    lowest, highest = -np.inf, np.inf
    for i in sorted(range(len(observations)), key=lambda i: -len(observations[i].m)):  # many coordinates tell most
        seen = observations[i]
        found = candidate.mean(seen.problem, seen.N)
        if found is None:
            return [], []
        compared[i] = replace(seen, se=np.hypot(seen.se, found[1])), found[0]
        low, high = _factors(*compared[i])
        lowest, highest = max(lowest, low), min(highest, high)
        if not lowest < highest:  # so it is for most members at the first problem
            return [], []
    return [compared[i][0] for i in sorted(compared)], [compared[i][1] for i in sorted(compared)]


def _factors(seen: Observed, mean: Floats) -> tuple[float, float]:
    """Between which factors c no coordinate of c mean is off by too much; (∞, −∞) if there is no such c."""
    most = LIMIT * (1 + 1e-9) * seen.noise
    some = mean != 0
    if not np.isfinite(mean).all() or not (np.abs(seen.m) < most)[~some].all():
        return np.inf, -np.inf
    ends = np.sort([(seen.m - most)[some] / mean[some], (seen.m + most)[some] / mean[some]], axis=0)
    return float(ends[0].max(initial=-np.inf)), float(ends[1].min(initial=np.inf))


def scale_of(observations: Sequence[Observed]) -> Scale:
    """The factors along g, by weighted least squares, and the largest angle between E ĝ and g, in degrees."""
    factors, errors = {}, {}
    for N in sorted({seen.N for seen in observations}):
        own = [seen for seen in observations if seen.N == N]
        factors[N], errors[N] = _factor(own, [seen.g for seen in own])
    means = [factors[seen.N] * seen.g for seen in observations]
    angle = max((_angle(seen) for seen in observations), default=0.0)
    return Scale(factors, errors, misfit(observations, means) is not None, angle)


def _factor(observations: Sequence[Observed], means: Sequence[Floats]) -> tuple[float, float]:
    """c of least Σ ((m − c mean)/noise)², and its standard error."""
    top = sum(float((seen.m / seen.noise**2) @ mean) for seen, mean in zip(observations, means, strict=True))
    bottom = sum(float((mean / seen.noise**2) @ mean) for seen, mean in zip(observations, means, strict=True))
    return (top / bottom, bottom**-0.5) if bottom > 0 else (0.0, np.inf)


def per_coordinate(observations: Sequence[Observed]) -> Cause | None:
    """Whether E ĝ_j = c_j g_j at the same logits for every f: some of the factors are stated."""
    m, g = (np.stack([getattr(seen, name) for seen in observations]) for name in ("m", "g"))
    noise = np.stack([seen.noise for seen in observations])
    if not np.isfinite(m).all():
        return None
    weight = (g**2 / noise**2).sum(0)
    c = (m * g / noise**2).sum(0) / np.maximum(weight, 1e-300)
    if (weight < PRECISE**-2).any() or (np.abs(m - c * g) / noise).max() >= LIMIT:
        return None
    error = weight**-0.5
    if (np.abs(c) < LIMIT * error).any() or np.ptp(c) < LIMIT * error.max() + 1e-6:  # they say nothing, or are one
        return None
    said = ", ".join(f"{x:.3g}" for x in c[:4]) + (", …" if len(c) > 4 else "")
    return Cause(
        "per_variable",
        f"E ĝ_j = c_j g_j for every f, with c = {said}",
        "each logit's derivative has a factor of its own, whatever f is: the derivative p(1 − p) of a variable, a "
        "weight of a pair such as σ(|φ|), or a weight for each position",
    )


def by_size(observations: Sequence[Observed]) -> tuple[str, str] | None:
    """What to look for where the mean is right with one variable alone, or with two classes alone."""
    known = [(seen, right) for seen in observations if (right := _right(seen)) is not None]
    for key, of, look in _SIZES:
        sizes = {size: all(right for seen, right in known if of(seen) == size) for size in {of(s) for s, _ in known}}
        smallest = min(sizes, default=0)
        if len(sizes) > 1 and sizes.pop(smallest) and not any(sizes.values()):
            return key, look
    return None


_SIZES: tuple[tuple[str, Callable[[Observed], int], str], ...] = (
    (
        "several_variables",
        lambda seen: seen.problem.D,
        "right with one variable, and wrong with several: look for the index of another variable, for a sum, a mean "
        "or a softmax over the wrong axis, and for one random number that serves several variables",
    ),
    (
        "several_classes",
        lambda seen: seen.problem.distribution.classes,
        "right with K = 2 classes, and wrong with more: look for what holds for two classes alone, such as 1 − π for "
        "the probability of the other class, or z − ½",
    ),
)


def _right(seen: Observed) -> bool | None:
    """Whether the mean is g as far as can be told; None where that is not far."""
    off = bool((np.abs(seen.off(seen.g)) >= LIMIT).any())
    return not off if off or np.linalg.norm(seen.noise) < FEW_PERCENT * seen.size else None


def _natural(c: float, error: float, also: Sequence[float] = ()) -> float:
    """The usual factor that a fitted one is, within its standard error; 0 if there is none, or it is not precise."""
    near = (n for n in (*NATURAL, *also) if abs(c - n) < LIMIT * error + 1e-6 and error < PRECISE * abs(n))
    return min(near, key=lambda n: abs(c - n), default=0.0)


def _angle(seen: Observed) -> float:
    """Between E ĝ and g where it is certain that there is one: 0 where noise explains it."""
    m, g = seen.m, seen.g
    if not (np.linalg.norm(m) > 0 and np.linalg.norm(g) > 0):
        return 0.0
    across = m - (m @ g) / (g @ g) * g
    if np.abs(across / seen.noise).max() < LIMIT:
        return 0.0
    return degrees(acos(np.clip(m @ g / (np.linalg.norm(m) * np.linalg.norm(g)), -1, 1)))


def _mean(mistake: Mistake, seen: Observed) -> Floats | None:
    return mistake.mean(seen.problem, seen.N)


def _constant(c: float) -> Mistake:
    if 0.5 < c < 1:
        look = (
            f"if {c:.2g} is the decay of a moving average: the baseline is used after its update, so that it has seen "
            f"the sample (1 − decay = {1 - c:.2g} of it); else look for a constant factor"
        )
        return Mistake("decay", nothing, f"E ĝ = {c:.3g} g at every N", look)
    look = (
        f"look for a constant factor of {c:.3g}, as a temperature that multiplies where it divides, or that is missing"
    )
    return Mistake("factor", nothing, f"E ĝ = {c:.3g} g at every N", look)


def _share(scale: Scale) -> float | None:
    """a where E ĝ = (1 − a/N) g at every N, 0 < a < 1."""
    each = [((1 - c) * N, scale.errors[N] * N) for N, c in scale.factors.items()]
    a = float(np.average([x for x, _ in each], weights=[1 / e**2 for _, e in each]))
    return a if 0.02 < a < 0.98 and all(abs(x - a) < LIMIT * e + 1e-6 for x, e in each) else None


def _of_n(scale: Scale) -> Mistake:
    if (a := _share(scale)) is not None:
        look = (
            f"the baseline gives the mean of the N samples a weight of {a:.2g}, and so sees their own rewards: it is a "
            "moving average that is used after its update, or is shrunk"
        )
        return Mistake("decay", nothing, f"E ĝ = (1 − {a:.2g}/N) g", look)
    right = [N for N, c in scale.factors.items() if abs(c - 1) < 4 * scale.errors[N] + 1e-6]
    at = f"right at N = {', '.join(map(str, right))} only: " if right else ""
    look = f"{at}a pure rescaling whose factor depends on N: look at what the samples are divided by"
    return Mistake("factor_of_n", nothing, f"E ĝ = {scale.text}", look)
