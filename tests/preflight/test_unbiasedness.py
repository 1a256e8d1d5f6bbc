"""Means: exactly where they are known, else sampled, with a stated power and rate of false alarms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from pydantic.dataclasses import dataclass
from scipy.stats import kstest
from torch import Tensor

from estbench import catalogue
from estbench.draws import Draw, over_samples
from estbench.estimators.base import Facts
from estbench.estimators.relaxation.gumbel import Gumbel
from estbench.estimators.score_function.reinforce import Reinforce
from estbench.estimators.straight_through.reinmax import Reinmax
from estbench.objectives.product import Product
from estbench.objectives.sine import Sine
from estbench.preflight.claims import Mean, decide, means
from estbench.preflight.problems import own_problems, served
from estbench.preflight.unbiasedness import FALSE_ALARM, MAX_ESTIMATES, NotChecked, Sampled, confirmed, exactly, sampled
from tests.estimators.wrong_on_purpose import WRONG
from tests.problems import make
from tests.sizes import thinned

SAMPLED = Facts("score function", f=1, exact="none")


@dataclass(frozen=True)
class SelfInclusive:
    """(f(z_n) − f̄) s(z_n) with f̄ of all N samples: in mean (1 − 1/N) g."""

    facts: ClassVar[Facts] = replace(SAMPLED, min_samples=2)

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """Its own value of f is in the baseline."""
        f = draw.fz[:, :samples]
        return over_samples(draw.lift(f - f.mean(1, keepdim=True)) * draw.score[:, :samples]) / samples


@dataclass(frozen=True)
class Scaled:
    """c f(z) s(z), and its mean is not known."""

    c: float = 1.1
    facts: ClassVar[Facts] = SAMPLED

    def rows(self, draw: Draw) -> Tensor:
        """c f(z) s(z)."""
        return self.c * draw.lift(draw.fz) * draw.score


@dataclass(frozen=True)
class Shifted:
    """f(z) s(z) and a constant in one coordinate."""

    facts: ClassVar[Facts] = SAMPLED

    def rows(self, draw: Draw) -> Tensor:
        """The first logit of the last variable gets a little more."""
        found = draw.lift(draw.fz) * draw.score
        found.flatten(2)[..., -1] += 0.02
        return found


@dataclass(frozen=True)
class Nothing:
    """0, always."""

    facts: ClassVar[Facts] = SAMPLED

    def rows(self, draw: Draw) -> Tensor:
        """No gradient."""
        return torch.zeros_like(draw.score)


@dataclass(frozen=True)
class NoDivision(Gumbel):
    """A relaxation that says that it is unbiased."""

    @property
    def facts(self) -> Facts:
        """All but the truth."""
        return replace(super().facts, unbiased=True)


@dataclass(frozen=True)
class SecondOrder(Reinmax):
    """Right for quadratic functions only, and said to be unbiased."""

    @property
    def facts(self) -> Facts:
        """All but the truth."""
        return replace(super().facts, unbiased=True, exact="none")


@dataclass(frozen=True)
class ClippedScore:
    """f(z) s(z) with |f| bounded: right where f is small."""

    facts: ClassVar[Facts] = SAMPLED

    def rows(self, draw: Draw) -> Tensor:
        """Bounded."""
        return draw.lift(draw.fz.clamp(-0.5, 0.5)) * draw.score


@dataclass(frozen=True)
class FirstVariable:
    """f(z) s(z), but each variable after the first one uses the score of the first one's neighbour."""

    facts: ClassVar[Facts] = SAMPLED

    def rows(self, draw: Draw) -> Tensor:
        """The scores in another order: right for one variable."""
        return draw.lift(draw.fz) * draw.score.flip(2)


def on_own_problems(estimator: Any) -> list[Mean]:
    """What is found on all problems of the check's own."""
    least = estimator.facts.min_samples
    served_ones = [problem for problem in own_problems() if served(problem, estimator.facts)]
    sizes = [4] if hasattr(estimator, "rows") else [least, least + 1, max(4, least + 3)]
    found = [(problem, mean) for problem in served_ones for mean in means(problem, estimator, sizes)]

    def again(i: int) -> Sampled:
        problem, mean = found[i]
        return sampled(problem, estimator, mean.samples, stage=2)

    return decide([mean for _, mean in found], again)


UNSEEN: list[Any] = [SelfInclusive, Scaled, Shifted, Nothing, NoDivision, SecondOrder, ClippedScore, FirstVariable]


@pytest.mark.parametrize("kind", thinned(6, [*UNSEEN, *WRONG]), ids=lambda k: k.__name__)
def test_wrong_means_are_found(kind: Any) -> None:
    """Estimators that say they are unbiased and are not, at one N or at every N, with exact moments or without."""
    found = on_own_problems(kind())
    false = [mean for mean in found if mean.holds is False]
    assert false
    assert all(mean.text.startswith("its facts say that it is unbiased, but ") for mean in false)


