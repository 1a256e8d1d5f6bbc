"""What every estimator of the catalogue must keep, whatever its formula."""

from __future__ import annotations

import json
import math
import os
import pickle
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from estbench import catalogue
from estbench.draws import Draw
from estbench.estimate import truth
from estbench.estimators.base import Estimator, Fitted, Referenced, RowEstimator, evaluations
from estbench.exact import Unavailable, exact
from estbench.preflight.purity import backward
from estbench.preflight.trial import Trial
from estbench.problem import Evaluations, Problem
from tests.estimators.members import (
    ALL,
    BERNOULLI,
    CATEGORICAL,
    UNFITTED,
    build,
    coupled_over_replicates,
    draw,
    gradients,
    objective,
    plugins,
    problems,
    sizes,
    variants,
    where,
)
from tests.estimators.wrong_on_purpose import WRONG, EarlierBaseline, OverHalfN
from tests.problems import make
from tests.sizes import at_whole_size

every = pytest.mark.parametrize(("name", "options"), UNFITTED)


def costly(case: Any) -> Any:
    """The case; slow if it takes a while, and another is like it: without options, `lax`, `double_cv`."""
    name, options = case.values
    long = name in ("relax", "rodeo") or (options and name in ("lax", "rebar", "double_cv"))
    return pytest.param(name, options, id=case.id, marks=pytest.mark.slow) if long else case


@every
def test_shape_and_dtype(name: str, options: dict[str, Any]) -> None:
    """An estimate has the shape of the logits and their dtype, in float32 and in float64, and is finite."""
    estimator = build(name, options)
    for dtype in (torch.float32, torch.float64):
        for problem in problems(estimator, dtype):
            g = gradients(estimator, draw(problem, 7, max(3, estimator.facts.min_samples)))
            assert g.shape == (7, *problem.distribution.event_shape)
            assert g.dtype == dtype
            assert bool(g.isfinite().all())


def numpy_generator() -> bytes:
    """The state of numpy's global generator, to be compared."""
    return pickle.dumps(np.random.get_state(legacy=False))


@every
def test_purity(name: str, options: dict[str, Any]) -> None:
    """The same draw gives the same bits; noise, logits and the global generators are untouched; no graph is left."""
    estimator = build(name, options)
    torch_state, numpy_state = torch.get_rng_state(), numpy_generator()
    for problem in problems(estimator):
        N = max(2, estimator.facts.min_samples)
        first = draw(problem, 50, N)
        g = gradients(estimator, first)
        kept = {key: value.clone() for key, value in first._noise.items()}
        assert torch.equal(g, gradients(estimator, first))
        assert torch.equal(g, gradients(estimator, first.with_same_noise()))
        assert torch.equal(g, gradients(estimator, draw(problem, 50, N)))
        assert all(torch.equal(value, first._noise[key]) for key, value in kept.items())
        assert not g.requires_grad
        assert not problem.distribution.logits.requires_grad
    assert torch.equal(torch_state, torch.get_rng_state())
    assert numpy_state == numpy_generator()


@pytest.mark.parametrize(("name", "options"), where(lambda e: e.facts.node, UNFITTED))
def test_backward_passes(name: str, options: dict[str, Any]) -> None:
    """A layer reads all its noise before its vjp returns; the function of g gives the same rows again, to the bit."""
    estimator = build(name, options)
    for problem in problems(estimator):
        assert backward(Trial(lambda: estimator, problem, 2)) == ""


@pytest.mark.parametrize(("name", "options"), where(lambda e: not coupled_over_replicates(e), UNFITTED))
def test_replicates_and_samples_are_apart(name: str, options: dict[str, Any]) -> None:
    """A replicate's estimate depends on its own noise alone, and an estimate from n samples on the first n alone."""
    estimator = build(name, options)
    for problem, n in product(problems(estimator), sizes(estimator)):
        whole = draw(problem, 20, n + 2)
        g = gradients(estimator, whole, n)
        noise = {
            key: u[5:9, :n].contiguous() if u.ndim > 2 or u.shape[1] == n + 2 else u[5:9]
            for (key, _, _), u in whole._noise.items()
        }
        part = Draw(problem, 4, n, streams=whole._streams, noise=noise)
        torch.testing.assert_close(gradients(estimator, part, n), g[5:9], rtol=1e-12, atol=1e-13)


def of_rows(estimator: Estimator) -> bool:
    """Whether its samples are not coupled, nor its replicates."""
    return isinstance(estimator, RowEstimator) and not coupled_over_replicates(estimator)


