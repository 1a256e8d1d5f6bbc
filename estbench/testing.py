"""Assertions for pytest: that an estimator is unbiased, and that two estimators are the same in law.

Both end with an AssertionError where something is wrong, and also where they could not tell in the time they had.
"""

from __future__ import annotations

from typing import Any

from estbench.api.measuring import Seed
from estbench.card.assertions import match_or_raise, unbiased_or_raise
from estbench.card.subject import Form

__all__ = ["assert_matches", "assert_unbiased"]


def assert_unbiased(
    target: Any,
    form: Form | None = None,
    distribution: Any = None,
    samples: int | None = None,
    smallest: float = 0.1,
    limit: float = 30.0,
    f: Any = None,
    seed: Seed = 0,
    **options: Any,
) -> None:
    """E ĝ = ∇E f(z) on all problems of the card (and on your own f, if you give one), at several N.

    It is exact where the moments are. Else it samples, in stages, until a bias of `smallest` ‖g‖ in any direction would
    be seen 9 times of 10 on each problem, or until `limit` seconds are over. An unbiased estimator fails less than once
    in 1000 calls. The arguments are those of `estbench.check`.

    Raises AssertionError with the bias and its usual cause, or with "could not tell" and what would have been seen.
    """
    __tracebackhide__ = True
    unbiased_or_raise(
        target, form, distribution, samples, f, smallest=smallest, limit=limit, seed=seed, options=options
    )


def assert_matches(
    target: Any,
    other: Any,
    form: Form | None = None,
    distribution: Any = None,
    samples: int | None = None,
    smallest: float = 0.1,
    limit: float = 30.0,
    other_form: Form | None = None,
    seed: Seed = 0,
    **options: Any,
) -> None:
    """Two estimators have the same mean and the same mean squared error on all problems of the card, at several N.

    `other` is what the target is to match: "rloo", "gumbel_st[temperature=0.5]", an estimator, or another function
    (written as `other_form`; by default found out). They are compared draw by draw where both read the same draw, else
    by sampling, as `assert_unbiased` does: differences of `smallest` ‖g‖ in the mean, or of `smallest` in the mean
    squared error, would be seen. What is the same fails less than once in 1000 calls.

    Raises AssertionError with the difference, or with "could not tell" and what would have been seen.
    """
    __tracebackhide__ = True
    forms = form, other_form
    match_or_raise(
        target, other, forms, distribution, samples, smallest=smallest, limit=limit, seed=seed, options=options
    )
