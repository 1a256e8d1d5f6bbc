"""What a plan is made of: problems, estimators, cells, and the settings of the run. Plain data, read without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from estbench.plan.layout import Layout
from estbench.plan.settings import Settings

Options = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class ProblemSpec:
    """A problem spelled out.

    id                 hash of its content; what is drawn for it depends on this
    label              its name in results
    objective          name of the objective; `objective_text` with its options, as in results
    objective_options  all options of the objective
    distribution       its name; `distribution_text` with those of its options that are not at their defaults, which
                       are the `distribution_options`
    dimensions         D, the number of variables
    categories         K; None where variables are not categories
    logits             those of all variables; () in a plan read from a manifest, whose config has them
    logits_text        the logits as they were given, the beginning of long ones
    tie                whether all variables share one set of logits
    rarest             min over d and k of P(z_d = k); D times that where the variables share their logits
    """

    id: str
    label: str
    objective: str
    objective_text: str
    objective_options: Options
    distribution: str
    distribution_text: str
    distribution_options: Options
    dimensions: int
    categories: int | None
    logits_text: str
    tie: bool
    rarest: float
    logits: tuple[float, ...] | tuple[tuple[float, ...], ...] = ()

    @property
    def numbers(self) -> int:
        """The numbers in one sample, D or D K, and so the uniforms that it takes."""
        return self.dimensions * (self.categories or 1)

    @property
    def link(self) -> str:
        """The link of Bernoulli variables."""
        return str(dict(self.distribution_options).get("link", "sigmoid"))

    @property
    def classes(self) -> int:
        """K; variables that are not categories have two classes."""
        return self.categories or 2

    @property
    def parameters(self) -> int:
        """P, the length of the gradient."""
        return self.numbers // self.dimensions if self.tie else self.numbers


@dataclass(frozen=True)
class EstimatorSpec:
    """An estimator with all its options but the temperature.

    `changed` are the options that are not at their defaults, `options_text` is how results write these.
    """

    name: str
    options: Options
    changed: Options
    options_text: str
    label: str


@dataclass(frozen=True)
class Cell:
    """One row of the results: a problem (its index), an estimator, a temperature or none, N samples, a method.

    `variant` is a hash of the estimator with its temperature, `key` one of all that the cell is. `reason`, where there
    is one, says why the cell makes no sense and is skipped. `unbiased`: whether the estimator is declared to be; None
    where it cannot be built.
    """

    problem: int
    estimator: EstimatorSpec
    temperature: float | None
    samples: int
    method: str
    variant: str
    key: str
    reason: str | None = None
    unbiased: bool | None = None


@dataclass(frozen=True)
class Plan:
    """Everything a run does, in order: cells problem by problem, and one layout for each problem."""

    config: Settings
    problems: tuple[ProblemSpec, ...]
    cells: tuple[Cell, ...]
    layouts: tuple[Layout, ...]


def fit_key(problem: ProblemSpec, variant: str) -> str:
    """The key of what fitting an estimator to a problem found."""
    return f"{problem.id}/{variant}"
