"""The check of a plan before a long run: which claims of its objectives and estimators hold, and how long it takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import isnan, nan
from typing import Any

from estbench.catalogue import facts_of
from estbench.engine.executors import configure_process
from estbench.engine.limit import is_limit
from estbench.engine.stages import groups_of
from estbench.engine.tasks.group import has_user_code
from estbench.estimators.base import RowEstimator
from estbench.plan import Cell, Plan, ProblemSpec
from estbench.preflight.asked import Costs, Place, again, costs, means, of_objective, purity, route
from estbench.preflight.claims import Mean, decide
from estbench.preflight.duration import START, durations, trajectories
from estbench.preflight.problems import own_problems
from estbench.preflight.steps import NoResult, Runner, Step, Tell
from estbench.preflight.unbiasedness import Sampled, percent

OK, PARTLY, FALSE = "ok", "in part", "false"

Counted = tuple[Place, tuple[int, ...]]
"""An estimator on a problem, and the N at which it can be looked at."""


@dataclass(frozen=True)
class Finding:
    """A claim of an objective or an estimator on one problem: true, false, or not checked (None).

    `text` says how it was checked, what is wrong, or why it was not checked; `own` problems are of the check's choice.
    `samples` and `smallest`: the N of a mean, and the least bias that a sample would have shown, relative to ‖g‖.
    """

    subject: str
    claim: str
    problem: str
    holds: bool | None
    text: str
    own: bool = False
    samples: int = 0
    smallest: float = 0.0


@dataclass(frozen=True)
class Check:
    """What a check of a plan found.

    `problems`, `objectives` and `estimators`: a row each, with its verdict and what was checked; *ok* is said where all
    was looked at and is true, *in part* where something was not, *false* where something is wrong. `faults`: a line for
    each claim that is false, and for cells that will fail. `unchecked`: a line for each reason why something was not
    looked at.
    The seconds are those that the run will take on one core, about (see `durations`).
    """

    problems: list[dict[str, Any]]
    objectives: list[dict[str, Any]]
    estimators: list[dict[str, Any]]
    faults: list[str]
    unchecked: list[str]
    seconds: float

    @property
    def well(self) -> bool:
        """Whether nothing is wrong, as far as was looked."""
        return not self.faults


def checked(plan: Plan, tell: Tell = lambda _: None, *, apart: bool = False, timeout: float | None = None) -> Check:
    """Look at each problem of a plan, and at each claim of its estimators, there and on problems of the check's own.

    `apart`: code of users is called in a worker process: if it crashes that process, the check says so.
    `timeout`: seconds after which one look at code of users is given up.
    """
    configure_process()
    with Runner(tell, apart=apart, timeout=timeout) as run:
        return _checked(plan, run)


def _checked(plan: Plan, run: Runner) -> Check:
    trained = {spec.objective: spec for spec in plan.problems if spec.kind == "network"}
    whole, plan = plan, plan.toys()
    routes, findings = _objectives(plan, run)
    findings += [
        Finding(name, "exact gradient", spec.label, None, "networks are trained by `run`, and not looked at here")
        for name, spec in trained.items()
    ]
    places = [
        Place(group, spec)
        for i, spec in enumerate(plan.problems)
        if routes[i] is not None
        for group in groups_of(cell for cell in plan.cells if cell.problem == i and cell.reason is None)
    ]
    of_costs, counted, seconds = _costs(plan, places, run)
    findings += of_costs
    findings += _purities(counted, run)
    findings += _means(plan, counted, findings, run)
    spent = run([Step("the time", any(place.user_code for place in places), durations, (plan, seconds))])[0]
    each = [nan] * len(plan.problems) if isinstance(spent, NoResult) else spent
    problems = [
        _problem_row(spec, route or "", findings, s) for spec, route, s in zip(plan.problems, routes, each, strict=True)
    ]
    objectives = [_objective_row(name, findings) for name in dict.fromkeys(spec.objective for spec in plan.problems)]
    idle = {cell.estimator.label: cell.reason for cell in plan.cells}
    estimators = [_estimator_row(label, reason, findings) for label, reason in idle.items()]
    total = START + sum(each) + trajectories(whole, seconds)
    return Check(problems, objectives, estimators, _faults(findings), _unchecked(findings), total)


def _objectives(plan: Plan, run: Runner) -> tuple[list[str | None], list[Finding]]:
    """How each exact gradient is found (None: all cells of the problem will fail), and what is found of objectives."""
    count, findings = len(plan.problems), list[Finding]()
    names = [f"problem {i + 1} of {count}: {spec.label}" for i, spec in enumerate(plan.problems)]
    user_code = [has_user_code(spec) for spec in plan.problems]
    each = list(zip(names, user_code, plan.problems, strict=True))
    routes = run(Step(name, theirs, route, (spec,)) for name, theirs, spec in each)
    answers = run(
        Step(name, theirs, of_objective, (spec,))
        for (name, theirs, spec), r in zip(each, routes, strict=True)
        if not isinstance(r, NoResult)
    )
    left = iter(answers)
    for i, spec in enumerate(plan.problems):
        found = routes[i] if isinstance(routes[i], NoResult) else next(left)
        if isinstance(found, NoResult) and found is not routes[i] and found.slow:
            findings.append(Finding(spec.objective, "exact gradient", spec.label, None, found.reason))
        elif isinstance(found, NoResult):
            routes[i] = None
            text = f"all its cells will fail: {found.reason}"
            findings.append(Finding(spec.objective, "cells", spec.label, False, text))
        else:
            findings += [Finding(spec.objective, a.claim, spec.label, a.holds, a.text) for a in found]
    return routes, findings


def _costs(plan: Plan, places: Sequence[Place], run: Runner) -> tuple[list[Finding], list[Counted], dict[str, float]]:
    """What is found of costs and of cells that will fail, where there are others, and the seconds of an estimate."""
    findings, counted, seconds = list[Finding](), list[Counted](), dict[str, float]()
    named = [f"{place.label} on {place.text}" for place in places]
    asked = (
        Step(name, place.user_code, costs, (place.spec, place.group, plan.config.seed))
        for name, place in zip(named, places, strict=True)
    )
    for place, seen in zip(places, run(asked), strict=True):
        found = _unanswered(place, seen) if isinstance(seen, NoResult) else seen
        for why, same in groupby(sorted(found.failed)):
            n = len(list(same))
            text = f"{n} cell{'s' * (n > 1)} will fail: {why}"
            findings.append(Finding(place.label, "cells", place.text, False, text))
            if is_limit(why):
                findings.append(Finding(place.label, "cost", place.text, None, f"it was not measured: {why}"))
        seconds |= found.seconds
        if found.samples:
            counted.append((place, found.samples))
            findings.append(Finding(place.label, "cost", place.text, *found.cost))
    return findings, counted, seconds


def _unanswered(place: Place, seen: NoResult) -> Costs:
    """What is known of an estimator that was given up, or that ended its process: its time is not if it is slow."""
    keys = [key for _, key in place.group.cells]
    return Costs([seen.reason] * len(keys), (), (None, ""), dict.fromkeys(keys, nan) if seen.slow else {})


def _purities(counted: Sequence[Counted], run: Runner) -> Iterator[Finding]:
    """Whether estimators are pure, each on the first problem of each distribution.

    Of many temperatures the lowest, one in the middle and the highest are looked at: to look takes longer than a cell.
    """
    first = {(place.group.of.id, place.spec and place.spec.distribution): place for place, _ in reversed(counted)}
    alike: dict[object, list[Place]] = {}
    for (_, distribution), place in first.items():
        alike.setdefault((place.label, distribution), []).append(place)
    looked = list[Place]()
    for same in alike.values():
        same.sort(key=lambda place: place.group.of.temperature or 0.0)
        looked += {same[i].group.of.id: same[i] for i in (0, len(same) // 2, -1)}.values()
    places = [place for place, _ in counted if place in looked]
    asked = (Step(f"{p.label}, whether it is pure", p.user_code, purity, (p,)) for p in places)
    for place, seen in zip(places, run(asked), strict=True):
        answer = (None if seen.slow else False, seen.reason) if isinstance(seen, NoResult) else seen
        yield Finding(place.label, "pure", place.text, *answer)


def _means(plan: Plan, counted: Sequence[Counted], known: Sequence[Finding], run: Runner) -> Iterator[Finding]:
    """Whether means are what the facts say, on problems whose objective is right, and on those of the check's own."""
    wrong = {(f.subject, f.problem) for f in known if f.holds is False}
    failing = {f.subject for f in known if f.claim == "cells"}
    asked: list[Counted] = []
    for place, samples in counted:
        assert place.spec is not None
        if (place.spec.objective, place.text) not in wrong:
            asked.append((place, samples))
        elif facts_of(place.group.estimator()).unbiased:
            yield Finding(place.label, "unbiased", place.text, None, "the objective is wrong")
    asked += [(place, sizes) for place, sizes in _own_places(plan) if place.label not in failing]
    steps = [Step(f"{p.label} on {p.text}", p.user_code, means, (p, N)) for p, N in asked]
    found: list[tuple[Place, Mean]] = []
    for (place, samples), seen in zip(asked, run(steps), strict=True):
        if isinstance(seen, NoResult):
            unbiased = facts_of(place.group.estimator()).unbiased
            found.append((place, Mean(unbiased, max(samples), None if seen.slow else False, seen.reason)))
        else:
            found += [(place, mean) for mean in seen]

    def second(i: int) -> Sampled | None:
        place, mean = found[i]
        (seen,) = run([Step(f"{place.label}, once more", place.user_code, again, (place, mean.samples))])
        return None if isinstance(seen, NoResult) else seen

    for (place, _), mean in zip(found, decide([mean for _, mean in found], second), strict=True):
        smallest = mean.first.smallest if mean.first is not None and mean.holds else 0.0
        claim = "unbiased" if mean.unbiased else "exact moments"
        own = place.spec is None
        yield Finding(place.label, claim, place.text, mean.holds, mean.text, own, mean.samples, smallest)


