"""What must not change estimates: constants in f, the order of variables and classes, the memory layout of logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from math import sqrt

import torch
from torch import Tensor

from estbench.card.findings import Claim, Finding
from estbench.card.observed import ROUNDING, exact_mean
from estbench.card.problems import Probe, information
from estbench.card.sampling import SEED, sample
from estbench.card.transforms import affine, in_first_order, in_reverse
from estbench.draws import Draw
from estbench.estimate import estimates
from estbench.estimators.base import Estimator
from estbench.isolation import Isolated, reason
from estbench.preflight.trial import same
from estbench.preflight.unbiasedness import percent
from estbench.problem import Problem
from estbench.streams import Streams

LIMIT = 5.0
"""Standard errors that a difference of means may be off, in two samples of which the second is four times as large."""

R = 1024
FIRST = "invariances"
"""The stream of the first R estimates, which several looks share."""

FEW = 48
"""Estimates that are compared one by one."""

EXTREME, BEYOND = 30.0, 100.0

STABLE = (
    "a probability that rounds to 0 or 1 goes through log, or is divided by: use logsigmoid or log_softmax of the "
    "logits, and no 1 − p"
)


def invariances(estimator: Estimator, probe: Probe, N: int, *, unbiased: bool) -> Iterator[Finding]:
    """All of them on one problem."""
    first = cache(lambda: sample(probe.problem, estimator, N, R, FIRST))
    yield _tried("shift of f", lambda: shift(estimator, probe, N, first))
    yield _tried("relabelling", lambda: relabelling(estimator, probe, N, first))
    d = probe.problem.distribution
    if d.logits.numel() > d.n_variables * (d.classes - 1):  # more logits than free probabilities
        yield _tried("sum over classes", lambda: over_classes(estimator, probe, N, first, unbiased=unbiased))
    yield _tried("non-contiguous logits", lambda: non_contiguous(estimator, probe, N))
    yield _tried("batch of logits", lambda: batch(estimator, probe, N))
    yield _tried("finite at logits ±30", lambda: extreme(estimator, probe, N, unbiased=unbiased))


class NotFiniteError(ValueError):
    """Estimates whose mean is looked at are NaN or infinite."""


def _tried(claim: Claim, look: Callable[[], Finding]) -> Finding:
    """What a look finds; that it raised; or that there is no mean to look at."""
    try:
        return look()
    except NotFiniteError as error:
        return Finding(claim, None, f"not checked, because {error}")
    except Exception as error:
        return Finding(claim, False, f"it raised {reason(error)}", "", "raises")


def shifted(problem: Problem) -> Problem:
    """f + c, c as large as makes REINFORCE's variance ‖g‖² larger."""
    g = problem.exact_gradient
    assert g is not None
    return affine(problem, shift=1.5 * float(g.norm()) / sqrt(information(problem)))


def shift(estimator: Estimator, probe: Probe, N: int, first: Callable[[], Tensor]) -> Finding:
    """E ĝ of f + c is that of f, on the same random numbers as far as the estimator uses the same."""
    one, two = probe.problem, shifted(probe.problem)
    a, b = exact_mean(one, estimator, N), exact_mean(two, estimator, N)
    if a is not None and b is not None:
        moved = float(torch.from_numpy(b.m - a.m).norm()) / a.size
        holds = moved < ROUNDING * 10 + (a.rounding + b.rounding) / a.size
        return _shift(holds, f"E ĝ moves by {percent(moved)} of ‖g‖" if not holds else "exactly")

    def difference(size: int, stream: str) -> Tensor:
        return sample(two, estimator, N, size, stream) - sample(one, estimator, N, size, stream)

    d = sample(two, estimator, N, R, FIRST) - first()
    size = _size(one)
    if float(d.abs().max()) <= ROUNDING * max(size, float(d.abs().max()) * 1e-9):
        return _shift(True, "in every draw")
    off, smallest = _zero_mean(d, lambda n: difference(n, "shift again"), size)
    if off is None:
        return _shift(True, f"sampled: {percent(smallest)} of ‖g‖ would have been seen")
    return _shift(False, f"E ĝ moves by {percent(off)} of ‖g‖ when a constant is added to f")


MOVES = "a constant added to f moves E ĝ: the score does not have mean 0, or the baseline depends on its own sample"


def _shift(holds: bool, text: str) -> Finding:
    return Finding("shift of f", holds, text, "" if holds else MOVES, "" if holds else "moves")


