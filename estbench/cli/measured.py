"""What `estbench compare` measures itself, in memory: the suite, a problem of the command line, or a config."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from estbench.cli.distribution import distribution_at
from estbench.errors import UsageError
from estbench.imports import quick_imports
from estbench.names import ALIASES, split

if TYPE_CHECKING:
    from estbench.comparison import At, Entry
    from estbench.config import Place
    from estbench.config.problem import ProblemConfig
    from estbench.plan import Plan
    from estbench.summary import Results


@dataclass(frozen=True)
class Wanted:
    """What is to be measured: options of the command line that say so. `timeout`: seconds of a job of plug-ins."""

    objective: str | None = None
    logits: str | None = None
    distribution: str | None = None
    samples: str | None = None
    temperatures: str | None = None
    replicates: int | None = None
    seed: int | None = None
    at: At | None = None
    budget: float | None = None
    jobs: int = 1
    timeout: float = 60.0


@dataclass(frozen=True)
class Measured:
    """Cells, the N of the reference where there is but one, and a line for each estimator that failed, with why.

    `skipped`: the estimators that have no cell, as they do not serve the problems or the N that are wanted, and why.
    """

    cells: list[Entry]
    N: int | None = None
    failures: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)


def measured(estimators: str | None, reference: str | None, wanted: Wanted) -> Measured:
    """The cells of the estimators, and of a reference beside them, on the problem that is wanted, or on the suite."""
    with quick_imports():
        from estbench.config import selectors
        from estbench.config.plugged import named
        from estbench.engine.guarded import breaks, unreadable

    places = dict(selectors("--estimators", estimators or ""))
    if not places:
        where = "the problem" if wanted.objective else "the built-in suite, or the run folders or the config to compare"
        raise UsageError(f"give --estimators a,b,c for {where}")
    if (why := unreadable(wanted.timeout)) is not None:
        raise UsageError(why)
    asked = list(places)
    if reference is not None and not any(_is_same(name, reference) for name in asked):
        places |= selectors("--reference", reference)
    broken = {name: why for name in places if (why := breaks(named(name), wanted.timeout)) is not None}
    left = {name: place for name, place in places.items() if name not in broken}
    lines = tuple(f"{name} failed: {why}" for name, why in broken.items())
    if not left:
        return Measured([], None, lines)
    if wanted.objective is None:
        found = _on_suite(left, wanted)
    else:
        chosen = [name for name in asked if name in left] or list(left)
        found = _on_problem(chosen, None if reference in broken else reference, wanted)
    return replace(found, failures=(*lines, *found.failures))


def _is_same(name: str, other: str) -> bool:
    return ALIASES.get(name, name) == ALIASES.get(other, other)


def _on_suite(places: Mapping[str, Place], wanted: Wanted) -> Measured:
    with quick_imports():
        from estbench.comparison import entries, skipped
        from estbench.suite import N, run_suite

    seed, at, budget = wanted.seed or 0, wanted.at or "samples", wanted.budget
    timings = wanted.at == "seconds"
    found = run_suite(
        list(places),
        seed,
        list(places.values()),
        timings=timings,
        at=at,
        budget=budget,
        timeout=wanted.timeout,
    )
    return Measured(entries([found]), N if budget is None else None, _lines(found), skipped([found]))


def _on_problem(estimators: list[str], reference: str | None, wanted: Wanted) -> Measured:
    with quick_imports():
        from estbench.api.comparing import plan_to_compare
        from estbench.engine.benchmark import of_users

    plan = plan_to_compare(
        estimators,
        _problems(wanted),
        reference=reference,
        at=wanted.at or "samples",
        budget=wanted.budget,
        samples=tuple(_number("--samples", word) for word in split(wanted.samples or "")) or None,
        temperatures=tuple(_number("--temperatures", word) for word in split(wanted.temperatures or "")),
        replicates=wanted.replicates,
        seed=wanted.seed or 0,
        timeout=wanted.timeout,
    )
    return _done(plan, wanted, apart=of_users(plan))


def _problems(wanted: Wanted) -> tuple[ProblemConfig, ...]:
    """The problem; UsageError for an objective that ends its process, or takes longer than the time of a job."""
    with quick_imports():
        from estbench.api.measuring import problems
        from estbench.config import CONFIG, Document
        from estbench.config.plugged import named
        from estbench.engine.guarded import fatal
        from estbench.engine.limit import limited

    if wanted.logits is None:
        raise UsageError("--objective needs --logits, such as '[0.5, -1]' or, for categories, '[[0, 1, 2]]'")
    distribution = distribution_at(wanted.distribution, wanted.logits)
    objective = named(wanted.objective or "", "objective")
    problem = {"objective": objective, "distribution": wanted.distribution or distribution.name}
    document = Document({"problems": [problem | {"logits": distribution.logits.tolist()}]}, CONFIG)
    if (why := fatal(document, (), wanted.timeout)) is not None:
        raise UsageError(f"--objective {wanted.objective}: {why}")
    try:
        with limited(wanted.timeout):
            return problems(wanted.objective, distribution, None)
    except TimeoutError as error:
        raise UsageError(f"--objective {wanted.objective}: {error}") from None


def of_config(config: Path, wanted: Wanted) -> Measured:
    """The Monte Carlo cells of a config; nothing is written."""
    with quick_imports():
        from estbench.config import load
        from estbench.engine.benchmark import kept_apart
        from estbench.engine.guarded import usable
        from estbench.expand import expand

    given = {"replicates": wanted.replicates, "seed": wanted.seed, "samples": wanted.samples and f"[{wanted.samples}]"}
    given["temperatures"] = wanted.temperatures and f"[{wanted.temperatures}]"
    settings = [f"{key}={value}" for key, value in given.items() if value is not None]
    left = usable(config, settings, wanted.timeout)
    checked = load(left.config, left.settings)
    checked = replace(checked, methods=("monte_carlo",), timings=checked.timings or wanted.at == "seconds")
    found = _done(expand(checked), wanted, apart=kept_apart(checked))
    return replace(found, failures=(*left.failures, *found.failures))


def _done(plan: Plan, wanted: Wanted, *, apart: bool) -> Measured:
    with quick_imports():
        from estbench.comparison import entries, skipped
        from estbench.engine.in_memory import run_in_memory

    results = run_in_memory(plan, wanted.jobs, apart=apart, timeout=wanted.timeout)
    return Measured(entries([results]), None, _lines(results), skipped([results]))


def _lines(results: Results) -> tuple[str, ...]:
    """Each estimator that failed, and why: in its calls, or because its metrics are no floats."""
    failed = (found for found in results.findings if found.row["status"] == "failed")
    count = Counter((found.cell.estimator.label, found.row["reason"]) for found in failed)
    return tuple(f"{label} failed in {n} cell{'s' * (n > 1)}: {why}" for (label, why), n in count.items())


def _number(option: str, word: str) -> Any:
    try:
        found = json.loads(word)
    except ValueError:
        found = None
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise UsageError(f"{option}: expected numbers with commas between, got {word.strip()!r}")
    return found