@pytest.mark.parametrize(("name", "options"), where(of_rows, UNFITTED))
def test_rows_are_apart(name: str, options: dict[str, Any]) -> None:
    """A row depends on its own sample's noise alone, so that the variance of a mean of N rows is that of one over N."""
    estimator = build(name, options)
    assert isinstance(estimator, RowEstimator)
    for problem in problems(estimator):
        whole = draw(problem, 20, 3)
        g = estimator.rows(whole)
        noise = {
            key: u[:, 1:].contiguous() if u.ndim > 2 or u.shape[1] == 3 else u
            for (key, _, _), u in whole._noise.items()
        }
        part = Draw(problem, 20, 2, streams=whole._streams, noise=noise)
        torch.testing.assert_close(estimator.rows(part), g[:, 1:], rtol=1e-12, atol=1e-13)


@every
def test_cost_counted_is_cost_declared(name: str, options: dict[str, Any]) -> None:
    """One estimate from a fresh draw evaluates f and ∇f as often as the facts say."""
    estimator = build(name, options)
    for problem in problems(estimator):
        for N in {*sizes(estimator), 4}:
            counting = replace(problem, evaluations=Evaluations())
            gradients(estimator, draw(counting, 1, N))
            D, K = problem.D, problem.distribution.classes
            declared = tuple(evaluations(c, D, K, N) for c in (estimator.facts.f, estimator.facts.df))
            assert (counting.evaluations.f, counting.evaluations.df) == declared


@dataclass(frozen=True, eq=False)
class Spied(Problem):
    """A problem that notes whether f or ∇f was asked for off the vertices."""

    def _vertex(self, z: Tensor) -> bool:
        return bool(((z == 0) | (z == 1)).all())

    def f(self, z: Tensor) -> Tensor:
        """f, noting where."""
        SEEN.append(self._vertex(z))
        return super().f(z)

    def df(self, z: Tensor) -> Tensor:
        """∇f, noting where."""
        SEEN.append(self._vertex(z))
        return super().df(z)


SEEN: list[bool] = []


@every
def test_off_vertices_is_declared(name: str, options: dict[str, Any]) -> None:
    """f and ∇f are asked for between the classes just where the facts say so."""
    estimator = build(name, options)
    for problem in problems(estimator):
        SEEN.clear()
        spied = Spied(problem.distribution, problem.objective)
        gradients(estimator, draw(spied, 20, max(2, estimator.facts.min_samples)))
        assert estimator.facts.evaluates_relaxed == (not all(SEEN))


@every
def test_extreme_logits(name: str, options: dict[str, Any]) -> None:
    """Logits of ±30, and of ±900, where probabilities are 0, give finite estimates in float64 and float32."""
    finite_at_extremes(build(name, options))


def test_what_is_largest_or_infinite_is_finite_at_extreme_logits() -> None:
    """An infinite option does not meet a probability of 0 as 0/0."""
    finite_at_extremes(build("mve", {"t": math.inf}))


def finite_at_extremes(estimator: Estimator) -> None:
    """Estimates are finite."""
    for dtype, size in product((torch.float64, torch.float32), (30.0, 900.0)):
        for problem in problems(estimator, dtype):
            logits = torch.full_like(problem.distribution.logits, size)
            logits[..., ::2] = -size
            extreme = make(problem.objective, logits)
            assert bool(gradients(estimator, draw(extreme, 200, max(2, estimator.facts.min_samples))).isfinite().all())


@dataclass(frozen=True)
class Shifted:
    """An objective plus a constant."""

    inner: Any
    constant: float
    on: ClassVar[Literal["values"]] = "values"
    distributions: ClassVar[frozenset[str]] = frozenset({"bernoulli", "categorical"})

    def value(self, v: Tensor) -> Tensor:
        """f + c."""
        shifted: Tensor = self.inner.value(v) + self.constant
        return shifted

    def grad(self, v: Tensor) -> Tensor:
        """∇f."""
        g: Tensor = self.inner.grad(v)
        return g


@every
def test_a_constant_in_f(name: str, options: dict[str, Any]) -> None:
    """A constant added to f moves no draw of a method that uses ∇f alone, and no mean of an unbiased one."""
    estimator = build(name, options)
    for problem in problems(estimator):
        shifted = replace(problem, objective=Shifted(problem.objective, 2.5))
        if estimator.facts.f == 0:
            N = max(2, estimator.facts.min_samples)
            a, b = (gradients(estimator, draw(p, 50, N)) for p in (problem, shifted))
            assert torch.equal(a, b)
        elif estimator.facts.unbiased and estimator.facts.exact == "z" and not estimator.facts.noise:
            for N in sizes(estimator):
                try:
                    means = [exact_mean(p, estimator, N) for p in (problem, shifted)]
                except Unavailable:
                    continue
                np.testing.assert_allclose(means[0], means[1], atol=1e-10)