def relabelling(estimator: Estimator, probe: Probe, N: int, first: Callable[[], Tensor]) -> Finding:
    """Variables and classes in reverse order give the same means in reverse order."""
    one = probe.problem
    two = in_reverse(one)
    a, b = exact_mean(one, estimator, N), exact_mean(two, estimator, N)
    what = "variables and classes in reverse order"
    look = (
        "E ĝ depends on the order of variables or classes: look for an index that is fixed, a sum or softmax over the "
        "wrong axis, or a class that is treated apart"
    )
    if a is not None and b is not None:
        back = in_first_order(one, torch.from_numpy(b.m))
        off = float((back - torch.from_numpy(a.m)).norm()) / a.size
        if off < ROUNDING * 10 + (a.rounding + b.rounding) / a.size:
            return Finding("relabelling", True, f"exactly, {what}")
        return Finding("relabelling", False, f"E ĝ is off by {percent(off)} of ‖g‖ with {what}", look, "order")

    def difference(size: int, mine: Tensor) -> Tensor:
        return in_first_order(one, sample(two, estimator, N, size, "relabelled")) - mine

    moved, smallest = _zero_mean(
        difference(R, first()), lambda n: difference(n, sample(one, estimator, N, n, "order again")), _size(one)
    )
    if moved is None:
        return Finding("relabelling", True, f"sampled, {what}: {percent(smallest)} of ‖g‖ would have been seen")
    return Finding("relabelling", False, f"E ĝ is off by {percent(moved)} of ‖g‖ with {what}", look, "order")


def over_classes(estimator: Estimator, probe: Probe, N: int, first: Callable[[], Tensor], *, unbiased: bool) -> Finding:
    """Σ_k ĝ_k = 0: in every draw, or in the mean."""
    p = probe.problem

    def sums(x: Tensor) -> Tensor:
        return x.view(len(x), *p.distribution.event_shape).sum(-1)

    s, scale = sums(first()), float(first().abs().max())
    if float(s.abs().max()) <= ROUNDING * scale:
        return Finding("sum over classes", True, "Σ_k ĝ_k = 0 in every draw")
    off, smallest = _zero_mean(s, lambda n: sums(sample(p, estimator, N, n, "classes again")), _size(p))
    if off is None:
        text = f"Σ_k ĝ_k = 0 in the mean, not in every draw; sampled: {percent(smallest)} of ‖g‖ would have been seen"
        return Finding("sum over classes", True, text)
    look = (
        "the gradient of a function of the softmax adds up to 0 over the classes: the score lacks − softmax, or a "
        "gradient with respect to probabilities is taken for one with respect to logits"
    )
    text = f"E Σ_k ĝ_k is {percent(off)} of ‖g‖, and would be 0 for any gradient through a softmax"
    if unbiased:
        return Finding("sum over classes", False, text, look, "classes")
    return Finding("sum over classes", None, text, noted=True)


def non_contiguous(estimator: Estimator, probe: Probe, N: int) -> Finding:
    """Logits that are every other number in memory give the same estimates."""
    p = probe.problem
    logits = p.distribution.logits
    spread = torch.stack((logits, torch.full_like(logits, torch.nan)), -1)[..., 0]
    return _equal("non-contiguous logits", estimator, p, p.at(spread), N, "view() and in-place tricks need contiguous")


def batch(estimator: Estimator, probe: Probe, N: int) -> Finding:
    """Logits with a batch axis, one problem for each replicate, give what they give one by one."""
    p = probe.problem
    if why := estimator.facts.unbatchable:
        return Finding("batch of logits", None, f"not checked, because it {why}")
    many = p.at(p.distribution.logits.expand(FEW, *p.distribution.event_shape).contiguous())
    return _equal("batch of logits", estimator, p, many, N, "look for axes counted from the front")


def _equal(claim: Claim, estimator: Estimator, one: Problem, two: Problem, N: int, look: str) -> Finding:
    try:
        a, b = (_few(estimator, p, N) for p in (one, two))
    except Exception as error:
        return Finding(claim, False, f"it raised {reason(error)}", look, "layout")
    if same(a, b):
        return Finding(claim, True, "the same estimates")
    if not same(a, _few(estimator, one, N)):
        return Finding(claim, None, "not checked, because estimates from one seed differ")
    size = float(a.abs().max())
    off = float((a - b).abs().nan_to_num(torch.inf).max()) / max(size, 1e-300)
    text = f"estimates on the same random numbers differ by up to {percent(off)}"
    return Finding(claim, False, text, look, "layout")


