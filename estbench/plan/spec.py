"""What a plan is made of: problems, estimators, cells, and the settings of the run. Plain data, read without torch."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from estbench.plan.given import Given
from estbench.plan.layout import Layout
from estbench.plan.settings import Settings

Options = tuple[tuple[str, Any], ...]

TEMPERATURE = "temperature"
"""The option that results have a column of their own for, and that a config may give once for all estimators."""


@dataclass(frozen=True)
class Training:
    """A training of several seeds of a network, or of logits, with all that it depends on.

    id             hash of all that follows, and of the network and its variables, or of the problem
    kind           `network` or `trajectory`
    data           the images; '' for logits
    trained_by     by what, in words: `exact`, or an estimator and its N
    samples        N of the estimator
    epochs, batch  passes through the data, and examples of a batch; for logits, steps and 1
    optimiser, learning_rate  of the steps
    seeds          networks, or vectors of logits, side by side
    by             the estimator; None: the exact gradient, or the plan is read from a manifest
    subject        what is trained and how, in words: what the labels of all its checkpoints begin with
    spread         scale and seed of the normal logits where each seed of a trajectory begins; None: all at those of the
                   problem, or the plan is read from a manifest
    importance_samples  K of the importance-weighted bound at its checkpoints; None: it is not wanted. The training does
                   not depend on it, and neither does `id`
    """

    id: str
    kind: str
    data: str
    trained_by: str
    samples: int
    epochs: int
    batch: int
    optimiser: str
    learning_rate: float
    seeds: int
    by: EstimatorSpec | None = None
    subject: str = ""
    spread: tuple[float, int] | None = None
    importance_samples: int | None = None

    def done(self, epoch: int) -> float:
        """The share of the training that is done after so many epochs."""
        return epoch / self.epochs if self.epochs else 0.0


@dataclass(frozen=True)
class Checkpoint:
    """A training after so many epochs or steps, and the part of the parameters whose gradient is measured.

    curl whether the curl of mean estimates is measured
    own  each estimator is measured where its own training has come to; `training` is then what these have in common
    """

    training: Training
    epoch: int
    parameters: str
    own: bool = False
    curl: bool = False

    def training_of(self, estimator: EstimatorSpec, samples: int) -> Training:
        """The training that comes before a cell of that estimator and N."""
        if not self.own:
            return self.training
        id_ = content_hash(self.training.id, estimator.id, samples)
        trained_by = estimator.in_words(samples)
        return replace(self.training, id=id_, trained_by=trained_by, by=estimator, samples=samples)


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
    at                 where in a training it is; None: it is trained nowhere. Of kind `network`, `objective` is that
    objective_given    the objective itself, where no name is looked up for it; `distribution_given`: the distribution
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
    at: Checkpoint | None = None

    @property
    def kind(self) -> str:
        """What sort of problem it is: `toy`, or that of its training."""
        return "toy" if self.at is None else self.at.training.kind

    objective_given: Given | None = None
    distribution_given: Given | None = None

    @property
    def numbers(self) -> int:
        """The numbers in one sample, D or D K, and so the uniforms that it takes."""
        return self.dimensions * (self.categories or 1)  # a plan is read without torch, and so without distributions

    @property
    def link(self) -> str:
        """The link of Bernoulli variables."""
        return str(dict(self.distribution_options).get("link", "sigmoid"))

    @property
    def classes(self) -> int:
        """K, the number of classes of a variable."""
        return classes_of(self.categories)

    @property
    def parameters(self) -> int:
        """P, the length of the gradient."""
        return self.numbers // self.dimensions if self.tie else self.numbers


@dataclass(frozen=True)
class EstimatorSpec:
    """An estimator at one temperature, or without one: all that a config says of it, and all that a worker needs.

    id            hash of the name and of the options that are not at their defaults; keys of cells depend on it
    name          name in the catalogue, or `package.module:Class` of a plug-in
    label         its name in results, the same at all temperatures
    options       all options but for the temperature
    changed       those of them that are not at their defaults; `options_text` is how results write these
    temperature   the value of the option of that name; None where there is none, or it is required and not given
    anneal        options that change while a network is trained: (option, first value, last value)
    given         the estimator itself, or its class, where no name is looked up for it
    """

    id: str
    name: str
    label: str
    options: Options
    changed: Options
    options_text: str
    temperature: float | None = None
    anneal: tuple[tuple[str, float, float], ...] = ()
    given: Given | None = None

    @property
    def arguments(self) -> Options:
        """What its class is called with: all options, the temperature too."""
        return self.options if self.temperature is None else (*self.options, (TEMPERATURE, self.temperature))

    def in_words(self, samples: int) -> str:
        """The estimator with its temperature and N, as what trains a network."""
        fixed = self.temperature is not None and TEMPERATURE not in {option for option, _, _ in self.anneal}
        return f"{self.label}{f' τ={self.temperature:g}' if fixed else ''}{f' N={samples}' if samples > 1 else ''}"

    def at(self, done: float) -> EstimatorSpec:
        """The spec when that share of the training is done: an annealed option has gone from a to a (b/a)^done.

        Temperatures (Jang et al. 2017) and slopes (Chung et al. 2017) are annealed so.
        """
        if not self.anneal:
            return self
        now = {option: a * (b / a) ** done for option, a, b in self.anneal}
        options = tuple((option, now.get(option, value)) for option, value in self.options)
        return replace(self, options=options, temperature=now.get(TEMPERATURE, self.temperature))


@dataclass(frozen=True)
class Cell:
    """One row of the results: a problem (its index), an estimator, N samples, a method.

    `key` is a hash of all these. `reason`, where there is one, says why the cell makes no sense and is skipped.
    `unbiased`: whether the estimator is declared to be; None where it cannot be built.
    """

    problem: int
    estimator: EstimatorSpec
    samples: int
    method: str
    key: str
    reason: str | None = None
    unbiased: bool | None = None

    @property
    def temperature(self) -> float | None:
        """The temperature of its estimator, where it has one."""
        return self.estimator.temperature


@dataclass(frozen=True)
class Plan:
    """Everything a run does, in order: cells problem by problem, and one layout for each problem."""

    config: Settings
    problems: tuple[ProblemSpec, ...]
    cells: tuple[Cell, ...]
    layouts: tuple[Layout, ...]

    def toys(self) -> Plan:
        """The same plan without networks; of a trajectory the problem where it begins, with the cells it has there."""
        first: dict[str, int] = {}
        for i, spec in enumerate(self.problems):
            if spec.kind != "network":
                first.setdefault(spec.id if spec.at is None else spec.at.training.id, i)
        kept = list(first.values())
        cells = tuple(replace(c, problem=kept.index(c.problem)) for c in self.cells if c.problem in kept)
        return replace(
            self,
            problems=tuple(_begun(self.problems[i]) for i in kept),
            layouts=tuple(self.layouts[i] for i in kept),
            cells=cells,
        )

    def coordinates(self, problem: int) -> int:
        """The numbers in one recorded gradient of a problem: P; of a network, whose P is large, those `in_span`."""
        spec = self.problems[problem]
        return spec.parameters if spec.at is None else self.layouts[problem].shards + 2


def _begun(spec: ProblemSpec) -> ProblemSpec:
    """The problem where a trajectory begins, as one that is not trained."""
    return spec if spec.at is None else replace(spec, at=None, label=f"{spec.at.training.subject}, where it begins")


def classes_of(categories: int | None) -> int:
    """K, the number of classes of a variable."""
    return categories or 2  # the classes of what has no categories are 0 and 1


def fit_key(problem: ProblemSpec, estimator: EstimatorSpec) -> str:
    """The key of what fitting an estimator to a problem found."""
    return f"{problem.id}/{estimator.id}"


def content_hash(*content: Any) -> str:
    """16 hexadecimal digits of the SHA-256 of content as JSON.

    Of options, only those that differ from their defaults are hashed, so that an option added with a default leaves all
    ids and keys as they were.
    """
    return sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()[:16]