def of_classes(estimator: Estimator) -> bool:
    """Whether it serves categorical variables."""
    return "categorical" in estimator.facts.distributions


@pytest.mark.parametrize(("name", "options"), where(of_classes, UNFITTED))
def test_sum_over_classes(name: str, options: dict[str, Any]) -> None:
    """Σ_k ĝ_k = 0 in every draw of a categorical method that says so, and not in the others."""
    estimator = build(name, options)
    problem = make(objective("mlp", seed=3), torch.tensor(CATEGORICAL, dtype=torch.float64))
    each = [gradients(estimator, draw(problem, 100, N)) for N in {max(2, N) for N in sizes(estimator)}]
    assert estimator.facts.centred == all(bool(g.sum(-1).abs().max() < 1e-10 * (1 + g.abs().max())) for g in each)


MEANS: dict[Any, Any] = {}
"""Exact means by estimator, problem and N: one test compares them with the truth, and another one with samples."""


def exact_mean(problem: Problem, estimator: Estimator, N: int) -> Any:
    """E ĝ, [P]."""
    d = problem.distribution
    key = estimator, problem.objective, d.name, tuple(d.logits.flatten().tolist()), d.event_shape, d.logits.dtype, N
    if key not in MEANS:
        MEANS[key] = exact(problem, estimator, N).mean
    return MEANS[key].copy()


def one_variable(estimator: Estimator) -> list[Problem]:
    """Problems of one variable, where noise can be integrated."""
    found = []
    f = objective("power", exponent=3, target=0.3)
    if "bernoulli" in estimator.facts.distributions:
        found.append(make(f, torch.tensor([0.7], dtype=torch.float64)))
    if "categorical" in estimator.facts.distributions:
        found.append(make(f, torch.tensor([[0.3, -0.9, 0.5]], dtype=torch.float64)))
    return found


@pytest.mark.parametrize(("name", "options"), [costly(case) for case in UNFITTED])
def test_unbiased_means_exact(name: str, options: dict[str, Any]) -> None:
    """Exact moments, where there are any: the mean of an unbiased method is the exact gradient at 1e-10, at every N.

    Who says that it depends on the samples alone has exact moments at every N.
    """
    estimator = build(name, options)
    available = set()
    for problem, N in product(problems(estimator) + one_variable(estimator), sizes(estimator)):
        try:
            mean = exact_mean(problem, estimator, N)
        except Unavailable:
            continue
        available.add(N)
        true = truth(problem, estimator)
        assert true is not None
        if estimator.facts.unbiased or isinstance(estimator, Referenced):
            np.testing.assert_allclose(mean, true, rtol=0, atol=1e-10, err_msg=f"N = {N}")
    if estimator.facts.exact == "z":
        assert available == set(sizes(estimator))
    if not available:
        pytest.skip("no exact moments: the z-test below it is")


def assert_sampled_mean(problem: Problem, estimator: Estimator, N: int, mean: Any) -> None:
    """The mean of 2·10⁴ estimates is within its standard error of `mean`: at 1e-6, Bonferroni over coordinates.

    It detects a bias of some 7 standard errors: of 5 % of an estimate's standard deviation.
    """
    R = 20_000
    g = problem.project(gradients(estimator, draw(problem, R, N)))
    se = g.std(0).numpy() / np.sqrt(R)
    z = norm.isf(1e-6 / 2 / len(mean))
    np.testing.assert_array_less(np.abs(g.mean(0).numpy() - np.asarray(mean)), z * se + 1e-12, err_msg=f"N = {N}")


@pytest.mark.parametrize(("name", "options"), [costly(case) for case in UNFITTED])
def test_monte_carlo_agrees_with_the_claim(name: str, options: dict[str, Any]) -> None:
    """The mean of 2·10⁴ estimates is, within its standard error, the exact one, or for unbiased methods the truth.

    False-fail rate 1e-6 a problem and N. It detects a bias of 5 % of an estimate's standard deviation.
    """
    estimator = build(name, options)
    for problem, N in product(problems(estimator) + one_variable(estimator), sizes(estimator)):
        mean = truth(problem, estimator)
        assert mean is not None
        try:
            mean = exact_mean(problem, estimator, N)
        except Unavailable:
            if not (estimator.facts.unbiased or isinstance(estimator, Referenced)):
                continue
        assert_sampled_mean(problem, estimator, N, mean)