def _own_places(plan: Plan) -> Iterator[Counted]:
    """Each estimator that is called unbiased, at its first and last temperature, on problems of the check's own."""
    cells = [cell for cell in plan.cells if cell.reason is None]
    ends: dict[str, list[Cell]] = {}
    for cell in cells:
        ends.setdefault(cell.estimator.label, []).append(cell)
    wanted = {
        pick(of_label, key=lambda cell: cell.temperature or 0.0).estimator
        for of_label in ends.values()
        for pick in (min, max)
    }
    for group in groups_of(cell for cell in cells if cell.estimator in wanted):
        estimator = group.estimator()
        if not facts_of(estimator).unbiased:
            continue
        least, most = facts_of(estimator).min_samples, max(plan.config.samples)
        rows = isinstance(estimator, RowEstimator)
        sizes = (4,) if rows else tuple(sorted({least, least + 1, max(least + 3, most)}))
        yield from ((Place(group, None, number), sizes) for number in range(len(own_problems())))


def _verdict(findings: Iterable[Finding]) -> str:
    each = [finding.holds for finding in findings]
    return FALSE if False in each else PARTLY if None in each or not each else OK


def _problem_row(spec: ProblemSpec, route: str, findings: Sequence[Finding], spent: float) -> dict[str, Any]:
    """What is said of a problem: of its objective alone."""
    own = [f for f in findings if f.problem == spec.label and f.subject == spec.objective]
    row = {"problem": spec.label, "verdict": _verdict(own), "gradient": route}
    return row | {"s": "–" if isnan(spent) else f"{spent:.2g}" if spent < 10 else f"{spent:.0f}"}


