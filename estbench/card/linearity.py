"""How estimates change with f: an unbiased gradient of E f is linear in f, in the mean."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from estbench.card.sampling import sample
from estbench.card.transforms import affine
from estbench.estimators.base import Estimator
from estbench.preflight.trial import same
from estbench.problem import Problem

FEW = 64
MULTIPLE = 16.0
SURE = 5.0
"""Standard errors."""

LARGE = 1e6


@dataclass(frozen=True)
class Linearity:
    """What is found: lines that say it, and the cause where there is one."""

    lines: tuple[str, ...]
    key: str = ""
    look: str = ""


def linearity(estimator: Estimator, problem: Problem, N: int) -> Linearity:
    """ĝ of 2 f and of −f, on the same random numbers, beside ĝ of f."""
    x, double, negative = (
        sample(affine(problem, scale=scale), estimator, N, FEW, "linear in f") for scale in (1.0, 2.0, -1.0)
    )
    x, double, negative = (torch.nan_to_num(t) for t in (x, double, negative))
    if float(x.abs().max()) == 0.0:
        large = torch.nan_to_num(sample(affine(problem, scale=LARGE), estimator, N, FEW, "linear in f"))
        if float(large.abs().max()) == 0.0:
            return Linearity(())
        return Linearity(
            (f"with {LARGE:.0e} f in place of f the estimates are not 0",),
            "rounded",
            "f is rounded off: float16, float32 beside a large constant, or a cast to whole numbers",
        )
    if _near(x, double):
        return Linearity(
            ("with 2 f in place of f the estimates stay the same",),
            "normalised",
            "f is divided by its own standard deviation or size (normalised rewards, ranks, signs): the scale of f is "
            "lost",
        )
    none = torch.nan_to_num(sample(affine(problem, scale=0.0), estimator, N, FEW, "linear in f"))
    if float(none.abs().max()) > 0.0 and same(double - none, 2 * (x - none)):
        return Linearity(
            ("with f = 0 the estimates are not 0",),
            "added_term",
            "a term that does not depend on f is added: an entropy bonus, a KL term or a penalty of the logits",
        )
    if not same(double, 2 * x):
        return Linearity(
            ("with 2 f in place of f the estimates do not double",),
            "not_linear",
            "f goes through something that is not linear: a clip, a square, a softmax or exponential weights, a "
            "division by its own spread",
        )
    if not same(negative, -x):
        return Linearity(
            ("with −f in place of f the estimates do not change their sign",),
            "not_odd",
            "f goes through a maximum, a minimum, a cut at 0 or an absolute value: a baseline max f or min f (or a "
            "lower median), or an advantage that is cut",
        )
    return Linearity(())


def bends(estimator: Estimator, problem: Problem, N: int, R: int) -> bool:
    """Whether the mean at a multiple of f is surely not that multiple: E ĝ is then no linear function of f."""
    x, large = (sample(affine(problem, scale=scale), estimator, N, R, "bends") for scale in (1.0, MULTIPLE))
    d = torch.nan_to_num(large - MULTIPLE * x)
    return bool((d.mean(0).abs() > SURE * (d.var(0) / R).sqrt()).any())


def _near(x: torch.Tensor, y: torch.Tensor) -> bool:
    """Whether the two are about equal: an ε in a denominator makes some difference."""
    return bool((x - y).abs().max() < 0.02 * x.abs().max())
