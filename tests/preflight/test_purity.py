"""Estimators that are not pure functions of their draw are found, each with its message; the catalogue is pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from estbench import catalogue
from estbench.draws import Draw
from estbench.estimators.base import Facts, Vjp
from estbench.estimators.straight_through.ste import Ste
from estbench.objectives.mlp import Mlp
from estbench.preflight.purity import impurities, random_of_its_own
from estbench.preflight.trial import Trial
from estbench.problem import Problem
from tests.estimators.members import build, problems
from tests.preflight.impure import LATE, SAID, WRITES, Fresh, Pure, ReadFirst, RowsAlone, TorchNoise
from tests.problems import make
from tests.sizes import thinned


def on(kind: Any, problem: Problem, samples: int = 2) -> list[str]:
    """What is found of a class, at its defaults."""
    return list(impurities(Trial(kind, problem, samples)))


def two() -> list[Problem]:
    """One problem of either kind, fresh: some estimators write into it."""
    return [
        make(Mlp(seed=2), torch.tensor([1.4, -1.3, 0.8], dtype=torch.float64)),
        make(Mlp(seed=3), torch.tensor([[0.3, -1.9, 0.5], [-0.2, 0.7, 0.1]], dtype=torch.float64)),
    ]


@pytest.mark.parametrize("kind", WRITES, ids=lambda kind: kind.__name__)
def test_writes_in_place_are_found(kind: type[Any]) -> None:
    """Also those that change nothing, those through numpy, and those into what the problem keeps."""
    for problem in two():
        (said,) = on(kind, problem)
        assert "it writes in place into" in said
        assert WRITES[kind] in said


@pytest.mark.parametrize("kind", SAID, ids=lambda kind: kind.__name__)
def test_each_impurity_has_its_sentence(kind: type[Any]) -> None:
    """State, randomness of one's own, hidden evaluations, other replicates, block sizes, other samples."""
    for problem in two():
        found = on(kind, problem)
        assert SAID[kind] in found[0]


@pytest.mark.parametrize("name", thinned(3, catalogue.ESTIMATORS))
def test_the_catalogue_is_pure(name: str) -> None:
    """No estimator of the catalogue is accused of anything, at as few samples as it needs or at three.

    At its defaults: the contract shows that each is pure at every option.
    """
    estimator = build(name, {})
    few = estimator.facts.min_samples
    for problem, samples in zip(problems(estimator), (max(3, few), few), strict=False):
        assert list(impurities(Trial(lambda: build(name, {}), problem, samples))) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", catalogue.ESTIMATORS)
def test_the_catalogue_is_pure_at_either_number_of_samples(name: str) -> None:
    """The same on each problem with both numbers of samples."""
    estimator = build(name, {})
    for problem in problems(estimator):
        for samples in {max(3, estimator.facts.min_samples), estimator.facts.min_samples}:
            assert list(impurities(Trial(lambda: build(name, {}), problem, samples))) == []


def test_declared_randomness_is_no_fault() -> None:
    """Numbers of the global generators, which a run seeds, are a fault only of what claims exact moments."""

    class Declared(TorchNoise):
        facts: ClassVar[Facts] = replace(TorchNoise.facts, exact="none")

    for problem in two():
        assert on(Declared, problem) == []
        assert random_of_its_own(Trial(Declared, problem, 2))


def test_what_is_pure_is_not_accused() -> None:
    """REINFORCE as a plug-in, from which the wrong ones are made."""
    for problem in two():
        assert on(Pure, problem) == []


@dataclass(frozen=True)
class WrongNode(Ste):
    """Its vjp is not linear in ∇f, is not that of its rows, or is not there."""

    wrong: str = ""

    def vjp(self, draw: Draw) -> tuple[Tensor, Vjp]:
        """z, and J(p) g, or J(p) g³."""
        h, of = super().vjp(draw)
        return h, (lambda g: of(g**3)) if self.wrong == "not linear" else of

    def rows(self, draw: Draw) -> Tensor:
        """What vjp makes of ∇f, or twice as much."""
        h, of = self.vjp(draw)
        return of(draw.df(h)) * (2 if self.wrong == "twice" else 1)


def test_the_vjp_of_a_node() -> None:
    """A node whose rows are not its vjp at ∇f, that is not linear in it, or has no vjp, is named; others are not."""
    for problem in two():
        assert on(WrongNode, problem) == []
        assert any("not linear" in text for text in on(partial(WrongNode, wrong="not linear"), problem))
        assert any("rows are not what its vjp" in text for text in on(partial(WrongNode, wrong="twice"), problem))
        assert any("has no vjp(draw)" in text for text in on(RowsAlone, problem))


@pytest.mark.parametrize("layer", LATE, ids=repr)
def test_a_backward_pass_that_does_more_is_named(layer: Fresh) -> None:
    """Noise that is drawn late, state, writes into g and evaluations of f: one sentence, before all others."""
    for problem in two():
        (said,) = on(lambda: layer, problem)
        assert LATE[layer] in said


def test_a_layer_that_reads_its_noise_first_is_pure() -> None:
    """The same noise, read before the function is returned, is no fault."""
    for problem in two():
        assert on(ReadFirst, problem) == []
