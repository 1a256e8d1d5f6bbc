"""Files that `estbench init` writes: an estimator or an objective to begin with, and its test."""

from __future__ import annotations

ESTIMATOR = '''"""{name}: an estimator of the gradient of E f(z) with respect to the logits of z.

    estbench check {name}.py:{kind}
    estbench compare --estimators {name}.py:{kind},rloo --at evaluations
"""

from dataclasses import dataclass

from estbench.estimators.base import Facts


@dataclass(frozen=True)
class {kind}:
    """(f(z) - baseline) s(z): the score function with a constant baseline."""

    baseline: float = 0.0  # a field is an option: {name}.py:{kind}[baseline=0.5]

    @property
    def facts(self):
        """What is claimed of it; `estbench check` tests each claim."""
        return Facts("score function", unbiased=True, f=1)  # f=1: one evaluation of f for each sample

    def rows(self, draw):
        """One estimate for each sample: [R, N, D], or [R, N, D, K] for categorical variables."""
        # draw.fz is f(z), [R, N]; draw.score is s(z), like the samples draw.z; draw.lift shapes [R, N] to multiply
        # them. docs/authors.md lists the others.
        # An estimator makes no random numbers: it asks for draw.uniform("a name of its own"), [R, N].
        return draw.lift(draw.fz - self.baseline) * draw.score
'''

TEST_OF_ESTIMATOR = '''"""Run with: pytest test_{name}.py"""

from {name} import {kind}

from estbench.testing import assert_unbiased


def test_the_estimate_is_unbiased():
    """Fails with the report card where it is biased, and where that could not be told."""
    assert_unbiased({kind}())
    assert_unbiased({kind}(baseline=0.5))
'''

OBJECTIVE = '''"""{name}: a function f of discrete variables, for --objective and for configs.

    estbench compare --objective {name}.py:{kind} --logits "[0.5, -1, 2]" --estimators ste,rloo --samples 4
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class {kind}:
    """f(v) = sin(frequency * sum of v)."""

    frequency: float = 2.0  # a field is an option: {name}.py:{kind}[frequency=3]
    on = "values"  # v is k/(K - 1) for class k of K, [..., D]; "one-hot" and "flat" are the others
    distributions = frozenset({{"bernoulli", "categorical"}})

    def value(self, v: torch.Tensor) -> torch.Tensor:
        """f of many samples at once: [..., D] to [...]."""
        return torch.sin(self.frequency * v.sum(-1))
'''

TEST_OF_OBJECTIVE = '''"""Run with: pytest test_{name}.py"""

import torch
from {name} import {kind}

import estbench


def test_the_exact_gradient_is_that_of_the_mean():
    """The gradient of E f agrees with differences of E f, computed over both states of one variable."""
    f, step = {kind}(), 1e-4

    def mean(logit):
        p = torch.tensor(logit, dtype=torch.float64).sigmoid()
        one, zero = (f.value(torch.tensor([v], dtype=torch.float64)) for v in (1.0, 0.0))
        return float(p * one + (1 - p) * zero)

    exact = float(estbench.exact_gradient(f, estbench.Bernoulli([0.3])))
    assert abs(exact - (mean(0.3 + step) - mean(0.3 - step)) / (2 * step)) < 1e-7
'''

STARTERS: dict[str, tuple[str, str]] = {
    "estimator": (ESTIMATOR, TEST_OF_ESTIMATOR),
    "objective": (OBJECTIVE, TEST_OF_OBJECTIVE),
}
