"""Whether E ĝ = g on each of the card's problems, exactly or by sampling in stages, and the findings that say so."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from estbench.card.findings import Finding
from estbench.card.observed import ROUNDING, Observed, exact_mean
from estbench.card.problems import Probe, unit
from estbench.card.sampling import Stage, Test, run, unbiased
from estbench.estimators.base import Estimator
from estbench.isolation import reason
from estbench.preflight.unbiasedness import UNDERPOWERED, percent


@dataclass(frozen=True, eq=False)
class Verdict:
    """What is known of E ĝ = g on one problem at N samples: it holds, does not, or is not known (None).

    `broken`: nothing can be known of it, as estimates are not finite or it raised: the key of the failure that this is.
    `weak`: it was sampled, and larger biases than were to be seen would have been seen: of up to `UNDERPOWERED`.
    `telling`: the number of estimates of which the bias is about ten standard errors; 0 where it is exact.
    """

    probe: Probe
    N: int
    holds: bool | None
    text: str
    smallest: float = 0.0
    bias: float = 0.0
    exact: bool = False
    broken: str = ""
    weak: bool = False
    telling: int = 0

    @property
    def place(self) -> str:
        """The problem and N."""
        return f"{self.probe.label} at N = {self.N}"


def verdicts(
    estimator: Estimator, pairs: Sequence[tuple[Probe, int]], *, smallest: float, limit: float
) -> list[Verdict]:
    """The verdict on each problem and N. Sampling ends where one is biased, or after `limit` seconds."""
    deadline = time.monotonic() + limit
    found: list[Verdict] = []
    tests: list[tuple[Probe, Test]] = []
    for probe, N in pairs:
        try:
            seen = exact_mean(probe.problem, estimator, N)
        except Exception as error:
            found.append(Verdict(probe, N, None, f"it raised {reason(error)}", broken="raises"))
            continue
        if seen is not None:
            found.append(_exactly(probe, seen))
        else:
            tests.append((probe, unbiased(probe.problem, probe.label, estimator, N)))
    if any(v.holds is False for v in found):
        deadline = time.monotonic()  # it is known already: what is left is not sampled
    done = run([test for _, test in tests], smallest, deadline)
    return found + [_sampled(probe, test, smallest) for (probe, _), test in zip(tests, done, strict=True)]


def _exactly(probe: Probe, seen: Observed) -> Verdict:
    if not np.isfinite(seen.m).all():
        return Verdict(probe, seen.N, None, "some estimates are NaN or infinite", broken="nan")
    off = float((((seen.m - seen.g) ** 2).sum()) ** 0.5)
    error = float(seen.se.max(initial=0.0))
    if off <= ROUNDING * seen.size + 10 * error + seen.rounding:
        return Verdict(probe, seen.N, True, "exactly", exact=True)
    name = unit(seen.problem, torch.from_numpy(seen.g))[1]
    text = f"E ĝ is {percent(off / seen.size)} of {name} away from g at N = {seen.N}, exactly ({probe.label})"
    return Verdict(probe, seen.N, False, text, bias=off / seen.size, exact=True)


def _sampled(probe: Probe, test: Test, wanted: float) -> Verdict:
    last = test.last
    if test.raised:
        return Verdict(probe, test.N, None, f"it raised {test.raised}", broken="raises")
    if test.lost is not None:
        return Verdict(probe, test.N, None, test.lost.doubt, broken="nan")
    if test.refuted and last is not None:
        text, error = _refuted(probe, test, last), float(np.linalg.norm(last.se)) / test.unit
        telling = int(last.R * (10 * error / test.bias) ** 2)
        return Verdict(probe, test.N, False, text, bias=test.bias, smallest=test.smallest, telling=telling)
    if last is None:
        return Verdict(probe, test.N, None, "no time was left to sample")
    estimates = f"{last.R} estimate{'s' * (last.R > 1)}"
    if last.doubt and test.smallest > wanted:
        return Verdict(probe, test.N, None, last.doubt, test.smallest)
    if test.suspicious:
        return Verdict(
            probe, test.N, None, f"{estimates} were suspicious (p = {last.p:.1g}), and no time was left", test.smallest
        )
    if test.smallest > wanted:
        text = f"{estimates} would have shown only biases above {percent(test.smallest)} of {test.unit_name}"
        return Verdict(probe, test.N, None, text, test.smallest, weak=test.smallest <= UNDERPOWERED)
    return Verdict(probe, test.N, True, f"sampled: {percent(test.smallest)} of ‖g‖ would have been seen", test.smallest)


def _refuted(probe: Probe, test: Test, last: Stage) -> str:
    p = "p < 1e-12" if last.p < 1e-12 else f"p = {last.p:.0e}, after p = {test.stages[-2].p:.0e} in another sample"
    away = f"{percent(test.bias)} of {test.unit_name} away from g at N = {test.N}"
    return f"E ĝ is {away}: {last.R} estimates, {p} ({probe.label})"


def no_bias(found: Sequence[Verdict]) -> Finding:
    """One finding for all problems where none of them shows a bias."""
    known = [v for v in found if v.holds]
    unknown = [v for v in found if v.holds is None]
    exact = [v for v in known if v.exact]
    sampled = [v for v in known if not v.exact]
    parts = []
    if exact:
        parts.append(f"exactly {_on(exact)}")
    if sampled:
        parts.append(
            f"by sampling {_on(sampled)} ({percent(max(v.smallest for v in sampled))} of ‖g‖ would have been seen)"
        )
    if unknown:
        v = unknown[0]
        parts.append(f"not checked {_on(unknown)}, because {v.text}")
    worst = max((v.smallest for v in sampled), default=0.0)
    own = any(v.probe.role == "own" and not v.weak for v in unknown)  # who names a problem wants to know of that one
    some = bool(known) or any(v.weak for v in unknown)
    return Finding(
        "unbiased",
        None if unknown else True,
        "; ".join(parts),
        smallest=worst,
        partly=bool(unknown) and some and not own,
        unchecked=_places(unknown),
    )


def two_classes(found: Sequence[Verdict]) -> Finding:
    """Whether the mean is right with K = 2 classes, where the gradient is that of a Bernoulli variable."""
    two = [v for v in found if v.probe.role == "two"]
    holds = True if two and all(v.holds for v in two) else None
    text = two[0].text if two and holds else "not checked, because nothing is known of its mean there"
    return Finding("K = 2", holds, f"the gradient of a Bernoulli variable; {text}" if holds else text)


def _places(found: Sequence[Verdict]) -> tuple[str, ...]:
    """The problems, each with its N."""
    each: dict[tuple[str, str], list[int]] = {}
    for v in found:
        below = f", for biases below {percent(v.smallest)}" if v.weak else ""
        each.setdefault((v.probe.label, below), []).append(v.N)
    return tuple(f"{label} at N = {', '.join(map(str, sorted(N)))}{below}" for (label, below), N in each.items())


def _on(found: Sequence[Verdict]) -> str:
    """How many problems there are, and at which N."""
    count = len({v.probe.label for v in found})
    N = ", ".join(map(str, sorted({v.N for v in found})))
    return f"on {count} problem{'s' * (count > 1)} at N = {N}"
