"""What `estbench.testing` asserts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from estbench.api.measuring import Seed
from estbench.card.look import look
from estbench.card.members import Member, draw_by_draw, serves
from estbench.card.observed import ROUNDING
from estbench.card.problems import Probe, probes
from estbench.card.sampling import SEED, Test, run, sample
from estbench.card.subject import Form, Subject
from estbench.card.target import Resolved, UnservedError, UnusableError, resolved, settled
from estbench.estimate import truth
from estbench.estimators.base import Estimator
from estbench.isolation import reason
from estbench.preflight.problems import served
from estbench.preflight.unbiasedness import percent

PAIRED = 2**12
"""Estimates of the other by which the size of its mean squared error is known beforehand."""


def unbiased_or_raise(
    target: Any,
    form: Form | None,
    distribution: Any,
    samples: int | None,
    f: Any,
    *,
    smallest: float,
    limit: float,
    seed: Seed,
    options: Mapping[str, Any],
) -> None:
    """Raise AssertionError unless the card says that E ĝ = g on all of its problems."""
    __tracebackhide__ = True
    seed = settled(smallest, limit, seed)
    try:
        found = resolved(target, form, distribution, samples, f, unbiased=True, options=options)
    except UnusableError as error:
        raise AssertionError(f"{error.label} cannot be measured: {error}") from None
    except UnservedError as error:
        raise AssertionError(f"it cannot be measured: {error}") from None
    card = look(found.subject, found.distributions, found.own, smallest=smallest, limit=limit, brief=True, seed=seed)
    unclear = [x for x in card.findings if x.claim == "unbiased" and x.status != "ok"]
    label = found.subject.label
    if card.failures and all(x.claim == "runs" for x in card.failures):
        raise AssertionError(f"could not tell whether {label} is unbiased: {card.failures[0].text}\n\n{card}")
    if card.failures:
        raise AssertionError(f"{label} is not unbiased\n\n{card}")
    if unclear or not card.measured:
        raise AssertionError(f"could not tell whether {label} is unbiased\n\n{card}")


def match_or_raise(
    target: Any,
    other: Any,
    forms: tuple[Form | None, Form | None],
    distribution: Any,
    samples: int | None,
    *,
    smallest: float,
    limit: float,
    seed: Seed,
    options: Mapping[str, Any],
) -> None:
    """Raise AssertionError unless two estimators have the same mean and mean squared error on all problems of both."""
    __tracebackhide__ = True
    seed = settled(smallest, limit, seed)
    try:
        mine = resolved(target, forms[0], distribution, samples, None, unbiased=None, options=options)
        theirs = resolved(other, forms[1], distribution, samples, None, unbiased=None, options={})
    except UnusableError as error:
        raise AssertionError(f"{error.label} cannot be measured: {error}") from None
    except UnservedError as error:
        raise AssertionError(f"they cannot be compared: {error}") from None
    token = SEED.set(seed)
    try:
        _compare(mine, theirs, smallest=smallest, limit=limit)
    finally:
        SEED.reset(token)


def _compare(mine: Resolved, theirs: Resolved, *, smallest: float, limit: float) -> None:
    __tracebackhide__ = True
    names = f"{mine.subject.label} and {theirs.subject.label}"
    tests, looked = [], 0
    for probe, N in _common(mine, theirs):
        looked += 1
        one, two = mine.subject.estimator, theirs.subject.estimator
        place = f"at N = {N} ({probe.label})"
        try:
            if _same(mine, theirs, probe, N):
                continue
            tests.append(difference(probe, one, two, N))
        except Exception as error:
            raise AssertionError(f"could not tell whether {names} match: it raised {reason(error)}, {place}") from None
    if not looked:
        raise AssertionError(f"could not tell whether {names} match: no problem is served by both")
    done = run(tests, smallest, time.monotonic() + limit)
    for test in done:
        last = test.last
        if why := (test.raised and f"it raised {test.raised}") or (test.lost and test.lost.doubt):
            raise AssertionError(f"could not tell whether {names} match: {why}, at N = {test.N} ({test.label})")
        if test.refuted and last is not None:
            raise AssertionError(
                f"{names} differ: by {percent(test.bias)} of ‖g‖ in the mean, or of the mean squared error, at N = "
                f"{test.N} ({test.label}, {last.R} estimates of each)"
            )
    for test in done:
        if not test.done(smallest):
            why = (test.last.doubt if test.last else "") or (
                f"only differences above {percent(test.smallest)} would have been seen"
            )
            raise AssertionError(f"could not tell whether {names} match: {why}, at N = {test.N} ({test.label})")


def _same(mine: Resolved, theirs: Resolved, probe: Probe, N: int) -> bool:
    """Whether both are estimators that give the same from one draw."""
    if mine.subject.function is not None or theirs.subject.function is not None:
        return False
    label, factor = draw_by_draw(probe.problem, mine.subject.estimator, N, [Member("other", theirs.subject.estimator)])
    return bool(label) and factor == 1


def _common(mine: Resolved, theirs: Resolved) -> Iterator[tuple[Probe, int]]:
    """The problems and N that both serve."""
    one, two = mine.subject.estimator, theirs.subject.estimator
    for name in mine.distributions:
        if one.facts.unserved(name) is not None or two.facts.unserved(name) is not None:
            continue
        for probe in (*probes(name), *(p for p in mine.own if p.problem.distribution.name == name)):
            if not (served(probe.problem, one.facts) and served(probe.problem, two.facts)):
                continue
            for N in mine.subject.sizes():
                if serves(two, probe.problem, N) and _takes(theirs.subject, N):
                    yield probe, N


def _takes(subject: Subject, N: int) -> bool:
    return N % (getattr(subject.estimator.facts, "multiple", 1) or 1) == 0


def difference(probe: Probe, one: Estimator, two: Estimator, N: int) -> Test:
    """The test that (ĝ, ‖ĝ − g‖² ‖g‖/MSE) have equal means, on samples of their own."""
    problem = probe.problem
    g = truth(problem, two)
    assert g is not None
    size = float(g.norm())
    pilot = sample(problem, two, N, PAIRED, "pilot of the other")
    mse = float(((pilot - g) ** 2).sum(-1).mean())
    unit = size / max(mse, (ROUNDING * size) ** 2)  # smaller ones differ by rounding alone

    def values(x: Tensor) -> Tensor:
        return torch.cat((x, ((x - g) ** 2).sum(-1, keepdim=True) * unit), -1)

    def draws(R: int, stream: str) -> Tensor:
        a, b = sample(problem, one, N, R, f"{stream}/one"), sample(problem, two, N, R, f"{stream}/two")
        return values(a) - values(b) + mean

    mean = torch.cat((g, g.new_tensor([size])))
    return Test(problem, probe.label, N, draws, mean, size)
