"""The contract of distributions: the members of the catalogue, and one of coupled variables."""

from __future__ import annotations

import math
import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from estbench import catalogue
from estbench.config import load
from estbench.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Factorised,
    Independent,
    Integrable,
    Mirrored,
    Redrawable,
)
from estbench.draws import Draw
from estbench.engine.benchmark import Benchmark
from estbench.errors import UsageError
from estbench.exact import exact
from estbench.expand import expand
from estbench.moments import Moments
from estbench.objectives.base import Objective
from estbench.preflight.objective import differences
from estbench.problem import Problem, make
from estbench.streams import Streams
from tests.coupled import Chain
from tests.estimators.members import build, objective

LOGITS = {
    "bernoulli": torch.tensor([0.4, -1.3, 0.8], dtype=torch.float64),
    "categorical": torch.tensor([[0.3, -0.9, 0.5], [-0.2, 0.7, 0.1]], dtype=torch.float64),
}
CHAIN = Chain(LOGITS["bernoulli"], coupling=1.1)
MEMBERS: list[Distribution] = [*(catalogue.distribution_class(name)(t) for name, t in LOGITS.items()), CHAIN]
EACH = pytest.mark.parametrize("d", MEMBERS, ids=lambda d: d.name)


@EACH
def test_probabilities_of_all_states_sum_to_one_and_scores_to_zero(d: Distribution) -> None:
    """Σ P(z) = 1 and Σ P(z) s(z) = 0 over `states`, of which there are `n_states`."""
    z = d.states()
    P = d.log_prob(z).exp()
    assert len(z) == d.n_states
    torch.testing.assert_close(P.sum(), torch.ones(()).double(), rtol=1e-12, atol=0)
    torch.testing.assert_close((d.lift(P) * d.score(z)).sum(0), torch.zeros_like(d.logits), rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    "d",
    [
        Bernoulli(LOGITS["bernoulli"]),
        Bernoulli(LOGITS["bernoulli"], "hard_sigmoid"),
        Bernoulli(LOGITS["bernoulli"], "probit"),
        Categorical(LOGITS["categorical"]),
    ],
    ids=lambda d: f"{d.name} {getattr(d, 'link', '')}",
)
def test_kl_to_uniform_is_a_sum_over_states(d: Independent) -> None:
    """KL(P ‖ uniform) = Σ P(z) log(P(z) n), n states, some of probability 0, and its gradient."""
    logits = d.logits.expand(2, *d.event_shape).clone().requires_grad_()
    kl = d.with_logits(logits).kl_to_uniform()
    z = d.states()
    P = d.log_prob(z).exp()
    log_P = torch.where(P > 0, d.log_prob(z), 0)
    torch.testing.assert_close(kl, (P * (log_P + math.log(d.n_states))).sum().expand(2), rtol=1e-12, atol=1e-14)
    (g,) = torch.autograd.grad(kl.sum(), logits)
    torch.testing.assert_close(g[1], (d.lift(P * log_P) * d.score(z)).sum(0), rtol=1e-12, atol=1e-14)


@EACH
def test_the_score_is_the_derivative_of_log_prob(d: Distribution) -> None:
    """s(z) = ∂ log P(z)/∂ logits, by autograd."""
    logits = d.logits.clone().requires_grad_()
    for z in d.states():
        (expected,) = torch.autograd.grad(d.with_logits(logits).log_prob(z), logits)
        torch.testing.assert_close(d.score(z), expected, rtol=1e-12, atol=1e-14)


@EACH
def test_samples_of_base_noise_have_their_probabilities(d: Distribution) -> None:
    """Frequencies of 2^18 samples; the limit of 5 standard errors fails 1 state in 10^6, and sees 1 % at P = ½."""
    n = 2**18
    z = d.sample(d.base_noise(Streams(3, d.name, range(1)).uniform("main", n, *d.event_shape)))
    powers = d.classes ** torch.arange(d.n_variables - 1, -1, -1)
    found = torch.bincount((d.numbers(z) @ powers.to(z)).long(), minlength=d.n_states) / n
    P = d.log_prob(d.states()).exp()
    assert bool(((found - P).abs() < 5 * (P * (1 - P) / n).sqrt()).all())


