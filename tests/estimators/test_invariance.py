"""Equal values of f leave nothing: whatever subtracts them gives exactly 0, and keeps what is a difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from estbench import catalogue
from estbench.draws import Draw
from estbench.estimate import estimates
from estbench.exact import exact
from estbench.intervals.metrics import Columns, exact_metrics
from estbench.moments import Moments
from estbench.objectives.base import BOTH, Objective
from estbench.problem import Problem
from estbench.streams import Streams
from tests.problems import make
from tests.sizes import slow

NOT_INVARIANT = {"ar", "lax", "rebar", "reinforce", "relax", "stratified", "sum_and_sample"}
"""Estimators, at their default options, that change with f + c: they have no baseline, or a fitted one."""

INVARIANT: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in sorted(catalogue.ESTIMATORS) if name not in NOT_INVARIANT),
    ("reinforce", {"baseline": "mean"}),
    ("reinforce", {"baseline": "optimal"}),
    ("reinforce", {"baseline": "optimal", "oracle": False}),
    ("reinforce", {"baseline": "moving_average"}),
    ("reinforce", {"baseline": "constant", "value": 0.3}),
    ("sum_and_sample", {"top": 32}),
    ("sum_and_sample", {"top": 32, "space": "per_variable"}),
    ("unordered_set", {"k": 4}),
    ("unordered_set", {"k": 3, "space": "per_variable"}),
    ("arms", {"copula": "gaussian"}),
]
LOGITS: dict[str, list[Any]] = {
    "bernoulli": [[0.4], [3.0, -2.0], [0.4, -1.9, 0.1]],
    "categorical": [[[0.3, -0.9, 0.5]], [[0.3, -0.9, 0.5], [-0.2, 2.1, 0.35]]],
}
COUPLED = ["rloo", "arms", "carms", "double_cv", "rodeo"]


@dataclass(frozen=True)
class Shifted:
    """Σ_d v_d (d + 1)/4 · scale + shift."""

    scale: float
    shift: float
    on: Literal["values"] = "values"
    distributions: frozenset[str] = BOTH

    def value(self, v: Tensor) -> Tensor:
        """f(v)."""
        c = torch.arange(1, v.shape[-1] + 1).to(v) / 4
        return (v * c).sum(-1) * self.scale + self.shift


def found(name: str, options: dict[str, Any], problem: Problem, N: int = 5) -> Tensor:
    """200 estimates of N samples, fitted on draws of their own where there is something to fit."""
    estimator: Any = catalogue.build(catalogue.estimator_class(name), options)
    N = max(N, estimator.facts.min_samples)
    if hasattr(estimator, "fit"):
        fits = Draw(problem, 1024, 1, streams=Streams(1, "fit", range(1)))
        estimator = estimator.fit(problem, fits)
    return estimates(estimator, Draw(problem, 200, N, streams=Streams(0, "p", range(1))), [N])[0]


def serves(name: str, options: dict[str, Any], distribution: str, D: int) -> bool:
    """Whether the estimator is for the distribution and the number of variables."""
    facts = catalogue.build(catalogue.estimator_class(name), options).facts
    return distribution in facts.distributions and (facts.max_variables or D) >= D


@pytest.mark.parametrize("dtype", [torch.float64, slow(torch.float32)])
@pytest.mark.parametrize(("name", "options"), INVARIANT)
def test_a_constant_f_gives_exactly_zero(name: str, options: dict[str, Any], dtype: torch.dtype) -> None:
    """f = 0.3, which has no short binary expansion: every estimate is 0, for N = 1 … 7 samples."""
    for distribution, every in LOGITS.items():
        for logits in every:
            if serves(name, options, distribution, len(logits)):
                problem = make(Shifted(0.0, 0.3), torch.tensor(logits, dtype=dtype))
                for N in (1, 3, 7):
                    assert not found(name, options, problem, N).any(), (logits, N)


@dataclass(frozen=True)
class Square:
    """(Σ_d v_d − t)², summed as Σ_d (v_d − t/D)."""

    t: float
    on: Literal["values"] = "values"
    distributions: frozenset[str] = BOTH

    def value(self, v: Tensor) -> Tensor:
        """f(v)."""
        return (v - self.t / v.shape[-1]).sum(-1).square()


@pytest.mark.parametrize(
    ("name", "D"),
    [
        (name, D)
        for name in ("rloo", "disarm_sb", "arms", "carms", "measure_valued")
        for D in (2, 3)
        if serves(name, {}, "categorical", D)
    ],
)
def test_equal_sums_of_other_numbers_are_equal(name: str, D: int) -> None:
    """0 + 1 and ½ + ½ give one f: the same estimates are 0 at t = 0.9 as at 0.875, which is not rounded."""
    logits = torch.tensor([[1.0, -1.0, 0.3]] * D, dtype=torch.float64)
    zeros = [(found(name, {}, make(Square(t), logits), 2) == 0).all(-1) for t in (0.9, 0.875)]
    assert zeros[0].equal(zeros[1])


def changes_with_f(name: str, options: dict[str, Any]) -> bool:
    """Whether its fit, or its constant, does."""
    return name in ("nvil", "double_cv", "rodeo") or options.get("baseline") == "constant" or "oracle" in options


@pytest.mark.parametrize(("name", "options"), [case for case in INVARIANT if not changes_with_f(*case)])
def test_a_constant_beside_f_changes_nothing_but_roundings(name: str, options: dict[str, Any]) -> None:
    """f + 2²⁰ gives the estimates of f, and zeros where they are zero; the fitted differ.

    Both have few binary digits, so that f + 2²⁰ is not rounded, and differences of f are the same. A baseline that is
    one number near 2²⁰ is, by half a unit, 2⁻³³, at most; so is the f + 2²⁰ of `muprop`, at the mean.
    """
    rounded = 2.0**-33 if "baseline" in options or name == "muprop" else 1e-13
    for distribution, every in LOGITS.items():
        for logits in every:
            if serves(name, options, distribution, len(logits)):
                phi = torch.tensor(logits, dtype=torch.float64)
                plain, high = (found(name, options, make(Shifted(1.0, shift), phi)) for shift in (0.0, 2.0**20))
                torch.testing.assert_close(high, plain, rtol=0, atol=rounded)
                zeros, of_high = (int((g == 0).all(-1).sum()) for g in (plain, high))
                assert zeros == of_high or "baseline" in options, (zeros, of_high)


@pytest.mark.parametrize("name", COUPLED)
@pytest.mark.parametrize("N", [2, 3, 5, 7])
def test_equal_values_of_f_at_the_samples_give_exactly_zero(name: str, N: int) -> None:
    """Where f is the same at all N samples the estimate of coupled samples is 0, and nowhere else for one variable."""
    objective: Any = catalogue.build(catalogue.objective_class("power"), {})
    distribution = "categorical" if name == "carms" else "bernoulli"
    logits = torch.tensor([2.0, 0.0] if distribution == "bernoulli" else [[2.0, 0.1, 0.0]], dtype=torch.float64)
    if distribution == "bernoulli":
        logits = logits[:1]
    problem = make(objective, logits)
    seen: list[Tensor] = []

    class Seeing:
        """The objective, remembering its values."""

        on, distributions = objective.on, objective.distributions

        def value(self, v: Tensor) -> Tensor:
            f: Tensor = objective.value(v)
            seen.append(f)
            return f

        def grad(self, v: Tensor) -> Tensor:
            g: Tensor = objective.grad(v)
            return g

    watched = make(Seeing(), logits)
    estimator: Any = catalogue.build(catalogue.estimator_class(name), {})
    (g,) = estimates(estimator, Draw(watched, 400, N, streams=Streams(0, "p", range(1))), [N])
    f = next(f for f in seen if f.shape == (400, N))
    same = (f == f[:, :1]).all(1)
    assert 0 < int(same.sum()) < 400
    assert torch.equal((g == 0).all(-1), same)
    assert problem.D == 1


def row(objective: Objective, logits: Any, name: str, N: int, tie: bool = False, **options: Any) -> Columns:
    """The exact metrics of an estimator that depends on z alone."""
    problem = make(objective, torch.tensor(logits, dtype=torch.float64), tie)
    of = exact(problem, catalogue.build(catalogue.estimator_class(name), options), N)
    assert problem.exact_gradient is not None
    return exact_metrics(Moments.unpack(of.packed, problem.exact_gradient.numpy()))


@pytest.mark.parametrize(
    ("objective", "logits", "N", "cosine", "zeros"),
    [
        ("power", [3.0], 7, 0.288309, 0.711691),
        ("quadratic", [-3.0, -3.0], 5, 0.285466, 0.615166),
        ("mlp", [[3.0, -1.0, 0.0]], 3, 0.109102, 0.820762),
    ],
)
def test_ties_are_zeros_not_directions(objective: str, logits: Any, N: int, cosine: float, zeros: float) -> None:
    """Rloo, exact: the share of zeros is the probability of a tie, and the cosine counts the rest."""
    f = catalogue.build(catalogue.objective_class(objective), {})
    columns = row(f, logits, "rloo", N)
    assert columns["cosine"] == pytest.approx(cosine, abs=1e-6)
    assert columns["zero_fraction"] == pytest.approx(zeros, abs=1e-6)


@pytest.mark.parametrize("objective", ["power", "quadratic", "sine", "product"])
@pytest.mark.parametrize("tie", [False, True])
@pytest.mark.parametrize("N", [2, 3])
def test_ties_between_states(objective: str, tie: bool, N: int) -> None:
    """Three variables, f of their sum: the share of zeros of rloo is P(all samples have one value of f)."""
    f = catalogue.build(catalogue.objective_class(objective), {})
    problem = make(f, torch.tensor([3.0, 3.0, 3.0], dtype=torch.float64), tie)
    z = problem.distribution.states()
    P, values = problem.distribution.log_prob(z).exp(), problem.f(z).mul(1e9).round()
    every: list[float] = sorted(set(values.tolist()))
    expected = sum(float(P[values == value].sum()) ** N for value in every)
    assert row(f, [3.0, 3.0, 3.0], "rloo", N, tie)["zero_fraction"] == pytest.approx(expected, abs=1e-12)