def _few(estimator: Estimator, problem: Problem, N: int, stream: str = "few") -> Tensor:
    draw = Draw(problem, FEW, N, streams=Streams(SEED.get(), f"card/{stream}", range(1)))
    with Isolated("card", SEED.get(), stream):
        return estimates(estimator, draw, [N])[0]


def extreme(estimator: Estimator, probe: Probe, N: int, *, unbiased: bool) -> Finding:
    """Estimates at logits of ±30 are finite; where moments are exact, E ĝ = g holds for each coordinate by itself."""
    p = probe.problem
    claim: Claim = "finite at logits ±30"
    for logits in _extremes(p.distribution.logits, EXTREME):
        if text := _not_finite(estimator, p.at(logits), N):
            return Finding(claim, False, text, STABLE, "extreme")
        seen = exact_mean(p.at(logits), estimator, N) if unbiased else None
        if seen is not None and bool((abs(seen.m - seen.g) > 1e-6 * abs(seen.g) + 10 * seen.se).any()):
            worst = float((abs(seen.m - seen.g) / abs(seen.g).clip(min=1e-300)).max())
            text = f"the derivative in a logit of ±30 is off by {percent(worst)}: digits of a probability are lost"
            return Finding(claim, False, text, STABLE, "extreme")
    for logits in _extremes(p.distribution.logits, BEYOND):
        if text := _not_finite(estimator, p.at(logits), N):
            return Finding(claim, True, f"{2 * FEW} estimates are finite; at ±{BEYOND:g} {text}: {STABLE}")
    return Finding(claim, True, f"{2 * FEW} estimates are finite, and as many at ±{BEYOND:g}")


def _extremes(logits: Tensor, size: float) -> Iterator[Tensor]:
    """The logits with the first one +size and the last one −size, and the other way round."""
    for sign in (1.0, -1.0):
        x = logits.clone(memory_format=torch.contiguous_format)
        each = x.view(-1)
        each[-1], each[0] = -sign * size, sign * size
        yield x


def _not_finite(estimator: Estimator, problem: Problem, N: int) -> str:
    """What happens, where some estimates are not finite."""
    try:
        x = _few(estimator, problem, N, "extreme")
    except Exception as error:
        return f"it raised {reason(error)}"
    lost = int((~x.isfinite().all(-1)).sum())
    return f"{lost} of {FEW} estimates are NaN or infinite" if lost else ""


def float32(estimator: Estimator, probe: Probe, N: int, *, own_random_numbers: bool) -> Finding:
    """float32 logits give float32 estimates that are those of float64 but for rounding."""
    p = probe.problem
    claim: Claim = "float32 logits"
    look = "a tensor is made in the default type, not in that of the logits: use torch.zeros_like, .new_tensor, .to(x)"
    single = replace(p, distribution=p.distribution.with_logits(p.distribution.logits.float()))
    try:
        a, b = (_few(estimator, q, N) for q in (p, single))
    except Exception as error:
        return Finding(claim, False, f"it raised {reason(error)}", look, "float32")
    if not bool(b.isfinite().all()):
        return Finding(claim, False, "some estimates are NaN or infinite", look, "float32")
    if own_random_numbers:
        return Finding(claim, True, "estimates are finite; they make random numbers of their own, and are not compared")
    off = (a - b.double()).abs().amax(-1)
    typical = float(a.abs().max()) or 1.0
    apart = float((off > 1e-3 * typical).double().mean())  # a sample at the very edge of a class may change
    if apart > 0.05:
        return Finding(claim, False, f"{percent(apart)} of the estimates are others than in float64", look, "float32")
    return Finding(claim, True, "as in float64, but for rounding")


def _zero_mean(d: Tensor, again: Callable[[int], Tensor], size: float) -> tuple[float | None, float]:
    """Whether the mean of d [n, P] is 0: None, or how far it is off; and what would have been seen. Relative to ‖g‖.

    What the first sample makes suspicious is decided by a second one that is four times as large.
    """
    for sample_ in (d, None):
        x = again(4 * len(d)) if sample_ is None else sample_
        if lost := int((~x.isfinite().all(-1)).sum()):
            raise NotFiniteError(f"{lost} of {len(x)} estimates are NaN or infinite")
        se, mean = x.std(0) / sqrt(len(x)), x.mean(0)
        floor = ROUNDING * (size + float(mean.abs().max()) * ROUNDING)
        smallest = (LIMIT + 1.3) * float(se.norm()) / size
        if not bool((mean.abs() > LIMIT * se + floor).any()):
            return None, smallest
    return float(mean.norm()) / size, smallest


def _size(problem: Problem) -> float:
    g = problem.exact_gradient
    assert g is not None
    return float(g.norm())