@EACH
def test_distributions_go_to_other_processes(d: Distribution) -> None:
    """Also with what is cached in them: a worker, or a call that may crash its process, gets one pickled."""
    log_P = d.log_prob(d.states())
    twin = pickle.loads(pickle.dumps(d))  # noqa: S301 - it is our own
    assert torch.equal(twin.logits, d.logits)
    assert torch.equal(twin.log_prob(d.states()), log_P)


@EACH
def test_numbers_and_one_hot_are_inverse(d: Distribution) -> None:
    """A sample as class numbers and back; states count up with variable 0 slowest."""
    z = d.states()
    assert torch.equal(d.one_hot(d.numbers(z)), z)
    index = d.numbers(z) @ (d.classes ** torch.arange(d.n_variables - 1, -1, -1)).to(z)
    assert all(b - a == 1 for a, b in pairwise(index.tolist()))


@EACH
def test_a_batch_is_each_entry_by_itself(d: Distribution) -> None:
    """Samples, scores and log P of logits [2, 3, …] are those of the six distributions, for samples [2, 3, N, …]."""
    logits = torch.stack([d.logits * c for c in torch.linspace(-1.5, 2, 6).tolist()]).view(2, 3, *d.logits.shape)
    batch, N = d.with_logits(logits), 5
    assert (batch.batch_shape, batch.event_shape, batch.n_states) == ((2, 3), d.event_shape, d.n_states)
    noise = d.base_noise(Streams(1, "batch", range(1)).uniform("main", 6, N, *d.event_shape)).view(
        2, 3, N, *d.event_shape
    )
    z = batch.sample(noise)
    for i in range(2):
        for j in range(3):
            one = d.with_logits(logits[i, j])
            assert torch.equal(z[i, j], one.sample(noise[i, j]))
            torch.testing.assert_close(batch.score(z)[i, j], one.score(z[i, j]), rtol=1e-13, atol=1e-15)
            torch.testing.assert_close(batch.log_prob(z)[i, j], one.log_prob(z[i, j]), rtol=1e-12, atol=0)
            assert torch.equal(batch.mode[i, j], one.mode)


def test_optional_protocols_are_told_apart_at_run_time() -> None:
    """Independent variables have means, redraws and integrable noise; Bernoulli alone a mirror; a chain none."""
    everything = (Factorised, Redrawable, Integrable, Mirrored)
    assert [isinstance(MEMBERS[0], p) for p in everything] == [True, True, True, True]
    assert [isinstance(MEMBERS[1], p) for p in everything] == [True, True, True, False]
    assert [isinstance(CHAIN, p) for p in everything] == [False, False, False, False]


def test_a_problem_is_made_by_the_name_of_its_distribution() -> None:
    """Logits [3, 4] are a batch of three Bernoulli problems or one of three categorical variables, as is said."""
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).double()
    bernoulli, categorical = (make(objective("sine"), logits, name) for name in LOGITS)
    assert isinstance(bernoulli.distribution, Bernoulli)
    assert isinstance(categorical.distribution, Categorical)
    assert (bernoulli.D, bernoulli.parameters, bernoulli.distribution.batch_shape) == (4, 4, (3,))
    assert (categorical.D, categorical.parameters, categorical.distribution.batch_shape) == (3, 12, ())
    with pytest.raises(UsageError, match="unknown distribution 'gauss'; there are bernoulli, categorical"):
        make(objective("sine"), logits, "gauss")
    with pytest.raises(UsageError, match=r"categorical logits have the shape \[\*batch, D, K\], got \[4\]"):
        make(objective("sine"), logits[0], "categorical")
    assert make(objective("sine"), logits.long(), "bernoulli").distribution.logits.dtype == torch.float64
    with pytest.raises(UsageError, match="logits are real numbers"):
        make(objective("sine"), logits.to(torch.complex64), "bernoulli")
    for dtype in (torch.float16, torch.bfloat16):
        with pytest.raises(UsageError, match=rf"logits are float32 or float64, got {dtype}: convert them"):
            make(objective("sine"), logits.to(dtype), "bernoulli")