def _objective_row(name: str, findings: Sequence[Finding]) -> dict[str, Any]:
    """What was checked of an objective, in words: of each claim the first problem, and on how many it was checked."""
    own = [f for f in findings if f.subject == name]
    words = []
    for claim in dict.fromkeys(f.claim for f in own):
        true = [f.text for f in own if f.claim == claim and f.holds]
        more = f" and on {len(true) - 1} more" if len(true) > 1 else ""
        false = any(f.holds is False for f in own if f.claim == claim)
        words.append(
            f"{claim}: {true[0]}{more}" if true and not false else f"{claim} {'false' if false else 'not checked'}"
        )
    return {"objective": name, "verdict": _verdict(own), "checked": "; ".join(words)}


def _estimator_row(label: str, reason: str | None, findings: Sequence[Finding]) -> dict[str, Any]:
    """What was checked of an estimator, in words; `reason` is why it has no cell, if it has none."""
    own = [f for f in findings if f.subject == label]
    if not own:
        return {
            "estimator": label,
            "verdict": PARTLY,
            "checked": f"not checked: {reason or 'the objectives are wrong'}",
        }
    of = {claim: [f for f in own if f.claim == claim] for claim in ("unbiased", "cost", "pure")}
    failing = not of["unbiased"] and any(f.claim == "cells" for f in own)
    otherwise = "unbiased: not so, or not checked" if of["unbiased"] else "said to be biased"
    words = [_mean_words(of["unbiased"]) or ("mean not checked: its cells fail" if failing else otherwise)]
    words += [_word(of[claim], true) for claim, true in (("cost", "cost counted"), ("pure", "pure"))]
    return {"estimator": label, "verdict": _verdict(own), "checked": "; ".join(word for word in words if word)}


