"""Measuring estimators from Python: through the plan and the engine of a run, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import fields
from numbers import Integral
from typing import Any, Literal

import numpy as np
import torch

from estbench import catalogue
from estbench.api.entries import read_entry
from estbench.api.estimators import choices
from estbench.api.frames import Measurements, measurements
from estbench.api.naming import Naming, is_described, options_of_instance, qualified
from estbench.api.problem import F, problem_of
from estbench.config.choice import DistributionChoice, ObjectiveChoice, read_distribution, read_objective
from estbench.config.problem import ProblemConfig
from estbench.config.schema import Config, Precision
from estbench.distributions import DISTRIBUTIONS, Distribution
from estbench.engine.in_memory import run_in_memory
from estbench.engine.tasks.group import forget_problems
from estbench.errors import UsageError
from estbench.expand import expand
from estbench.objectives.base import Objective
from estbench.objectives.function import Function, On
from estbench.objectives.training_mode import buffers_kept
from estbench.options import demand_constant
from estbench.plan import Given, Plan
from estbench.summary import Results
from estbench.summary.table import frame_of

Seed = int | np.random.Generator
Method = Literal["exact", "monte_carlo"]

MAX_JOBS = 4096
"""Processes."""

OBJECTIVES = {kind: name for name, kind in catalogue.OBJECTIVES.items()}
KINDS: Mapping[type[Any], str] = {kind: name for name, kind in DISTRIBUTIONS.items()}


@torch.inference_mode(mode=False)  # a caller may be in it; estimators need gradients
def measure(
    estimators: Any,
    f: F | Sequence[F],
    distribution: Distribution | Sequence[Distribution],
    *,
    samples: int | Iterable[int] = (1,),
    temperatures: float | Iterable[float] = (),
    replicates: int | None = None,
    seed: Seed = 0,
    methods: Method | Iterable[Method] = ("exact", "monte_carlo"),
    level: float = 0.95,
    delta: float = 0.01,
    precision: Mapping[str, Any] | None = None,
    timings: bool = False,
    on: On | None = None,
    jobs: int = 1,
) -> Measurements:
    """Bias, variance, MSE and cosine of estimators of ∇ E f(z) with respect to the logits of z.

    The frame has the columns of results.csv, one row per cell: estimator, temperature, N and method. It prints itself
    as the command line prints a run. The numbers are those of `estbench run` for the same problem, seed, replicates and
    samples. Nothing is written to the disk. Computed in float64, at the float64 values of the logits.

    estimators    one, or a list: names with options, as "gumbel[temperature=0.5]"; instances; classes, with their
                  default options; functions, as `estbench.adapt` makes estimators of them, their form found out
    f             see `exact_gradient`; where several problems are to be measured, a list. One f goes with each
                  distribution, one distribution with each f, and lists of one length go in pairs
    distribution  Bernoulli(logits), logits [D], or Categorical(logits), logits [D, K]; or a list
    samples       N, or several: the samples of one estimate. The largest decides the draws
    temperatures  for estimators that have one and of which it is not given
    replicates    R, the number of estimates of each Monte Carlo cell: 20 000 unless a precision decides
    seed          an int, or a generator of numpy, which one int is drawn from
    methods       "monte_carlo" (sampled, with intervals), "exact" (the same code, given all states), or both
    level         of the intervals
    delta         the largest relative bias that counts as none
    precision     {"relative": 0.02, "metric": "variance", "max_replicates": …}: as many replicates as that takes
    timings       whether estimates are timed, for comparisons at equal seconds
    on            what f is a function of, see `exact_gradient`
    jobs          the processes that work; 0 is one for each core. The numbers are the same for any

    A cell that fails, because an estimator raises say, has the status "failed" and the reason; so have those that make
    no sense ("skipped"). UsageError, and nothing is computed, for an f that is random, keeps state or cannot be
    evaluated, for unknown names and options, and for numbers out of range, all at once where they are independent.
    """
    with kept(f):
        plan = planned(
            choices(estimators),
            problems(f, distribution, on),
            samples=listed(samples),
            temperatures=listed(temperatures),
            replicates=replicates,
            seed=seed_of(seed),
            methods=listed(methods),
            level=level,
            delta=delta,
            precision=precision,
            timings=timings,
        )
        found = computed(plan, jobs)
    return measurements(found, frame_of(found.rows))


@contextmanager
def kept(f: F | Sequence[F]) -> Iterator[None]:
    """Whatever each f is asked in here, the buffers of its modules are as before afterwards."""
    with ExitStack() as stack:
        for each in f if isinstance(f, list | tuple) else [f]:
            stack.enter_context(buffers_kept(each))
        yield


def planned(estimators: tuple[Any, ...], problems: tuple[ProblemConfig, ...], **settings: Any) -> Plan:
    """The plan of estimators and problems with the settings of a config; UsageError with all that is wrong."""
    given = {name: _plain(value, name) for name, value in settings.items() if value is not None}
    if "precision" in given and not isinstance(given["precision"], Mapping):
        raise UsageError(f"precision: expected a mapping such as {{'relative': 0.02}}, got {given['precision']!r:.80}")
    if "precision" in given:
        given["precision"] = read_entry(
            lambda p: Precision(**p), dict(given["precision"]), "precision", (each.name for each in fields(Precision))
        )
    data = {"name": "measured", "problems": problems, "estimators": estimators, **given}
    return expand(read_entry(lambda data: Config(**data), data, ""))


def computed(plan: Plan, jobs: int) -> Results:
    """Run a plan in memory with `jobs` processes, then drop what was cached for the objects that it was given."""
    if isinstance(jobs, bool) or not isinstance(jobs, Integral) or not 0 <= jobs <= MAX_JOBS:
        raise UsageError(f"jobs: expected a number of processes, or 0 for one on each core, got {jobs!r:.80}")
    try:
        return run_in_memory(plan, int(jobs))
    finally:
        forget_problems()


def seed_of(seed: Seed) -> int:
    """An int as it is; of a generator of numpy the next number below 2^63."""
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(2**63))
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise UsageError(f"seed: expected an int or a numpy.random.Generator, got {seed!r:.80}")
    return int(seed)


def problems(f: Any, distribution: Any, on: On | None) -> tuple[ProblemConfig, ...]:
    """The problems of each f with its distribution; of lists of one length in pairs.

    Several f of one name are told apart by the options that they show, or by a number: `<lambda>`, `<lambda> #2`.
    """
    fs, distributions = ([*given] if isinstance(given, list | tuple) else [given] for given in (f, distribution))
    if (1 not in (len(fs), len(distributions)) and len(fs) != len(distributions)) or not fs or not distributions:
        raise UsageError(
            "f and distribution: expected one of either, or lists of one length, got "
            f"{len(fs)} and {len(distributions)}"
        )
    count = max(len(fs), len(distributions))
    pairs = zip(fs * (count // len(fs)), distributions * (count // len(distributions)), strict=True)
    called = Naming()
    made = tuple(_problem(*pair, on, called) for pair in pairs)
    whole = [(each.objective.name, each.objective.options, each.distribution.text, each.logits) for each in made]
    for i, each in enumerate(whole):
        if (first := whole.index(each)) < i:
            raise UsageError(f"f and distribution: the pairs {first} and {i} are the same problem; drop one of them")
    return made


def _problem(f: F, distribution: Distribution, on: On | None, called: Naming) -> ProblemConfig:
    problem = problem_of(f, distribution, on)
    if problem.distribution.batch_shape:
        shape = list(distribution.logits.shape)
        raise UsageError(f"distribution: expected logits of one problem, [D] or [D, K], got {shape}; give a list")
    data = {
        "distribution": _distribution(problem.distribution, distribution, called),
        **dict(zip(("dimensions", "categories"), problem.distribution.event_shape, strict=False)),
        "logits": problem.distribution.logits.tolist(),
        "objective": _objective(f, problem.objective, called),
    }
    return read_entry(lambda data: ProblemConfig(**data), data, "")


def _distribution(distribution: Distribution, given: Distribution, called: Naming) -> DistributionChoice:
    """The choice that a distribution is; `given` is the one that the user has made."""
    kind = type(distribution)
    if kind in KINDS:
        options = {name: getattr(distribution, name) for name in catalogue.options_of(kind)}
        return read_entry(read_distribution, {"name": KINDS[kind], "options": options}, "distribution")
    shown = options_of_instance(distribution, ())
    number = called.number(kind, kind if is_described(distribution) else given, shown)
    return DistributionChoice(qualified(kind) + number, shown, Given(distribution))


def _objective(f: F, objective: Objective, called: Naming) -> ObjectiveChoice:
    kind: Any = type(objective)
    if kind in OBJECTIVES:
        options = {name: getattr(objective, name) for name in catalogue.options_of(kind)}
        return read_entry(read_objective, {"name": OBJECTIVES[kind], "options": options}, "f")
    form = objective.options if isinstance(objective, Function) else ()
    if isinstance(f, str):
        named = read_entry(read_objective, f, "f")
        own = tuple(option for option in named.changed if option[0] not in dict(form))
        return ObjectiveChoice(named.name, own + form, Given(objective))
    shown = options_of_instance(f, ()) if not isinstance(f, type) else ()
    of = f if isinstance(f, type) or hasattr(f, "__qualname__") or hasattr(f, "func") else type(f)
    number = called.number(of, f, shown)
    own = tuple(option for option in shown if option[0] not in dict(form))
    return ObjectiveChoice(qualified(of) + number, own + form, Given(objective))


def listed(value: Any) -> tuple[Any, ...]:
    """Several values as a tuple, or the one that stands alone, such as a number, a text or an array without axes."""
    alone = isinstance(value, str | bytes) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0
    return (value,) if alone else tuple(value)


def _plain(value: Any, name: str) -> Any:
    """A number of numpy or torch as one of Python."""
    if isinstance(value, tuple):
        return tuple(_plain(each, name) for each in value)
    if not hasattr(value, "item"):
        return value
    demand_constant(value, name)
    with suppress(ValueError, RuntimeError):  # it is several numbers
        return value.item()
    return value
