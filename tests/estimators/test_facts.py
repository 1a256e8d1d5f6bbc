"""Facts that are words or limits: each is held against something that would show it to be false."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from estbench import catalogue
from estbench.config import parse_selector
from estbench.distributions import Bernoulli, Categorical
from estbench.estimate import truth
from estbench.estimators.base import Estimator
from estbench.exact import MAX_MULTISETS, exact
from estbench.problem import MAX_STATES, Problem
from tests.estimators.members import BERNOULLI, CATEGORICAL, UNFITTED, build, draw, gradients, objective, variants
from tests.problems import make

every = pytest.mark.parametrize(("name", "options"), UNFITTED)


@pytest.mark.parametrize("name", catalogue.ESTIMATORS)
def test_the_family_is_the_folder(name: str) -> None:
    """An estimator's file lies in the package that is named after its family."""
    kind = catalogue.ESTIMATORS[name]
    family = kind().facts.family.lower().replace(" ", "_").replace("-", "_")
    assert kind.__module__.startswith(f"estbench.estimators.{family}.")


@every
def test_who_goes_through_all_states_says_so(
    name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Estimators that have a limit on joint states ask for them all, and no others do; at it there is an estimate.

    It is the limit of what is enumerated for exact moments, or for an exact gradient: not a state more or less.
    """
    estimator = build(name, options)
    seen: list[int] = []
    for kind in (Bernoulli, Categorical):

        def states(self: Any, *ends: int, whole: Callable[..., Tensor] = kind.states) -> Tensor:
            seen.append(len(self.logits))
            return whole(self, *ends)

        monkeypatch.setattr(kind, "states", states)
    limit, N = estimator.facts.max_states, estimator.facts.min_samples
    D = 3 if limit is None else limit.bit_length() - 1
    if estimator.facts.max_variables is not None:
        D = min(D, estimator.facts.max_variables)
    logits = torch.linspace(-1.0, 1.3, D, dtype=torch.float64)
    if "bernoulli" not in estimator.facts.distributions:
        logits = torch.stack((logits, 0.4 * logits, -logits), -1)
    problem = make(objective("mlp", seed=3), logits)
    assert bool(gradients(estimator, draw(problem, 1, N)).isfinite().all())
    assert (D in seen) == (limit is not None)
    assert limit in (None, MAX_MULTISETS, MAX_STATES)


@every
def test_the_largest_number_of_variables(name: str, options: dict[str, Any]) -> None:
    """At its largest D an estimator knows what it is unbiased for, and beyond it does not; others know it at D = 6."""
    estimator = build(name, options)
    most = estimator.facts.max_variables

    def known(D: int) -> Tensor | None:
        logits = torch.linspace(-1.0, 1.3, D, dtype=torch.float64)
        if "bernoulli" not in estimator.facts.distributions:
            logits = torch.stack((logits, 0.4 * logits), -1)
        return truth(make(objective("mlp", seed=3), logits), estimator)

    assert known(most or 6) is not None
    if most is not None:
        with pytest.raises(KeyError):
            known(most + 1)


# Identities


def of(selector: str) -> Estimator:
    """The estimator of a selector such as `mve[t=.inf]`."""
    return build(*parse_selector(selector))


VARIABLES: dict[str, Any] = {"b": BERNOULLI, "c": CATEGORICAL, "1": (0.7,), "h": (0.0,), "k": ((0.3, -0.9, 0.5),)}
WEIGHTS = (0.7, -1.2, 0.4)
F: dict[str, dict[str, Any]] = {"mlp": {"seed": 3}, "power": {"exponent": 3}, "quadratic_form": {"seed": 3}}


def problems(kinds: str, f: str) -> list[Problem]:
    """An objective of several Bernoulli (b) or categorical (c) variables, or of one (1, k; h: at p = ½)."""
    logits = [torch.tensor(VARIABLES[kind], dtype=torch.float64) for kind in kinds]
    return [make(objective(f, **F.get(f, {"weights": WEIGHTS[: len(phi)]})), phi) for phi in logits]


def bias(problem: Problem, selector: str) -> Any:
    """The exact mean of an estimate of as few samples as may be, less the exact gradient: [P]."""
    estimator = of(selector)
    assert problem.exact_gradient is not None
    return exact(problem, estimator, estimator.facts.min_samples).mean - problem.exact_gradient.numpy()


def alike(a: str, b: str, kinds: str = "bc", f: str = "mlp", N: int = 3) -> Callable[[], None]:
    """Both give one estimate, draw by draw."""

    def check() -> None:
        for problem in problems(kinds, f):
            x, y = (gradients(of(selector), draw(problem, 50, N)) for selector in (a, b))
            torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-11)
            assert float(x.abs().max()) > 1e-6

    return check


def steady(a: str, kinds: str = "bc", f: str = "linear", N: int = 2) -> Callable[[], None]:
    """It is the exact gradient in every draw."""

    def check() -> None:
        for problem in problems(kinds, f):
            assert problem.exact_gradient is not None
            g = problem.project(gradients(of(a), draw(problem, 50, N)))
            torch.testing.assert_close(g, problem.exact_gradient.expand_as(g), rtol=1e-9, atol=1e-11)

    return check


def right(a: str, kinds: str = "bc", f: str = "linear") -> Callable[[], None]:
    """Its exact mean is the exact gradient."""

    def check() -> None:
        for problem in problems(kinds, f):
            np.testing.assert_allclose(bias(problem, a), 0.0, atol=1e-8)

    return check


def tends(a: str, to: str, kinds: str = "1k") -> Callable[[], None]:
    """As the option {} of `a` is halved twice, its exact mean comes nearer to that of `to` each time."""

    def check() -> None:
        for problem in problems(kinds, "mlp"):
            limit = bias(problem, to)
            apart = [float(np.linalg.norm(bias(problem, a.format(x)) - limit)) for x in (0.2, 0.1, 0.05)]
            assert apart[0] > 1.4 * apart[1] > 1.96 * apart[2] > 0

    return check


Shown = Callable[[], None] | str
"""A check, or a test elsewhere, as `relaxation::test_cold_limits` of test_relaxation.py, which runs where it is."""

DISARM: dict[str, list[Shown]] = {"K = 2: disarm, in law": ["antithetic_trees::test_two_classes_are_disarm_in_law"]}
ALL_STATES = "all states: enumerate (joint) or leg (per_variable)"
IDENTITIES: dict[str, dict[str, list[Shown]]] = {
    "reinforce": {
        "baseline=optimal has no variance for one Bernoulli variable": [
            steady("reinforce[baseline=optimal]", "1", "mlp")
        ]
    },
    "rloo": {
        "N = 2, one Bernoulli variable: ½ (f(1) − f(0)) 1[z₁ ≠ z₂]": [
            "score_function::test_two_samples_of_one_variable_make_the_difference_of_f"
        ]
    },
    "nvil": {
        "normalise=false: reinforce[baseline=constant, value=b]": [
            "score_function::test_nvil_without_normalisation_is_a_constant_baseline_and_with_it_the_gradient_over_c"
        ]
    },
    "muprop": {"no variance on linear f": [steady("muprop")]},
    "ste": {"unbiased on linear f (default proxy, slope 1, drawn samples)": [right("ste")]},
    "reinmax": {
        "τ = 1: zgr, draw by draw": [alike("reinmax[temperature=1]", "zgr")],
        "τ = 1: unbiased on quadratics": [right("reinmax[temperature=1]", f="quadratic_form")],
    },
    "darn": {
        "Bernoulli, centre=half: zgr, draw by draw; unbiased on quadratics": [
            alike("darn[centre=half]", "zgr", "b"),
            right("darn[centre=half]", "b", "quadratic_form"),
        ]
    },
    "zgr": {
        "draw by draw: reinmax at τ = 1; Bernoulli: darn[centre=half] and smoothed stochastic_ad": [
            alike("zgr", "reinmax[temperature=1]"),
            alike("zgr", "darn[centre=half]", "b"),
            alike("zgr", "stochastic_ad[variant=smoothed]", "b"),
        ],
        "unbiased on quadratics": [right("zgr", f="quadratic_form")],
        "in mean, gumbel_st and gumbel_rao as τ → 0": [
            tends("gumbel_st[temperature={}]", "zgr"),
            tends("gumbel_rao[temperature={}]", "zgr", "1"),
        ],
    },
    "mve": {
        "t = 0: ste": [alike("mve[t=0]", "ste")],
        "unbiased on linear f, at t = ∞ on quadratics": [
            right("mve[t=0]"),
            right("mve"),
            right("mve[t=.inf]", f="quadratic_form"),
        ],
        "Bernoulli, t = ∞: zgr": [alike("mve[t=.inf]", "zgr", "b")],
    },
    "random_scaling": {
        "joint: unbiased on separable f": [
            "noisy_units::test_random_scaling_all_at_once_is_biased_for_coupled_f_alone"
        ],
        "no variance on linear f": [steady("random_scaling", "b"), steady("random_scaling[joint=true]", "b")],
    },
    "bengio_sts": {"mean at D = 1: ½ p q f′(√p)": ["noisy_units::test_the_mean_of_stochastic_times_smooth"]},
    "noise_multiplicative": {"unbiased on linear f": [right("noise_multiplicative", "1")]},
    "gumbel_st": {
        "in mean gumbel_rao, for any number of inner draws": ["relaxation::test_gumbel_rao_in_mean"],
        "in mean → zgr as τ → 0": [tends("gumbel_st[temperature={}]", "zgr")],
    },
    "gumbel_rao": {
        "in mean gumbel_st, for any inner": ["relaxation::test_gumbel_rao_in_mean"],
        "in mean → zgr as τ → 0, as inner → ∞ draw by draw": ["relaxation::test_cold_limits"],
    },
    "arm": {
        "ars and arsm at K = 2 with u = w₁, draw by draw": ["antithetic_swaps::test_two_classes_are_arm"],
        "its mean given z₁ and z₂ is disarm": [
            "antithetic_bernoulli::test_disarm_is_arm_with_the_uniforms_integrated_out"
        ],
    },
    "disarm": {
        "the mean of arm given z₁ and z₂": [
            "antithetic_bernoulli::test_disarm_is_arm_with_the_uniforms_integrated_out"
        ],
        "arms with N = 2, draw by draw for one variable, else in law": [
            "antithetic_bernoulli::test_two_samples_are_disarm",
            "antithetic_bernoulli::test_two_samples_are_disarm_in_law",
        ],
        "no variance for one variable at p = ½": [steady("disarm", "h", "mlp")],
    },
    "arms": {
        "N = 2: disarm, draw by draw for one variable, else in law": [
            "antithetic_bernoulli::test_two_samples_are_disarm",
            "antithetic_bernoulli::test_two_samples_are_disarm_in_law",
        ]
    },
    "ar": {"its mean given z is reinforce": ["antithetic_swaps::test_ar_given_z_is_reinforce"]},
    "ars": {"K = 2: arm with u = w₁, draw by draw": ["antithetic_swaps::test_two_classes_are_arm"]},
    "arsm": {
        "the mean of ars over j": ["antithetic_swaps::test_formulas_at_more_classes"],
        "K = 2: arm with u = w₁, draw by draw": ["antithetic_swaps::test_two_classes_are_arm"],
    },
    "disarm_sb": DISARM,
    "disarm_tree": DISARM,
    "disarm_iw": DISARM,
    "carms": {"K = 2, N = 2: disarm, in law": ["antithetic_carms::test_two_classes_are_disarm_in_law"]},
    "leg": {
        "no variance on separable f, so none for one variable": [
            steady("leg", "bc1k", "power"),
            steady("leg", "1k", "mlp"),
        ],
        "linear f: ste, draw by draw": [alike("leg", "ste", f="linear")],
    },
    "sum_and_sample": {
        ALL_STATES: [
            alike("sum_and_sample[top=99]", "enumerate"),
            alike("sum_and_sample[top=99, space=per_variable]", "leg"),
        ],
        "per_variable, top=K−1: leg": [
            alike("sum_and_sample[top=1, space=per_variable]", "leg", "b"),
            alike("sum_and_sample[top=2, space=per_variable]", "leg", "c"),
        ],
    },
    "unordered_set": {
        ALL_STATES: [
            alike("unordered_set[k=9]", "enumerate"),
            alike("unordered_set[k=3, space=per_variable]", "leg"),
        ],
        "k=1: reinforce, draw by draw": [alike("unordered_set[k=1, baseline=false]", "reinforce")],
    },
    "stratified": {"N = 1: reinforce, in law": ["rao_blackwell::test_stratified_over_all_outcomes"]},
    "measure_valued": {
        "leg is its mean over z_d given the other variables": [
            "rao_blackwell::test_leg_is_the_conditional_expectation_of_others"
        ]
    },
    "rebar": {"eta = 0: reinforce": [alike("rebar[eta=0]", "reinforce")]},
    "relax": {
        "unfitted: rebar": [alike("relax", "rebar")],
        "a constant critic: reinforce with a constant baseline": ["control_variate::test_identities"],
    },
    "lax": {"unfitted, Bernoulli: f(z)(1 − 2u)": ["control_variate::test_lax_without_a_critic"]},
    "double_cv": {
        "a = 0: rloo": [alike("double_cv[a=0]", "rloo")],
        "no variance on linear f at a = −1": [steady("double_cv[a=-1]")],
    },
    "rodeo": {"a = b = 0: rloo": [alike("rodeo[a=0, b=0]", "rloo")]},
    "spsa": {
        "in mean → the true gradient as c → 0": [
            "perturbation::test_spsa_bias_falls_as_c_squared_and_variance_grows_as_one_over_c"
        ]
    },
    "es": {"in mean → the true gradient as sigma → 0": ["perturbation::test_es_at_a_small_sigma_is_nearly_unbiased"]},
    "imle": {"linear f: in mean → the true gradient as step → 0": ["perturbation::test_imle_on_linear_objectives"]},
    "stochastic_ad": {"variant=smoothed: zgr, draw by draw": [alike("stochastic_ad[variant=smoothed]", "zgr", "b")]},
}
"""For each estimator, what it says that it equals, in its own words, and what shows it: checks, or tests elsewhere."""


@pytest.mark.parametrize("name", catalogue.ESTIMATORS)
def test_identities(name: str) -> None:
    """What an estimator says that it equals holds, and each of its identities, no more and no less, is looked at."""
    declared = {text for options in variants(name) for text in build(name, options).facts.identities}
    assert declared == set(IDENTITIES.get(name, {}))
    for text in declared:
        shown_by = IDENTITIES[name][text]
        assert shown_by
        for each in shown_by:
            if isinstance(each, str):
                assert each in names_of_tests()
            else:
                each()


@cache
def names_of_tests() -> frozenset[str]:
    """The tests of estimators, by file and name; marks of pytest are no matter."""
    files = Path(__file__).parent.glob("test_*.py")
    return frozenset(
        f"{file.stem.removeprefix('test_')}::{name}"
        for file in files
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    )
