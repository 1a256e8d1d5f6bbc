"""Tests of the facts that estimators declare: each claim holds, is false, or was not checked, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from estbench import catalogue
from estbench.catalogue import facts_of
from estbench.engine.tasks import Group, reason
from estbench.estimators.base import Estimator, RowEstimator, evaluations
from estbench.isolation import Isolated
from estbench.preflight.purity import impurities, random_of_its_own
from estbench.preflight.trial import MORE, Trial
from estbench.preflight.unbiasedness import NotChecked, Sampled, confirmed, exactly, percent, sampled
from estbench.problem import Problem

Counted = Mapping[str, tuple[int, int]]
"""Evaluations of f and ∇f for one estimate, by cell key."""

Answer = tuple[bool | None, str]
"""Whether a claim is true (None: not checked), and how that is known, what is wrong, or why it was not checked."""


@dataclass(frozen=True)
class Mean:
    """What is known of E ĝ at N samples: whether it is what the facts say (None: not checked), and how, or why not.

    `unbiased`: whether the facts say that it is the gradient. `first`, where there is one, is a first sample, by which
    nothing is said yet: it is tested with all others.
    """

    unbiased: bool | None
    samples: int
    holds: bool | None
    text: str
    first: Sampled | None = None

    def decided(self, second: Sampled | None) -> Mean:
        """The same once its samples are tested; `second` is a second one if that rejects E ĝ = g too."""
        if self.first is None:
            return self
        if second is not None:
            text = f"its mean is {percent(second.bias)} of ‖g‖ away from g at N = {self.samples}"
            text = f"{UNBIASED}, but {text}: sampled twice, p = {second.p:.0e}"
            return replace(self, holds=False, text=text)
        return replace(self, holds=None if self.first.underpowered else True, text=self.first.underpowered or "sampled")


UNBIASED = "its facts say that it is unbiased"


def cost(problem: Problem, group: Group, counted: Counted) -> Answer:
    """Whether f and ∇f are evaluated as often as declared, at each N that was counted."""
    estimator = group.estimator()
    facts, D, K = facts_of(estimator), problem.D, problem.distribution.classes
    for N, key in group.cells:
        if key not in counted:
            continue
        declared = tuple(evaluations(count, D, K, N) for count in (facts.f, facts.df))
        if declared != counted[key]:
            words = [f"{f} f and {df} ∇f" for f, df in (declared, counted[key])]
            return False, f"its facts declare {words[0]} an estimate at N = {N}, but {words[1]} were counted"
    return True, "counted"


def means(problem: Problem, estimator: Estimator, samples: Sequence[int]) -> Iterator[Mean]:
    """What is known of the mean at some N.

    Exact moments decide where they take little time; of an estimator that is called unbiased the mean is else
    sampled, at the smallest and at the largest N. The mean of independent rows is that of one row, at every N.
    """
    rows, unbiased = isinstance(estimator, RowEstimator), facts_of(estimator).unbiased
    left = []
    for N in [facts_of(estimator).min_samples] if rows else samples:
        try:
            with Isolated("preflight", N):
                found = exactly(problem, estimator, N)
        except TimeoutError:  # it is slow, not wrong
            raise
        except Exception as error:
            text = f"its facts say exact = '{facts_of(estimator).exact}', but {reason(error)}"
            yield Mean(unbiased, N, False, text)
            return
        if found is None:
            left.append(N)
        elif unbiased and found.biased:
            text = f"‖E ĝ − g‖ = {found.bias:.3g} at N = {N}, exactly, where ‖g‖ = {found.size:.3g}"
            yield Mean(unbiased, N, False, f"{UNBIASED}, but {text}")
        elif unbiased:
            yield Mean(unbiased, N, True, "exactly")
    if not unbiased or not left:
        return
    for N in [max(samples)] if rows else sorted({min(left), max(left)}):
        try:
            yield Mean(unbiased, N, None, "", sampled(problem, estimator, N))
        except NotChecked as why:
            yield Mean(unbiased, N, None, str(why))
        except Exception as error:
            yield Mean(unbiased, N, None, f"it raised {reason(error)}")


def decide(means: Sequence[Mean], again: Callable[[int], Sampled | None]) -> list[Mean]:
    """All means with their samples tested together, so that the rate of false alarms is that of all of them.

    `again` gives the second sample of the mean of an index, four times as large as the first, or None if it fails.
    """
    places = [i for i, mean in enumerate(means) if mean.first is not None]
    firsts = [mean.first for mean in means if mean.first is not None]
    seconds = dict(zip(places, confirmed(firsts, lambda i: again(places[i])), strict=True))
    return [mean.decided(seconds.get(i)) for i, mean in enumerate(means)]


def purity(problem: Problem, group: Group) -> Answer:
    """Whether the estimator is a pure function of its draw: what it does, or why that cannot be told."""
    N = min((N for N, _ in group.cells if N > 1), default=group.cells[0][0])
    try:
        trial = Trial(partial(catalogue.new_estimator, group.of, group.fitted), problem, N)
        found = list(impurities(trial))
        if not found and random_of_its_own(trial):
            return None, "it makes random numbers of its own, so that its estimates from two draws cannot be compared"
    except Exception as error:
        return None, f"on a draw of {N + MORE} samples it raised {reason(error)}"
    return (not found), "; ".join(found)