COUPLED = [
    objective("product", offset=1.0, slope=-2.0),
    objective("sine"),
    objective("quadratic_form", seed=2),
    objective("mlp", seed=3),
    objective("linear"),
]


@pytest.mark.parametrize("f", COUPLED, ids=lambda f: type(f).__name__)
def test_the_gradient_of_coupled_variables_is_enumerated(f: Objective) -> None:
    """A closed form for independent variables is not used; the gradient is that of finite differences."""
    problem = Problem(CHAIN, f)
    assert problem.route == "enumeration"
    assert problem.exact_gradient is not None
    torch.testing.assert_close(problem.exact_gradient, differences(problem), rtol=1e-6, atol=1e-8)
    P = CHAIN.log_prob(CHAIN.states()).exp()
    torch.testing.assert_close(problem.mean_f, P @ problem.f(CHAIN.states()), rtol=1e-12, atol=1e-14)


def test_the_closed_forms_would_be_wrong_for_coupled_variables() -> None:
    """What the test above guards against: with the same logits, independent variables have another gradient."""
    for f in COUPLED:
        coupled, independent = Problem(CHAIN, f).exact_gradient, make(f, CHAIN.logits, "bernoulli").exact_gradient
        assert coupled is not None
        assert independent is not None
        assert float((coupled - independent).norm() / coupled.norm()) > 0.05


GENERAL = [
    ("reinforce", {}),
    ("reinforce", {"baseline": "mean"}),
    ("reinforce", {"baseline": "optimal"}),
    ("reinforce", {"baseline": "constant", "value": 0.3}),
    ("rloo", {}),
    ("nvil", {}),
    ("enumerate", {}),
]


@pytest.mark.parametrize(("name", "options"), GENERAL)
@pytest.mark.parametrize("coupling", [0.0, 1.1])
def test_what_claims_to_serve_every_distribution_is_unbiased_for_coupled_variables(
    name: str, options: dict[str, Any], coupling: float
) -> None:
    """The exact mean over all (pairs of) states is the gradient."""
    estimator = build(name, options)
    assert estimator.facts.general
    problem = Problem(Chain(CHAIN.logits, coupling), objective("mlp", seed=3))
    m = Moments.unpack(exact(problem, estimator, estimator.facts.min_samples).packed, None)
    assert problem.exact_gradient is not None
    torch.testing.assert_close(torch.from_numpy(m.s1[0] / m.n[0]), problem.exact_gradient, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["sum_and_sample", "unordered_set"])
def test_joint_states_are_drawn_without_replacement_for_coupled_variables_too(name: str) -> None:
    """`space=joint` serves every distribution, `per_variable` only independent variables; all states are exact."""
    size = {"sum_and_sample": "top", "unordered_set": "k"}[name]
    assert build(name, {"space": "joint"}).facts.general
    assert not build(name, {"space": "per_variable"}).facts.general
    problem = Problem(CHAIN, objective("mlp", seed=3))
    draw = Draw(problem, 2, 1, streams=Streams(0, "chain", range(1)))
    rows: Tensor = build(name, {size: 8}).rows(draw)  # type: ignore[attr-defined] # it has rows
    assert problem.exact_gradient is not None
    torch.testing.assert_close(rows[:, 0], problem.exact_gradient.expand(2, -1), rtol=1e-10, atol=1e-13)


def test_everything_else_is_refused_for_a_distribution_that_it_does_not_name() -> None:
    """An estimator is skipped with the reason unless it names the distribution or serves every one."""
    for name in catalogue.ESTIMATORS:
        facts = build(name, {}).facts
        reason = facts.unserved("tests.coupled:Chain")
        assert (reason is None) == facts.general
        assert reason is None or reason == f"serves {' and '.join(sorted(facts.distributions))} only"


def config(distribution: Any, **problem: Any) -> dict[str, Any]:
    """A small config."""
    problems = [{"objective": "sine", "distribution": distribution, "logits": [0.4, -1.3], **problem}]
    return {"name": "it", "replicates": 2048, "problems": problems, "estimators": ["reinforce", "rloo", "ste"]}


