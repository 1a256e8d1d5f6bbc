"""What an estimator does besides returning estimates, on one problem: state, writes, random numbers, evaluations."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from estbench.adapters import Adapted
from estbench.adapters.calls import Calls
from estbench.card.findings import Finding
from estbench.card.law import law
from estbench.card.members import counted
from estbench.card.problems import Probe
from estbench.card.recorded import same_samples_twice, writes
from estbench.card.sampling import sample
from estbench.card.setting import Setting
from estbench.estimators.base import evaluations
from estbench.isolation import reason
from estbench.preflight.purity import OWN_STREAM, impurities, random_of_its_own
from estbench.preflight.trial import Trial, same

ONE_BY_ONE, AT_ONCE = (1500, 6000), (2**15, 2**17)
"""Samples by which a law is looked at: at first, and where these are suspicious."""


def calls(setting: Setting, probe: Probe, N: int) -> Iterator[Finding]:
    """Whether its calls are deterministic and write nothing, or are pure, and what they cost."""
    yield deterministic(setting, probe, N)
    s = setting.subject
    if s.function is not None:
        yield writes(s.function, s.form, setting.name, s.samples, probe.problem, N, s.options)
    else:
        yield pure(setting, probe, N)
    yield cost(setting, probe, N)


def deterministic(setting: Setting, probe: Probe, N: int) -> Finding:
    """Whether the same seed gives the same estimates, again and from the start."""
    problem = probe.problem
    first, again, fresh = (sample(problem, setting.estimator, N, 32, "again") for _ in range(3))
    if same(first, again) and same(first, fresh):
        return Finding("deterministic", True, "the same seed gives the same estimates")
    if setting.makes_samples and same_samples_twice(problem, setting.estimator, N):
        text = "it keeps state between calls (a moving average, say): what it returns depends on the calls before"
        return Finding("deterministic", None, text, noted=True)
    return Finding(
        "deterministic",
        False,
        "two calls with the same seed differ",
        "it keeps state between calls (a moving average, a cache), or makes random numbers that no seed reaches",
        "state",
    )


def pure(setting: Setting, probe: Probe, N: int) -> Finding:
    """Whether an estimator is a pure function of its draw."""
    trial = Trial(setting.subject.build, probe.problem, N)
    try:
        found = list(impurities(trial))
        own = not found and random_of_its_own(trial)
    except Exception as error:
        return Finding("pure", None, f"not checked, because on a longer draw it raised {reason(error)}")
    if own:
        text = f"not checked, because it makes random numbers of its own; to have it checked, {OWN_STREAM}"
        return Finding("pure", None, text)
    key = "in_place" if any("in place" in text for text in found) else "impure"
    cause = "; ".join(text.partition("; ")[2] or text for text in found)
    return Finding(
        "pure",
        not found,
        "; ".join(found) or "a function of its draw alone",
        cause if found else "",
        key * bool(found),
    )


def random(setting: Setting, probe: Probe, N: int) -> bool:
    """Whether it makes random numbers of its own, so that estimates in float32 are made of others."""
    s = setting.subject
    if s.function is not None:
        return setting.estimator.facts.exact == "none"
    try:
        return random_of_its_own(Trial(s.build, probe.problem, N))
    except Exception:  # what it raises on a longer draw is told where it is asked whether it is pure
        return False


def cost(setting: Setting, probe: Probe, N: int) -> Finding:
    """Evaluations that were counted, against those that are declared."""
    e, p = setting.estimator, probe.problem
    declared = sum(evaluations(c, p.D, p.distribution.classes, N) for c in (e.facts.f, e.facts.df))
    seen = counted(e, p, N)
    told = f"{seen:g} evaluation{'s' * (seen != 1)} of f and ∇f an estimate at N = {N}"
    if setting.subject.function is not None:
        return Finding("cost", True, told)
    if declared == seen:
        return Finding("cost", True, f"{told}, as declared")
    text = f"{told}, and {declared} are declared"
    return Finding("cost", False, text, "correct `f` and `df` in its facts", "cost")


def samples(setting: Setting, probe: Probe) -> Finding:
    """Whether the samples of a sampler have the law that the logits say."""
    estimator, x = setting.estimator, probe.problem.distribution.logits
    assert isinstance(estimator, Adapted)
    way = Calls(estimator.function, "sampler", estimator.found.array, probe.problem, 1).way()

    def sampler(logits: Tensor) -> Tensor:
        found = estimator.function(logits, {})
        z: Tensor = found[0] if isinstance(found, tuple | list) else found
        return z

    def drawn(n: int) -> Tensor:
        if way == "loop":
            return torch.stack([sampler(x.clone()).detach() for _ in range(n)])
        many = x.expand(n, *x.shape).contiguous()
        return sampler(many) if way == "batch" else torch.vmap(sampler, randomness="different")(many)

    return law(drawn, probe.problem, *(ONE_BY_ONE if way == "loop" else AT_ONCE))