def _mean_words(means: Sequence[Finding]) -> str:
    """On how many problems and at which N a mean was found to be the gradient, exactly and by sampling."""
    parts = []
    for how, word in (("exactly", "exactly"), ("sampled", "sampled")):
        true = [f for f in means if f.holds and f.text == how]
        if true:
            N = ", ".join(map(str, sorted({f.samples for f in true})))
            count = len({f.problem for f in true})
            seen = max(f.smallest for f in true)
            shown = f" ({percent(seen)} seen)" if seen else ""
            parts.append(f"{word} at N = {N} on {count} problem{'s' * (count > 1)}{shown}")
    return f"unbiased: {', '.join(parts)}" if parts else ""


def _word(findings: Sequence[Finding], true: str) -> str:
    if not findings:
        return ""
    if any(f.holds is False for f in findings):
        return f"not {true}" if true == "pure" else "cost false"
    return true if all(f.holds for f in findings) else f"{true.split(maxsplit=1)[0]} not checked"


def _faults(findings: Sequence[Finding]) -> list[str]:
    """One line for each false claim of each subject, with the first problem."""
    by: dict[tuple[str, str], list[Finding]] = {}
    for f in findings:
        if f.holds is False:
            by.setdefault((f.subject, f.claim), []).append(f)
    lines = []
    for (subject, _), (one, *more) in by.items():
        times = "" if not more else f", and {len(more)} time{'s' * (len(more) > 1)} more"
        lines.append(f"{subject}: {one.text} ({one.problem}){times}")
    return lines


def _unchecked(findings: Sequence[Finding]) -> list[str]:
    """One line for each claim and reason."""
    by: dict[tuple[str, str], list[Finding]] = {}
    for f in findings:
        if f.holds is None:
            by.setdefault((f.claim, f.text), []).append(f)
    lines = []
    for (claim, why), found in by.items():
        subjects = _few(dict.fromkeys(f.subject for f in found))
        N = sorted({f.samples for f in found if f.samples})
        at = f" at N = {', '.join(map(str, N))}" if N else ""
        lines.append(
            f"{subjects}: {claim} not checked{at}, because {why} ({_few(dict.fromkeys(f.problem for f in found), 1)})"
        )
    return lines


def _few(names: Iterable[str], most: int = 4) -> str:
    each = list(names)
    return ", ".join(each[:most]) + (f" and {len(each) - most} more" if len(each) > most else "")
