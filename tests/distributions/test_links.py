"""Links of Bernoulli variables: probabilities, scores, exact gradients, and the estimators that serve them."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import ndtr
from torch import Tensor

from estbench import catalogue
from estbench.config import load
from estbench.distributions import Bernoulli
from estbench.distributions.links import LinkName
from estbench.draws import Draw
from estbench.engine.benchmark import Benchmark
from estbench.errors import UsageError
from estbench.estimate import estimates
from estbench.estimators.base import LINKS, Estimator, Fitted, RowEstimator
from estbench.exact import Unavailable, exact
from estbench.expand import expand
from estbench.moments import Moments
from estbench.problem import Problem, make
from estbench.streams import Streams
from tests.estimators.members import UNFITTED, build, gradients, objective, where

LOGITS: dict[LinkName, list[float]] = {
    "sigmoid": [0.4, -1.3, 0.8],
    "hard_sigmoid": [0.3, -0.7, 0.6],
    "probit": [0.4, -1.3, 0.8],
    "identity": [0.3, 0.8, 0.15],
}
OTHERS = [link for link in LOGITS if link != "sigmoid"]

P: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "sigmoid": (lambda a: 1 / (1 + math.exp(-a)), lambda a: 1 / (2 + math.exp(a) + math.exp(-a))),
    "hard_sigmoid": (lambda a: (min(max(a, -1), 1) + 1) / 2, lambda a: 0.5 if abs(a) < 1 else 0.0),
    "probit": (lambda a: float(ndtr(a)), lambda a: math.exp(-a * a / 2) / math.sqrt(2 * math.pi)),
    "identity": (lambda a: a, lambda _: 1.0),
}
"""p(a) and p′(a) by hand."""


def bernoulli(link: LinkName, a: list[float] | None = None) -> Bernoulli:
    """Some variables with a link."""
    return Bernoulli(torch.tensor(LOGITS[link] if a is None else a, dtype=torch.float64), link)


@pytest.mark.parametrize("link", list(LOGITS))
def test_probabilities_slopes_and_scores_are_those_by_hand(link: LinkName) -> None:
    """p, q, p′, p′/(p q), and the score (z − p) p′/(p q) at both values."""
    d = bernoulli(link)
    p, slope = (torch.tensor([of(a) for a in LOGITS[link]], dtype=torch.float64) for of in P[link])

    def close(found: Tensor, expected: Tensor) -> None:
        torch.testing.assert_close(found, expected, rtol=1e-14, atol=0)

    close(d.mean, p)
    close(d.q, 1 - p)
    close(d.log_mean.exp(), p)
    close(d.log_q.exp(), 1 - p)
    close(d.slope, slope)
    close(d.canonical_slope, slope / (p * (1 - p)))
    for z in (torch.zeros(3).double(), torch.ones(3).double()):
        close(d.score(z), (z - p) * slope / (p * (1 - p)))
        close(d.deviation(z), z - p)
    assert torch.equal(d.mode, (p > 0.5).double())


@pytest.mark.parametrize(
    "name", [name for name, kind in catalogue.OBJECTIVES.items() if "bernoulli" in kind().distributions]
)
@pytest.mark.parametrize("link", list(LOGITS))
def test_the_exact_gradient_is_that_by_hand(link: LinkName, name: str) -> None:
    """p′_d E[f(z_d = 1) − f(z_d = 0)] summed over all states, at 1e-10, by enumeration and by the closed form."""
    f = catalogue.build(catalogue.objective_class(name), {})
    problem = Problem(bernoulli(link), f)
    probabilities, slopes = ([of(a) for a in LOGITS[link]] for of in P[link])
    by_hand = np.zeros(3)
    for z in np.ndindex(2, 2, 2):
        value = float(problem.f(torch.tensor(z, dtype=torch.float64)))
        for d in range(3):
            others = [probabilities[j] if z[j] else 1 - probabilities[j] for j in range(3) if j != d]
            by_hand[d] += slopes[d] * math.prod(others) * value * (1 if z[d] else -1)
    expected = torch.from_numpy(by_hand)
    assert problem.exact_gradient is not None
    torch.testing.assert_close(problem.exact_gradient, expected, rtol=1e-10, atol=1e-13)
    torch.testing.assert_close(problem.by_enumeration(), expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("a", [-40.0, -20.0, -9.0, 9.0, 20.0, 37.0, 90.0])
def test_the_probit_keeps_its_digits_in_the_tails(a: float) -> None:
    """The scores n(a)/Φ(a) and n(a)/Φ(−a) at any a: the rarer one is |a| (1 + 1/a² − …), by its asymptotic series."""
    d = bernoulli("probit", [a])
    rare = d.score(torch.tensor([float(a < 0)], dtype=torch.float64))
    x = abs(a)
    mills = 1 / x * (1 - 1 / x**2 + 3 / x**4 - 15 / x**6 + 105 / x**8 - 945 / x**10 + 10395 / x**12)
    tolerance = max(1e-12, 200000 / x**14)
    torch.testing.assert_close(rare.abs(), torch.tensor([1 / mills], dtype=torch.float64), rtol=tolerance, atol=0)
    assert bool(d.score(torch.tensor([float(a > 0)], dtype=torch.float64)).isfinite().all())


@pytest.mark.parametrize("a", [-3.0, -1.0, 1.0, 100.0])
def test_a_saturated_hard_sigmoid_is_certain_and_has_no_gradient(a: float) -> None:
    """From |a| = 1 on z is certain: p′, both scores, the exact gradient and every estimate are 0, none is NaN."""
    d = bernoulli("hard_sigmoid", [a, 0.4])
    problem = Problem(d, objective("mlp", seed=3))
    z = d.states()
    assert torch.equal(d.score(z)[:, 0], torch.zeros(4).double())
    assert d.slope[0] == d.canonical_slope[0] == 0
    assert bool(torch.isfinite(d.log_prob(z).exp()).all())
    for g in (problem.exact_gradient, problem.by_enumeration(), Problem(d, objective("linear")).exact_gradient):
        assert g is not None
        assert g[0] == 0
        assert g[1] != 0
    draw = Draw(problem, 64, 2, streams=Streams(0, "certain", range(1)))
    assert bool((draw.z[..., 0] == float(a > 0)).all())


@pytest.mark.parametrize("logits", [[-1.0, 0.4], [100.0, 0.4], [3.0, -1.0]])
def test_estimates_of_a_saturated_hard_sigmoid_are_zero(logits: list[float]) -> None:
    """Where p is 0 or 1, be it of all variables, estimates are 0 with every option, but for proxies; none is NaN.

    Of one variable that is certain the exact mean and variance are 0 too, where they can be had.
    """
    d = bernoulli("hard_sigmoid", logits)
    draw = Draw(Problem(d, objective("mlp", seed=3)), 64, 2, streams=Streams(0, "certain", range(1)))
    certain = d.logits.abs() >= 1
    wrong = []
    for name, options in [*(case.values for case in UNFITTED), ("mve", {"t": math.inf})]:
        estimator = build(str(name), options)  # type: ignore[arg-type] # its values
        if estimator.facts.unserved("bernoulli", "hard_sigmoid") is not None or estimator.facts.max_variables == 1:
            continue
        found = gradients(estimator, draw)
        if getattr(estimator, "proxy", "sigmoid") not in ("sigmoid", "softmax"):
            wrong += [] if bool(found.isfinite().all()) else [(name, options)]
            continue
        if not (bool(found.isfinite().all()) and bool((found[:, certain] == 0).all())):
            wrong.append((name, options))
        with suppress(Unavailable):
            one = exact(Problem(bernoulli("hard_sigmoid", logits[:1]), objective("sine")), estimator, 2)
            if not (one.mean[0] == one.variance[0] == 0):
                wrong.append((name, options))
    assert not wrong


def test_the_identity_takes_probabilities_alone() -> None:
    """Logits outside (0, 1) are refused, by the class, by `make` and in a config, and an unknown link too."""
    for logits in ([0.0], [1.0], [0.5, -0.1], [math.nan]):
        with pytest.raises(UsageError, match="strictly between 0 and 1"):
            bernoulli("identity", logits)
    with pytest.raises(UsageError, match=r"unknown link 'tanh'; there are sigmoid, hard_sigmoid, probit, identity"):
        make(objective("sine"), torch.zeros(2), "bernoulli", link="tanh")
    assert make(objective("sine"), torch.full((2,), 0.5), "bernoulli", link="identity").distribution.mode.sum() == 0


def unfitted(name: str, options: dict[str, Any]) -> Estimator:
    """The estimator as it is before any fit."""
    return build(name, options)


@pytest.mark.parametrize(("name", "options"), where(lambda e: "bernoulli" in e.facts.distributions, UNFITTED))
def test_the_links_that_are_claimed_are_served_and_no_others(name: str, options: dict[str, Any]) -> None:
    """Served: E ĝ is the exact gradient where it is claimed, and what ĝ would be with p′ of a sigmoid, times dφ/da.

    A draw with the same noise of Bernoulli(σ(φ)), φ = log p/q, has the same samples; by the chain rule the gradient in
    the logits a of the link is that in φ times p′(a)/(p q). What is not served is refused by its noise.
    """
    estimator = build(name, options)
    facts = estimator.facts
    for link in OTHERS:
        d = bernoulli(link, LOGITS[link][: facts.max_variables])
        f = objective("mlp", seed=3)
        N = max(2, facts.min_samples)
        draw = Draw(Problem(d, f), 7, N, streams=Streams(0, "links", range(1)))
        if facts.unserved("bernoulli", link) is not None:
            assert facts.unserved("bernoulli", link) == f"serves the link {' and '.join(sorted(facts.links))} only"
            if (getattr(estimator, "slope", 1) == 1 and getattr(estimator, "temperature", 1) == 1) or name == "gumbel":
                with pytest.raises(UsageError, match="need the link sigmoid"):
                    gradients(estimator, draw)
            continue
        found = gradients(estimator, draw)
        if name == "ste":  # its factors are of a, not of φ: see below
            assert bool(found.isfinite().all()), link
            continue
        phi = (d.mean / d.q).log()
        canonical = Draw(make(f, phi, "bernoulli"), 7, N, streams=Streams(0, "links", range(1)))
        assert torch.equal(canonical.z, draw.z), link
        expected = gradients(estimator, canonical) * d.canonical_slope
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12, msg=partial("{}: {}".format, link))


@pytest.mark.parametrize("link", OTHERS)
def test_unbiased_estimators_are_unbiased_with_every_link_that_they_serve(link: LinkName) -> None:
    """The exact mean over all states, or over the noise of one variable, is the gradient at 1e-10."""
    checked = set()
    for name, kind in catalogue.ESTIMATORS.items():
        estimator = kind()
        if not estimator.facts.unbiased or estimator.facts.unserved("bernoulli", link) is not None:
            continue
        for a in (LOGITS[link], LOGITS[link][:1]):
            problem = Problem(bernoulli(link, a), objective("mlp", seed=3))
            try:
                packed = exact(problem, estimator, estimator.facts.min_samples).packed
            except Unavailable:
                continue
            m = Moments.unpack(packed, None)
            assert problem.exact_gradient is not None
            g = problem.exact_gradient.numpy()
            np.testing.assert_allclose(m.s1[0] / m.n[0], g, rtol=1e-10, atol=1e-12, err_msg=name)
            checked.add(name)
    assert checked >= {"reinforce", "rloo", "muprop", "arm", "disarm", "leg", "double_cv", "rodeo", "stochastic_ad"}


@pytest.mark.parametrize("link", list(LOGITS))
def test_straight_through_multiplies_by_the_slope_of_the_link(link: LinkName) -> None:
    """`ste` is p′(a) ∇f(z); proxy=identity is ∇f(z) alone, the neuron Bernoulli(hard_sigmoid(a)) among them."""
    d = bernoulli(link)
    draw = Draw(Problem(d, objective("mlp", seed=3)), 5, 2, streams=Streams(0, "ste", range(1)))
    slope = torch.tensor([P[link][1](a) for a in LOGITS[link]], dtype=torch.float64)

    def rows(**options: Any) -> Tensor:
        estimator = build("ste", options)
        assert isinstance(estimator, RowEstimator)
        return estimator.rows(draw)

    torch.testing.assert_close(rows(), slope * draw.dfz, rtol=1e-14, atol=0)
    assert torch.equal(rows(proxy="identity"), draw.dfz)
    torch.testing.assert_close(rows(proxy="hard_sigmoid"), 0.5 * (d.logits.abs() <= 1) * draw.dfz, rtol=0, atol=0)
    if link != "identity":
        steep = torch.tensor([2 * P[link][1](2 * a) for a in LOGITS[link]], dtype=torch.float64)
        torch.testing.assert_close(rows(slope=2.0), steep * draw.dfz, rtol=1e-13, atol=0)


@pytest.mark.parametrize("link", OTHERS)
def test_a_batch_with_a_link_is_each_entry_alone(link: LinkName) -> None:
    """Logits [R, D] with a link give what each row gives."""
    every = torch.tensor([LOGITS[link], LOGITS[link][::-1]], dtype=torch.float64)
    f, streams = objective("mlp", seed=3), Streams(0, "both", range(1))
    batch = Problem(Bernoulli(every, link), f)
    draw = Draw(batch, 2, 3, streams=streams)
    for name in ("reinforce", "ste", "disarm", "arms", "mve", "rodeo", "igr"):
        estimator = build(name, {})
        found = estimates(estimator, draw, [3])[0]
        for r in range(2):
            noise = {key: t[r : r + 1] for key, t in {"main": draw.noise()}.items()}
            alone = Draw(Problem(Bernoulli(every[r], link), f), 1, 3, noise=noise)
            torch.testing.assert_close(found[r], estimates(estimator, alone, [3])[0, 0], rtol=1e-12, atol=1e-15)


def config(link: str, logits: Any) -> dict[str, Any]:
    """A small config."""
    problem = {"objective": "sine", "distribution": {"name": "bernoulli", "link": link}, "logits": logits}
    estimators = ["ste", "ste[proxy=identity]", "reinforce", "disarm", "gumbel"]
    return {"name": "it", "replicates": 2048, "problems": [problem], "estimators": estimators, "temperatures": 1.0}


def test_a_run_shows_the_link_where_it_is_not_the_default(tmp_path: Path) -> None:
    """In the label and the distribution of its rows; what does not serve it is skipped with the reason."""
    benchmark = Benchmark.of(config("hard_sigmoid", [0.3, -0.7]), tmp_path / "run")
    for _ in benchmark.run():
        pass
    frame = benchmark.results()
    assert set(frame["distribution"]) == {"bernoulli[link=hard_sigmoid]"}
    assert frame["problem"].iloc[0].startswith("sine bernoulli[link=hard_sigmoid] D=2")
    skipped = frame[frame["status"] == "skipped"]
    reasons = dict(zip(skipped["estimator"], skipped["reason"], strict=True))
    assert reasons == {
        "gumbel": "serves the link sigmoid only",
        "disarm": "noise is integrated for one variable only",
    }
    done = frame[(frame["method"] == "exact") & (frame["status"] == "ok")].set_index("label")
    assert done.loc["reinforce", "bias_verdict"] == "unbiased"
    assert done["bias_squared"].loc["ste[proxy=identity]"] > done["bias_squared"].loc["ste"]


def test_the_default_link_changes_nothing_of_a_plan() -> None:
    """Plain `bernoulli` and an explicit sigmoid are the same cells, so that finished runs are found again."""
    plain = config("sigmoid", [0.3]) | {}
    named = expand(load(plain))
    plain["problems"][0]["distribution"] = "bernoulli"
    assert expand(load(plain)).cells == named.cells
    other = expand(load(config("probit", [0.3])))
    assert {c.key for c in other.cells}.isdisjoint({c.key for c in named.cells})


@pytest.mark.parametrize(
    ("link", "logits", "words"),
    [
        ("identity", [0.2, 1.5], "strictly between 0 and 1"),
        ("identity", {"normal": {"seed": 3}}, "strictly between 0 and 1"),
        ("probbit", [0.2], "link: expected 'sigmoid'"),
    ],
)
def test_a_wrong_link_or_logits_that_it_does_not_take_are_refused(link: str, logits: Any, words: str) -> None:
    """With the place and what is allowed."""
    with pytest.raises(UsageError, match=words):
        load(config(link, logits))


def test_every_link_has_its_facts() -> None:
    """The names of links are the same in the facts, in the class and here."""
    assert set(LOGITS) == LINKS
    assert not any(isinstance(build(name, {}), Fitted) and build(name, {}).facts.links == LINKS for name in ("lax",))