@pytest.mark.parametrize("wrong", WRONG)
def test_joint_estimators_right_at_one_size_are_caught(wrong: Any) -> None:
    """The two tests above pass a wrong estimator at the one N at which it is right, and refuse it over their sizes.

    One of exact moments is refused by them; the others by the z-test, at ratios of 4/3 and more to the truth.
    """
    estimator, name = wrong(), f"{wrong.__module__}:{wrong.__name__}"
    for problem in problems(estimator) + one_variable(estimator):
        true = truth(problem, estimator)
        assert true is not None
        if estimator.facts.exact == "z":
            np.testing.assert_allclose(exact_mean(problem, estimator, wrong.right_at), true, atol=1e-10)
        assert_sampled_mean(problem, estimator, wrong.right_at, true)
    refuses = test_unbiased_means_exact if estimator.facts.exact == "z" else test_monte_carlo_agrees_with_the_claim
    with pytest.raises(AssertionError, match="N = "):
        refuses(name, {})


def test_rows_that_look_at_earlier_ones_are_caught() -> None:
    """A baseline from the earlier samples of a replicate keeps the mean right; that rows are apart is refused."""
    name = f"{EarlierBaseline.__module__}:{EarlierBaseline.__name__}"
    test_unbiased_means_exact(name, {})
    test_replicates_and_samples_are_apart(name, {})
    with pytest.raises(AssertionError, match="not close"):
        test_rows_are_apart(name, {})