@pytest.mark.parametrize(
    "name", [n for n, kind in catalogue.ESTIMATORS.items() if catalogue.build(kind, {}).facts.unbiased]
)
def test_the_catalogue_keeps_its_means(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every estimator that says it is unbiased: looked at on each problem of the check's own, and not accused.

    Samples are an eighth as large as in a check, so that they take seconds; their false alarms are as rare.
    """
    monkeypatch.setitem(sampled.__globals__, "LARGEST", 2**11)
    monkeypatch.setitem(sampled.__globals__, "WANTED", 0.2)
    found = on_own_problems(catalogue.build(catalogue.estimator_class(name), {}))
    assert not [mean.text for mean in found if mean.holds is False]
    assert len([mean for mean in found if mean.holds]) >= len(found) / 2


@dataclass(frozen=True)
class Seeded:
    """f(z) s(z) by streams that a number tells apart: for many independent samples."""

    facts: ClassVar[Facts] = SAMPLED

    def rows(self, draw: Draw) -> Tensor:
        """Unbiased."""
        return draw.lift(draw.fz) * draw.score


@pytest.mark.slow
def test_p_values_are_those_of_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 400 samples of an unbiased estimator p-values are uniform; the test of that fails once in 10^4."""
    problem, found = own_problems()[0], []
    streams = sampled.__globals__["Streams"]
    for seed in range(400):
        monkeypatch.setitem(
            sampled.__globals__, "Streams", lambda _, name, shards, seed=seed: streams(seed, name, shards)
        )
        monkeypatch.setitem(sampled.__globals__, "LARGEST", 2**10)
        found.append(sampled(problem, Reinforce(baseline="constant", value=-0.4), 1, stage=2).p)
    assert kstest(found, "uniform").pvalue > 1e-4


def test_the_stated_bias_is_seen() -> None:
    """A bias as large as the smallest that is stated is suspected in 9 of 10 samples: at twice the size it is found."""
    problem = own_problems()[2]
    smallest = sampled(problem, Scaled(1.0), 1).smallest
    assert 0.01 < smallest < 0.1
    wrong = Scaled(1 + 2 * smallest)
    (mean,) = decide(list(means(problem, wrong, [1])), lambda _: sampled(problem, wrong, 1, stage=2))
    assert mean.holds is False


def test_only_a_second_sample_convicts() -> None:
    """A first sample below the level is sampled again; p-values are adjusted for all that were sampled."""
    suspected, clear = Sampled(1, 1e-3, 0.1, 0.1), Sampled(1, 0.5, 0.1, 0.1)
    asked: list[int] = []

    def again(i: int) -> Sampled:
        asked.append(i)
        return Sampled(4, FALSE_ALARM / 2, 0.05, 0.1)

    assert confirmed([suspected], again)[0] is not None
    assert confirmed([clear, suspected, clear], again) == [None, None, None]  # 3 · 5e-4 is no less than 1e-3
    assert asked == [0, 1]


def test_rare_events_are_no_evidence() -> None:
    """f that varies in a state that is never seen convicts nobody, and neither does a class that is too rare."""
    rare = make(Product(), torch.zeros(25, dtype=torch.float64))
    with pytest.raises(NotChecked, match="events rarer than 2e-04 are invisible"):
        sampled(rare, Reinforce(), 1)
    with pytest.raises(NotChecked, match="too rare to be sampled"):
        sampled(make(Sine(), torch.tensor([-12.0, 0.3], dtype=torch.float64)), Reinforce(), 1)


def test_exact_means_of_many_samples() -> None:
    """Multisets of samples are counted, not tuples; a mean of rows has the mean of one row, whatever N is."""
    problem = own_problems()[1]
    assert problem.n_states**16 > MAX_ESTIMATES
    for name, N in (("rloo", 8), ("rloo", 16), ("reinforce", 64), ("reinforce", 10**6), ("leg", 10**6)):
        found = exactly(problem, catalogue.build(catalogue.estimator_class(name), {}), N)
        assert found is not None
        assert not found.biased
        assert found.bias < 1e-12 < found.size
    biased = exactly(problem, catalogue.build(catalogue.estimator_class("ste"), {}), 10**6)
    assert biased is not None
    assert biased.biased
    assert exactly(problem, catalogue.build(catalogue.estimator_class("rloo"), {}), 64) is None


def test_exact_means_are_told() -> None:
    """‖E ĝ − g‖ and ‖g‖ by enumeration; None where there are no exact moments at once."""
    problem = own_problems()[2]
    found = exactly(problem, Reinforce(), 1)
    assert found is not None
    assert not found.biased
    assert found.bias < 1e-12 < found.size
    assert exactly(problem, Scaled(), 1) is None
    assert exactly(problem, Gumbel(temperature=0.5), 1) is None
