"""A look at a plan before a long run: what its objectives and estimators claim, what of it holds, and the time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from estbench.catalog import facts_of
from estbench.engine.executors import configure_process
from estbench.engine.stages import groups_of
from estbench.engine.tasks import CostTask, Group, Record, TimingTask, problem_of, reason
from estbench.engine.tasks.group import has_user_code, isolated, own_problem
from estbench.estimators.base import RowEstimator
from estbench.plan import Cell, Plan, ProblemSpec
from estbench.preflight.claims import Answer, Mean, cost, decide, means, purity
from estbench.preflight.duration import START, durations
from estbench.preflight.objective import answers
from estbench.preflight.problems import named, own_problems, served
from estbench.preflight.unbiasedness import percent
from estbench.problem import Problem

OK, PARTLY, FALSE = "ok", "in part", "false"

Tell = Callable[[str], None]
"""Is told what is looked at."""


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
    """What was found.

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


def checked(plan: Plan, tell: Tell = lambda _: None) -> Check:
    """Look at each problem of a plan, and at each claim of its estimators, there and on problems of the check's own."""
    configure_process()
    findings: list[Finding] = []
    kept: list[tuple[str, str, bool, Mean]] = []  # label, problem, whether it is the check's own, mean
    seconds: dict[str, float] = {}
    routes, seen = [], set[tuple[str, str]]()
    for i, spec in enumerate(plan.problems):
        tell(f"problem {i + 1} of {len(plan.problems)}: {spec.label}")
        cells = [cell for cell in plan.cells if cell.problem == i and cell.reason is None]
        groups = groups_of(cells)
        problem, of_objective = _objective(spec)
        findings += of_objective
        routes.append("" if problem is None else problem.route)
        if problem is None:
            continue
        records = CostTask(spec, groups, plan.config.seed).perform()
        timed = TimingTask(spec, groups, plan.config.seed).perform()
        seconds |= {r["key"]: r["seconds"] for r in timed if r["kind"] == "timing"}
        findings += _failing(spec, groups, records)
        counted = {r["key"]: (r["f"], r["df"]) for r in records if r["kind"] == "cost"}
        sound = all(finding.holds is not False for finding in of_objective)
        for group in (group for group in groups if any(key in counted for _, key in group.cells)):
            label = group.of.label
            fresh = own_problem(spec, "cpu") if group.runs_user_code(spec) else problem  # it may write into it
            findings.append(_finding(label, "cost", spec.label, cost(fresh, group, counted)))
            if (group.of.id, spec.distribution) not in seen:
                seen.add((group.of.id, spec.distribution))
                findings.append(_finding(label, "pure", spec.label, purity(fresh, group)))
            if sound:
                of_group = means(fresh, group.estimator(), [N for N, key in group.cells if key in counted])
                kept += [(label, spec.label, False, mean) for mean in of_group]
            elif facts_of(group.estimator()).unbiased:
                findings.append(_finding(label, "unbiased", spec.label, (None, "the objective is wrong")))
    kept += _on_own_problems(plan, tell)
    decided = decide([mean for *_, mean in kept])
    for (label, where, own, _), mean in zip(kept, decided, strict=True):
        smallest = mean.first.smallest if mean.first is not None and mean.holds else 0.0
        claim = "unbiased" if facts_of(mean.estimator).unbiased else "exact moments"
        findings.append(Finding(label, claim, where, mean.holds, mean.text, own, mean.samples, smallest))
    each = durations(plan, seconds)
    problems = [
        _problem_row(spec, route, findings, spent)
        for spec, route, spent in zip(plan.problems, routes, each, strict=True)
    ]
    objectives = [_objective_row(name, findings) for name in dict.fromkeys(spec.objective for spec in plan.problems)]
    idle = {cell.estimator.label: cell.reason for cell in plan.cells}
    estimators = [_estimator_row(label, reason, findings) for label, reason in idle.items()]
    return Check(problems, objectives, estimators, _faults(findings), _unchecked(findings), START + sum(each))


def _objective(spec: ProblemSpec) -> tuple[Problem | None, list[Finding]]:
    """The problem, and what is found of its objective; no problem where it raises."""
    try:
        with isolated(has_user_code(spec), "preflight", spec.id):
            problem = problem_of(spec, "cpu")
            found = [Finding(spec.objective, a.claim, spec.label, a.holds, a.text) for a in answers(problem)]
    except Exception as error:
        return None, [Finding(spec.objective, "cells", spec.label, False, f"all its cells will fail: {reason(error)}")]
    return problem, found


def _failing(spec: ProblemSpec, groups: Sequence[Group], records: Sequence[Record]) -> list[Finding]:
    """Cells that will fail, by label and reason."""
    of_key = {key: group.of.label for group in groups for _, key in group.cells}
    failed = sorted((of_key[r["key"]], r["reason"]) for r in records if r["kind"] == "failed")
    found = []
    for (label, why), same in groupby(failed):
        n = len(list(same))
        found.append(Finding(label, "cells", spec.label, False, f"{n} cell{'s' * (n > 1)} will fail: {why}"))
    return found


def _finding(subject: str, claim: str, problem: str, answer: Answer) -> Finding:
    return Finding(subject, claim, problem, *answer)


def _on_own_problems(plan: Plan, tell: Tell) -> list[tuple[str, str, bool, Mean]]:
    """The means of each estimator that is called unbiased, at its first and last temperature."""
    cells = [cell for cell in plan.cells if cell.reason is None]
    ends: dict[str, list[Cell]] = {}
    for cell in cells:
        ends.setdefault(cell.estimator.label, []).append(cell)
    wanted = {
        pick(of_label, key=lambda cell: cell.temperature or 0.0).estimator
        for of_label in ends.values()
        for pick in (min, max)
    }
    found = []
    for group in groups_of(cell for cell in cells if cell.estimator in wanted):
        estimator, label = group.estimator(), group.of.label
        if not facts_of(estimator).unbiased:
            continue
        tell(f"{label}, on problems of the check's own")
        least, most = facts_of(estimator).min_samples, max(plan.config.samples)
        sizes = [4] if isinstance(estimator, RowEstimator) else sorted({least, least + 1, max(least + 3, most)})
        for problem in own_problems():
            if served(problem, facts_of(estimator)):
                found += [(label, named(problem), True, mean) for mean in means(problem, estimator, sizes)]
    return found


def _verdict(findings: Iterable[Finding]) -> str:
    each = [finding.holds for finding in findings]
    return FALSE if False in each else PARTLY if None in each or not each else OK


def _problem_row(spec: ProblemSpec, route: str, findings: Sequence[Finding], spent: float) -> dict[str, Any]:
    """What is said of a problem: of its objective alone."""
    own = [f for f in findings if f.problem == spec.label and f.subject == spec.objective]
    row = {"problem": spec.label, "verdict": _verdict(own), "gradient": route}
    return row | {"s": f"{spent:.2g}" if spent < 10 else f"{spent:.0f}"}


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
    words = [
        _mean_words(of["unbiased"]) or ("unbiased: not so, or not checked" if of["unbiased"] else "said to be biased")
    ]
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