def test_a_run_takes_a_distribution_from_a_plug_in(tmp_path: Path) -> None:
    """Its name is `module:Class`, its options its fields; what does not serve it is skipped, the rest is unbiased."""
    chain = {"name": "tests.coupled:Chain", "coupling": 0.7}
    benchmark = Benchmark.of(config(chain) | {"samples": 2}, tmp_path / "run")
    for _ in benchmark.run():
        pass
    frame = benchmark.results()
    assert set(frame["distribution"]) == {"tests.coupled:Chain[coupling=0.7]"}
    assert "tests.coupled:Chain[coupling=0.7]" in frame["problem"].iloc[0]
    skipped = frame[frame["status"] == "skipped"]
    assert set(skipped["estimator"]) == {"ste"}
    assert set(skipped["reason"]) == {"serves bernoulli and categorical only"}
    done = frame[frame["status"] == "ok"]
    assert set(done.loc[done["method"] == "exact", "bias_verdict"]) == {"unbiased"}
    assert "biased" not in set(done["bias_verdict"])


def test_a_distribution_is_given_by_its_name_or_with_options() -> None:
    """`bernoulli` and {name: bernoulli} are the same problem; a plug-in's options have their types checked."""
    one, two = (expand(load(config(d))).problems[0] for d in ("bernoulli", {"name": "bernoulli"}))
    assert one == two
    for distribution, words in (
        ("binomial", "unknown distribution 'binomial'"),
        ({"name": "bernoulli", "links": 1}, "links"),
        ({"name": "tests.coupled:Chain", "coupling": "much"}, "coupling"),
        ("tests.coupled:Nothing", "cannot be imported"),
        ({"name": 3}, "the name of a distribution"),
    ):
        with pytest.raises(UsageError, match=words):
            load(config(distribution))


def test_an_objective_takes_a_plug_ins_samples_by_their_shape() -> None:
    """`arsm_toy` is of one-hot samples, so not of a chain's."""
    with pytest.raises(UsageError, match=r"arsm_toy serves 'categorical' variables, not 'tests.coupled:Chain'"):
        load(config("tests.coupled:Chain", objective="arsm_toy"))


@pytest.mark.parametrize("d", MEMBERS[:2], ids=lambda d: d.name)
def test_variables_and_classes_in_reverse_order(d: Independent) -> None:
    """P(reverse z) at reversed logits is P(z), and the score there, reversed, is that of z."""
    other = d.with_logits(d.reverse_vjp(d.logits))
    z = d.states()
    torch.testing.assert_close(other.log_prob(d.reverse(z)), d.log_prob(z), rtol=1e-13, atol=0)
    torch.testing.assert_close(d.reverse_vjp(other.score(d.reverse(z))), d.score(z), rtol=1e-13, atol=1e-15)
    assert torch.equal(d.numbers(d.reverse(z)), d.classes - 1 - d.numbers(z).flip(-1))


@pytest.mark.parametrize("d", MEMBERS[:2], ids=lambda d: d.name)
def test_each_other_class_of_a_variable_is_named_once(d: Independent) -> None:
    """With their samples `others` go through all K classes, and the weights of a sample are 1 at its class, else 0."""
    z = d.states()
    every = [z, *(other for other, _ in d.others(z))]
    assert torch.equal(sum(map(d.class_weights, every), torch.zeros(())), torch.ones(len(z), d.n_variables, d.classes))
    assert torch.equal(d.class_weights(z).argmax(-1), d.numbers(z).long())
    torch.testing.assert_close(d.class_weights(d.mean), d.marginals, rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize("d", MEMBERS[:2], ids=lambda d: d.name)
def test_the_score_is_that_of_the_probabilities_times_their_derivative(d: Independent) -> None:
    """s(z) = (dp/dlogits)ᵀ ∂ log P(z)/∂p."""
    z = d.states()
    torch.testing.assert_close(d.mean_jac(d.probability_score(z)), d.score(z), rtol=1e-13, atol=1e-15)
