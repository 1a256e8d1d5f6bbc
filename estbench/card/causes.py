"""The search for the cause of a bias: in means, in how estimates change with f, and in the points where f is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import sqrt

from estbench.adapters import Adapted
from estbench.card.diagnosis import LIMIT, Cause, biased_members, by_size, per_coordinate
from estbench.card.invariances import shifted
from estbench.card.linearity import Linearity
from estbench.card.members import Member, in_law, members, serves
from estbench.card.observed import Observed, observe
from estbench.card.problems import information, linear, quadratic
from estbench.card.recorded import evidence, halves_cancel, single_calls
from estbench.card.rewards import by_rewards
from estbench.card.sampling import sample
from estbench.card.setting import MOST, Setting
from estbench.card.transforms import affine
from estbench.card.unbiasedness import Verdict
from estbench.estimators.base import RowEstimator
from estbench.preflight.unbiasedness import percent

LIKELY = 8
"""How many of the members with the nearest means have their law compared, too."""

SMALL = 0.02
"""A mean of the score, relative to its size, that a baseline with the digits of a fit may leave."""

_VAGUE = ("moves", "other", "known_scaled", "decay", "factor", "factor_of_n", "unrelated")
"""Causes that say little: the samples at which f is evaluated may say more."""

_VAGUER = ("moves", "other", "factor_of_n", "unrelated")
"""Causes that say less than how advantages follow the rewards."""


@dataclass(frozen=True)
class Known:
    """A biased member of the catalogue with the observed mean, times a factor; `in_law`: with the observed law, too."""

    member: Member
    factor: float
    in_law: bool = True

    @property
    def as_is(self) -> bool:
        """Whether it is the member itself, without a factor."""
        return abs(self.factor - 1) < 0.02


@dataclass(frozen=True)
class Clues:
    """What means and estimates tell of a bias: `fits`, the mistake that fits, or else the member that it is known as.

    `straight`: how estimates change with f; `moved`: by how much the mean moves with a constant added to f, if it does.
    """

    fits: Cause | None
    known: Known | None
    straight: Linearity
    moved: str


@dataclass(frozen=True)
class Explanation:
    """The key of a cause, what to look for, and the formula of E ĝ that fits, if one does."""

    key: str
    look: str
    fits: Cause | None


def observations(setting: Setting, worst: Verdict) -> list[Observed]:
    """Means on the simplest problem, without and with a constant added to f, on others, and where it is worst."""
    estimator = setting.estimator
    R = setting.R if setting.looped else min(max(setting.R, worst.telling), MOST)
    one, coupled = setting.role("one"), setting.role("coupled")
    simplest = setting.role("two")  # of variables with more classes; else the first one
    sizes = [N for N in setting.sizes if N != 1] or setting.sizes
    few, many = sizes[0], sizes[-1]
    pairs = dict.fromkeys([(simplest, many), (one, few), (simplest, worst.N), (worst.probe, worst.N), (coupled, many)])
    found = [observe(p, estimator, few, R, "mean/simplest") for p in (simplest.problem, shifted(simplest.problem))]
    for probe, N in pairs:
        if (probe, N) != (simplest, few):
            found.append(observe(probe.problem, estimator, N, R, f"mean/{probe.label}/{N}"))
    if isinstance(estimator, RowEstimator):  # a mean of rows has the mean of one: no factor of it depends on N
        return [replace(seen, N=1) for seen in found]
    return found


def moved(seen: Sequence[Observed]) -> str:
    """Whether a constant added to f moves the mean: the first two of the observations."""
    without, with_ = seen[:2]
    d = with_.m - without.m
    noise = (with_.noise**2 + without.noise**2) ** 0.5
    if bool((abs(d) > 5 * noise).any()):
        return f"it moves with a constant added to f: by {percent(float((d @ d) ** 0.5) / without.size)} of ‖g‖"
    return ""


def known_member(setting: Setting, seen: Sequence[Observed]) -> Known | None:
    """The biased member of the catalogue that it is, times a factor: a mean alone tells little of a factor."""
    biased = [c for c in members(setting.name, setting.temperatures) if c.estimator.facts.unbiased is False]
    N, problem = setting.sizes[-1], setting.role("coupled").problem
    x = cache(lambda: sample(problem, setting.estimator, N, setting.R, "law"))
    for member, factor in biased_members(seen, biased)[:LIKELY]:
        # its law, and not its mean alone, which others may have
        law = serves(member.estimator, problem, N) and bool(in_law(x() / factor, problem, N, [member]))
        if law or (factor == 1 and not setting.subject.unbiased):
            return Known(member, factor, law)
    return None


def explanation(setting: Setting, worst: Verdict, seen: Sequence[Observed], clues: Clues) -> Explanation:
    """The cause that the clues tell; where they say little, what its calls or the single coordinates tell."""
    key, look = _told(clues)
    if key in _VAGUE and setting.makes_samples:
        key, look = _by_calls(setting, worst, key) or (key, look)
    if key == "other" and (factors := _by_coordinates(setting, worst.N)) is not None:
        return Explanation(factors.key, factors.look, factors)
    if key in _VAGUER and setting.subject.form == "advantages":
        key, look = by_rewards(setting.estimator, setting.sizes[-1], setting.role("coupled").problem.D) or (key, look)
    if key in ("moves", "other") and setting.makes_samples:
        key, look = _by_constant(setting) or (key, look)
    if key == "other":
        key, look = by_size(seen) or (key, look)
    return Explanation(key, look, clues.fits)


def _told(clues: Clues) -> tuple[str, str]:
    """The key of the cause and what to look for, by the first clue that tells one."""
    if clues.fits is not None and clues.straight.key != "rounded":
        return clues.fits.key, clues.fits.look
    if clues.straight.key:
        return clues.straight.key, clues.straight.look
    if clues.known is not None:
        return _known(clues.known)
    if clues.moved:
        return (
            "moves",
            "the baseline depends on the sample that it is subtracted from, or the score does not have mean 0",
        )
    return "other", "no usual mistake fits: see how the bias is described"


def _known(known: Known) -> tuple[str, str]:
    """The key and what to look for where it is a member of the catalogue, or a multiple of one."""
    label, c = known.member.label, known.factor
    if known.as_is:
        return "known", f"this is what `{label}` does, which is biased"
    own = getattr(known.member.estimator, "temperature", None)
    tau = "; its temperature is that, so that 1/τ is missing in the derivative" if own == c != 1 else ""
    if c == -1:
        return "known_scaled", f"E ĝ is −1 times that of `{label}`: the sign of the derivative is wrong"
    return "known_scaled", f"E ĝ is {c:.3g} times that of `{label}`: look for a constant factor{tau}"


def _by_calls(setting: Setting, worst: Verdict, key: str) -> tuple[str, str] | None:
    """What its calls tell of the cause: that they are all the same, or the samples at which f is evaluated."""
    estimator, N, R = setting.estimator, setting.sizes[-1], setting.R
    probe = setting.role("coupled")
    if isinstance(estimator, Adapted) and not estimator.found.random:
        return "same_numbers", (
            "every call gives the same estimate: its random numbers are the same each time, as where the function "
            "seeds a generator"
        )
    seen = single_calls(probe.problem, estimator, N)
    if key == "unrelated" and (cause := halves_cancel(seen.calls)) is not None:
        return cause
    found = evidence(seen, estimator, N, R)
    if found is None and worst.probe is not probe:
        found = evidence(single_calls(worst.probe.problem, estimator, N), estimator, N, R)
    return found


def _by_constant(setting: Setting) -> tuple[str, str] | None:
    """Whether E ĝ is not 0 where f is 1 at all samples, whatever the baseline."""
    one = affine(setting.role("coupled").problem, scale=0.0, shift=1.0)
    x = sample(one, setting.estimator, setting.sizes[-1], setting.R, "f = 1")
    mean, se = x.mean(0), (x.var(0) / len(x)).sqrt()
    if not bool((mean.abs() > LIMIT * se).any()) or float(mean.norm()) < SMALL * sqrt(information(one)):
        return None
    return "score_mean", (
        "with f = 1 at all samples E ĝ is not 0, so that the score does not have mean 0: log P(z) is that of other "
        "probabilities than z is drawn with (a temperature, a clamp, smoothed labels), or is differentiated through "
        "the sample too"
    )


def _by_coordinates(setting: Setting, N: int) -> Cause | None:
    """Whether each coordinate has a factor of its own, from three f at the same logits."""
    problem = setting.role("coupled").problem
    some = (problem, linear(problem), quadratic(problem))
    R = 2 * setting.R if setting.looped else 16 * setting.R
    return per_coordinate([observe(p, setting.estimator, N, R, f"factor {i}") for i, p in enumerate(some)])
