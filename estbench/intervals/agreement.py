"""Whether sampled and exact moments of one estimator can both be right."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf, log, nan, sqrt

import numpy as np
from scipy.special import stdtr

from estbench.intervals.bias import mean_p_value
from estbench.intervals.flags import flags
from estbench.intervals.shards import Shards
from estbench.intervals.variance import relative_se
from estbench.moments import Floats

FALSE_ALARM = 1e-3
"""Chance that a run in which all exact moments (all claims) are right has any called wrong; p-values by Holm."""

UNSEEN = {"constant", "rare_event", "few_events", "heavy_tail", "skewed_mean"}
"""Flags that say that what was seen is not to be relied on, so that it refutes nothing."""

SLACK = 0.1
"""Share of a standard error up to which the error of quadrature may be left out of the test."""

ROUNDING = 1e-6
"""Relative difference of two constants that is not rounding."""


@dataclass(frozen=True, eq=False)
class Exactly:
    """Exact E ĝ [P] and trace of the covariance, with the error of the one (its length) and, relative, of the other.

    `fourth` is E‖ĝ − E ĝ‖⁴, or less; NaN where it is unknown.
    """

    mean: Floats
    variance: float
    mean_error: float = 0.0
    error: float = 0.0
    fourth: float = nan

    def relative_se(self, replicates: float) -> float:
        """The exact standard error of the variance of so many replicates over the variance; 0 where it is unknown."""
        if self.variance <= 0 or not sqrt(self.fourth) > self.variance:
            return 0.0
        return sqrt(((sqrt(self.fourth) / self.variance) ** 2 - 1) / replicates)


def disagreement(s: Shards, exactly: Exactly) -> tuple[float, float]:
    """p-values of E ĝ and of the variance being the exact ones; NaN where the draws cannot tell, or need not.

    Mean: the test of no bias, with E ĝ in the place of g, and no less variance than the exact one.
    Variance: t = |log(v/exact)|/(se/v), with S − 1 degrees of freedom, or, if it is smaller, the same with the exact
    standard error, where a variance below the exact one counts as 1 − v/exact: draws that have not seen a tail
    understate both. Where the records are kept `in_span`, only the part of the mean along g is compared, by Student's
    t. Estimates that never vary, where the variance is exactly 0: p = 0 if they differ from E ĝ, else none.
    """
    if not s.enough or s.non_finite:
        return nan, nan
    off, size = s.m - exactly.mean, float(np.linalg.norm(exactly.mean))
    if s.in_span:
        off = off[:1]
    if s.v == 0 and exactly.variance <= (ROUNDING * size) ** 2:
        return (0.0 if float(np.linalg.norm(off)) > ROUNDING * size + 3 * exactly.mean_error else nan), nan
    if UNSEEN & set(flags(s)):
        return nan, nan
    mean = nan
    if exactly.mean_error <= SLACK * sqrt(s.v / s.R):
        seen = off * sqrt(min(1.0, s.v / exactly.variance)) if exactly.variance > 0 else off
        mean = _along_g(s, float(seen[0])) if s.in_span else mean_p_value(replace(s, b=seen))
    relative = relative_se(s, "variance")
    if exactly.error > SLACK * relative:
        return mean, nan
    return mean, 2 * float(stdtr(len(s.n) - 1, -_t_of_variance(s, exactly, relative)))


def _t_of_variance(s: Shards, exactly: Exactly, relative: float) -> float:
    if exactly.variance <= 0:
        return inf
    ratio, known = s.v / exactly.variance, exactly.relative_se(s.R)
    t = abs(log(ratio)) / relative
    return min(t, (1 - ratio if ratio < 1 else log(ratio)) / known) if known > 0 else t


def _along_g(s: Shards, off: float) -> float:
    """p-value of the first coordinate of the mean, which is along g, being off by noise alone."""
    se = sqrt(s.variance_of_mean(s.d[:, 0]))
    return 2 * float(stdtr(len(s.n) - 1, -abs(off) / se)) if se > 0 else nan