@at_whole_size
@pytest.mark.slow
def test_a_plug_in_takes_the_contract() -> None:
    """ESTBENCH_CONTRACT adds plug-ins: a right one passes all of the contract, a wrong one fails where it is wrong."""
    right = "estbench.estimators.score_function.rloo:Rloo"
    wrong = f"{OverHalfN.__module__}:{OverHalfN.__name__}"
    options = ["-q", "-rfp", "--color=no", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", f"{right} or {wrong}"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options, __file__],
        env=os.environ | {"ESTBENCH_CONTRACT": f"{right}, {wrong}", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
    )
    said = re.findall(r"^(PASSED|FAILED) \S+::(\w+)\[(\S+)\]", ran.stdout, re.M)
    failed = [(test, who) for how, test, who in said if how == "FAILED"]
    assert failed == [("test_unbiased_means_exact", wrong)], ran.stdout
    assert {who for how, _, who in said if how == "PASSED"} == {right, wrong}
    assert ("PASSED", "test_unbiased_means_exact", right) in said
    assert ran.returncode == pytest.ExitCode.TESTS_FAILED


def test_plug_ins_are_named_by_the_environment() -> None:
    """A plug-in is a case like any other, with its options; all of the contract with one that is wrong is slow."""
    right = "estbench.estimators.score_function.rloo:Rloo"
    wrong = f"{OverHalfN.__module__}:{OverHalfN.__name__}"
    assert plugins({"ESTBENCH_CONTRACT": f"{right}, {wrong},"}) == [right, wrong]
    assert plugins({}) == []
    assert list(variants(right)) == list(variants("rloo"))
    test_unbiased_means_exact(right, {})
    with pytest.raises(AssertionError, match="N = "):
        test_unbiased_means_exact(wrong, {})


CLEARLY_BIASED: dict[str, dict[str, Any]] = {"spsa": {"c": 2.0}, "es": {"sigma": 2.0}}
"""Options at which a bias that vanishes with them stands out."""


def far(estimator: Estimator) -> Problem:
    """One variable, and an f with a large spread and a large third derivative."""
    logits = [0.7] if "bernoulli" in estimator.facts.distributions else [[0.3, -0.9, 0.5]]
    return make(objective("power", exponent=3, target=-3.0), torch.tensor(logits, dtype=torch.float64))


@pytest.mark.parametrize(("name", "options"), where(lambda e: not (e.facts.unbiased or isinstance(e, Referenced)), ALL))
def test_biased_methods_are_found_biased(name: str, options: dict[str, Any]) -> None:
    """A method that is not declared unbiased is off the truth on some problem: by 5 standard errors of 10⁵."""
    estimator = build(name, options | CLEARLY_BIASED.get(name, {}))
    worst = 0.0
    for problem, N in product([*problems(estimator), *one_variable(estimator), far(estimator)], sizes(estimator)):
        true = problem.exact_gradient
        assert true is not None
        measured = estimator
        if isinstance(estimator, Fitted):
            measured = estimator.fit(problem, draw(problem, estimator.n_fit, estimator.facts.min_samples, seed=1))
        g = problem.project(gradients(measured, draw(problem, 100_000, N)))
        se = (g.std(0) / 100_000**0.5).clamp(min=1e-15)
        worst = max(worst, float(((g.mean(0) - true).abs() / se).max()))
        if worst > 5:
            break
    assert worst > 5


OTHERWISE = ("Spsa", "Es")
"""Move each logit: at two classes their mean is another one. So it is with the identity as proxy, by a half."""


def alike(estimator: Estimator) -> bool:
    """Whether it serves both distributions, and nothing is stated otherwise."""
    otherwise = type(estimator).__name__ in OTHERWISE or getattr(estimator, "proxy", "") == "identity"
    return len(estimator.facts.distributions) > 1 and not otherwise


@pytest.mark.parametrize(("name", "options"), where(alike, UNFITTED))
def test_two_classes_equal_bernoulli(name: str, options: dict[str, Any]) -> None:
    """In mean, two classes with logits (0, φ) and class 1 are a Bernoulli variable with logit φ."""
    estimator = build(name, options)
    f = objective("power", exponent=3, target=0.3)
    two = make(f, torch.tensor([[0.0, 0.7]], dtype=torch.float64))
    one = make(f, torch.tensor([0.7], dtype=torch.float64))
    for N in sizes(estimator):
        try:
            means = exact_mean(two, estimator, N)[1:], exact_mean(one, estimator, N)
        except Unavailable:
            pytest.skip("no exact moments")
        np.testing.assert_allclose(*means, atol=1e-9)


@pytest.mark.parametrize(("name", "options"), where(of_classes, UNFITTED))
def test_permuting_classes_permutes_the_mean(name: str, options: dict[str, Any]) -> None:
    """With logits and f permuted alike, the exact mean is permuted."""
    estimator = build(name, options)
    order = [2, 0, 1]
    A = np.array([[1.0, 0.4, -0.3], [0.4, -0.7, 0.2], [-0.3, 0.2, 0.5]])
    b, theta = np.array([0.3, -0.8, 0.1]), np.array([0.3, -0.9, 0.5])

    def mean(p: list[int], N: int) -> Any:
        form = objective("quadratic_form", A=tuple(map(tuple, A[np.ix_(p, p)].tolist())), b=tuple(b[p].tolist()))
        problem = make(form, torch.tensor(theta[p][None], dtype=torch.float64))
        return exact_mean(problem, estimator, N)

    try:
        for N in sizes(estimator):
            np.testing.assert_allclose(mean(order, N), mean([0, 1, 2], N)[order], atol=1e-9)
    except Unavailable:
        pytest.skip("no exact moments")


@pytest.mark.parametrize(("name", "options"), [costly(case) for case in where(lambda e: isinstance(e, Fitted), ALL)])
def test_fitting_is_repeatable_and_keeps_the_mean(name: str, options: dict[str, Any]) -> None:
    """A fit repeats to the bit, gives a frozen, hashable estimator of plain numbers, and an unbiased one stays so.

    The mean of 2·10⁴ estimates is within its standard error of the truth; false-fail rate 1e-6 a problem and N.
    """
    estimator = build(name, options)
    assert isinstance(estimator, Fitted)
    for problem in problems(estimator):
        N, true = estimator.facts.min_samples, truth(problem, estimator)
        assert true is not None
        fitted = estimator.fit(problem, draw(problem, estimator.n_fit, N, seed=1))
        json.dumps(vars(fitted))
        if not options:  # twice is enough once: some fits take a while
            again = estimator.fit(problem, draw(problem, estimator.n_fit, N, seed=1))
            assert fitted == again
            assert hash(fitted) == hash(again)
        if estimator.facts.unbiased:
            for n in sizes(estimator):
                assert_sampled_mean(problem, fitted, n, true)


def test_every_estimator_is_built_without_options() -> None:
    """Every member has defaults, says what it is, and is hashable and equal to its twin."""
    for name, kind in catalogue.ESTIMATORS.items():
        assert kind() == kind()
        assert hash(kind()) == hash(kind())
        assert kind.__doc__
        assert kind().facts.sources or name == "enumerate", name


def test_logits_of_the_suite_are_unequal() -> None:
    """The contract's problems are at logits ≠ 0 that all differ, so that no symmetry hides a mistake."""
    for logits in (np.array(BERNOULLI), np.array(CATEGORICAL)):
        assert len(np.unique(logits)) == logits.size
        assert (logits != 0).all()
