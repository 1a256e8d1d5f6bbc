"""The finding that an estimator is biased, with its cause, and what is known of the bias."""

from __future__ import annotations

from collections.abc import Sequence

from estbench.card.causes import Clues, Known, explanation, known_member, moved, observations
from estbench.card.describe import described
from estbench.card.diagnosis import Cause, fitting
from estbench.card.findings import Bias, Finding
from estbench.card.linearity import bends, linearity
from estbench.card.mistakes import MISTAKES
from estbench.card.setting import Setting
from estbench.card.subject import Subject
from estbench.card.unbiasedness import Verdict
from estbench.isolation import reason

_NEVER_MEANT = ("zero", "sign", "half_sign", "double_sign", "flipped_samples", "no_noise")
"""Mistakes that nobody means to make, also where a bias is meant."""

_NOT_LINEAR = frozenset(mistake.key for mistake in MISTAKES if not mistake.linear)


def biased(setting: Setting, found: Sequence[Verdict], *, brief: bool) -> tuple[Finding, Bias | None]:
    """The finding, of verdicts of which some are that it is biased; without a cause where looking for one raises.

    `brief`: the bias is not described.
    """
    worst = max((v for v in found if v.holds is False), key=lambda v: v.bias)
    try:
        return _explained(setting, worst, brief=brief)
    except Exception as error:
        holds = False if setting.subject.unbiased else None
        text = f"biased: {worst.text}; looking for the cause, it raised {reason(error)}"
        return Finding("unbiased", holds, text, key="other", noted=holds is None), None


def _explained(setting: Setting, worst: Verdict, *, brief: bool) -> tuple[Finding, Bias | None]:
    """The finding with its cause, and the bias, if anything is said of it."""
    estimator, coupled = setting.estimator, setting.role("coupled")
    seen = observations(setting, worst)
    straight = linearity(estimator, setting.role("one").problem, setting.sizes[-1])
    fits = fitting(seen, linear=not straight.key)
    if fits is not None and straight.key == "not_linear" and fits.key not in _NOT_LINEAR:
        one, N = setting.role("one").problem, setting.sizes[-1]
        fits = None if bends(estimator, one, N, setting.R) else fits  # that formula is linear in f, and E ĝ is not
    known = known_member(setting, seen) if fits is None else None
    lines = [] if brief else list(described(setting.subject, estimator, coupled, worst.N, seen, setting.R))
    clues = Clues(fits, known, straight, moved(seen))
    why = explanation(setting, worst, seen, clues)
    holds = _holds(setting.subject, why.fits, known)
    said = f"{worst.text}; {why.fits.says}" if why.fits is not None else worst.text
    noted = holds is None
    finding = Finding("unbiased", holds, f"biased: {said}", "" if noted else why.look, why.key, noted=noted)
    told = tuple(_lines(lines, clues))
    return finding, Bias(setting.name, told) if told else None


def _lines(description: Sequence[str], clues: Clues) -> list[str]:
    """What is known of a bias: the member that it is that of, its description, and how it changes with f."""
    known = clues.known
    lines = []
    if known is not None and known.as_is:
        same = "is" if known.in_law else "cannot be told from"
        lines.append(f"E ĝ {same} that of `{known.member.label}`, which is biased")
    lines += description
    lines += [clues.moved] if clues.moved else []
    return lines + (list(clues.straight.lines) if clues.fits is None else [])


def _holds(subject: Subject, fits: Cause | None, known: Known | None) -> bool | None:
    """False where a bias is a failure, None where it is noted: it is meant, or that of a member of the catalogue."""
    if subject.unbiased:
        excused = known is not None and known.as_is and subject.function is not None and not subject.demanded
        return None if excused else False
    mistake = fits is not None and fits.key in _NEVER_MEANT
    scaled = known is not None and not known.as_is
    return False if mistake or scaled else None
