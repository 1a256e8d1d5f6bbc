"""Exact moments: the engine against calculations of its own kind only."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic.dataclasses import dataclass
from scipy import integrate, special, stats
from torch import Tensor

import estbench.engine
from estbench import catalog
from estbench.draws import MAIN, Draw
from estbench.engine.exact import Exact, Unavailable, exact
from estbench.engine.quadrature import lomax, nodes, product
from estbench.estimators.base import Facts
from estbench.moments import SCALARS
from estbench.problem import Problem, make


def build(name: str, **options: Any) -> Any:
    """An estimator of the catalogue."""
    return catalog.build(catalog.estimator_class(name), options)


def problem(logits: Any, name: str = "power", **options: Any) -> Problem:
    """A problem of an objective of the catalogue."""
    return make(catalog.build(catalog.objective_class(name), options), torch.tensor(logits, dtype=torch.float64))


def mean_and_variance(x: Exact, of: Problem) -> tuple[Any, float]:
    """E ĝ, [P], and trace Cov ĝ."""
    P = of.parameters
    s1, s2 = (x.packed[0, len(SCALARS) + i * P :][:P] for i in range(2))
    assert of.true is not None
    return of.true.numpy() + s1, float((s2 - s1**2).sum())


@pytest.mark.parametrize("phi", [-5.0, -1.3, 0.0, 2.2, 5.0])
@pytest.mark.parametrize("tau", [0.1, 0.37, 2.0])
@pytest.mark.parametrize("name", ["gumbel", "gumbel_st"])
def test_one_bernoulli_variable(name: str, tau: float, phi: float) -> None:
    """Mean and variance are those of scipy's adaptive quadrature over logistic noise, to 1e-8; so says the error."""
    of = problem([phi], target=0.3)
    x = exact(of, build(name, temperature=tau), 1)
    mean, variance = mean_and_variance(x, of)

    def slope(y: float) -> float:
        return float(3 * (y - 0.3) ** 2 * np.sign(y - 0.3))

    def row(noise: float) -> float:
        t = phi + noise
        a = np.exp(-abs(t) / tau)
        at = special.expit(t / tau) if name == "gumbel" else float(t > 0)
        return float(slope(at) * a / (1 + a) ** 2 / tau)

    def expected(g: Any) -> float:
        kink = phi - tau * special.logit(0.3)  # where y passes the target
        points = sorted({-60.0, 60.0, -phi, -kink, *(-phi + c * tau for c in (-40, -5, -1, 1, 5, 40))})
        parts = [
            integrate.quad(lambda s: g(row(s)) * stats.logistic.pdf(s), a, b, epsabs=0, epsrel=1e-12, limit=500)[0]
            for a, b in itertools.pairwise(points)
        ]
        return float(sum(parts))

    m = expected(lambda g: g)
    v = expected(lambda g: (g - m) ** 2)
    np.testing.assert_allclose(mean, [m], rtol=1e-8, atol=1e-12)
    assert variance == pytest.approx(v, rel=1e-8)
    assert x.error < 1e-8


@pytest.mark.parametrize("tau", [0.2, 1.0])
def test_three_classes_against_simulation(tau: float) -> None:
    """At K = 3 mean and variance lie within 5 standard errors of 4·10⁵ simulated estimates (false-fail rate 1e-6)."""
    of = problem([[0.3, -0.9, 0.5]], target=0.3)
    estimator = build("gumbel", temperature=tau)
    mean, variance = mean_and_variance(exact(of, estimator, 1), of)
    e = np.random.default_rng(0).exponential(size=(400_000, 1, 1, 3))
    g = estimator.rows(Draw(of, len(e), 1, noise={MAIN: torch.from_numpy(e)})).view(-1, 3).numpy()
    assert (np.abs(g.mean(0) - mean) < 5 * g.std(0) / len(g) ** 0.5).all()
    squares = ((g - mean) ** 2).sum(1)
    assert abs(squares.mean() - variance) < 5 * squares.std() / len(g) ** 0.5


def test_four_classes_reach_eight_digits() -> None:
    """At K = 4 the attained error is below 1e-8 for a temperature that is not small."""
    x = exact(problem([[0.3, -0.9, 0.5, 0.0]]), build("gumbel_st", temperature=0.5), 1)
    assert 0 < x.error < 1e-8


@pytest.mark.parametrize("N", [2, 3])
def test_tuples_of_states(N: int) -> None:
    """A mean of N rows has the same mean and variance/N, by the tuples of all states as by the rule."""
    of = problem([0.4, -1.0], "mlp")
    one, many = (mean_and_variance(exact(of, build("reinforce"), n), of) for n in (1, N))
    np.testing.assert_allclose(many[0], one[0], atol=1e-14)
    assert many[1] == pytest.approx(one[1] / N, rel=1e-12)


def test_cosines_are_known_for_tuples_alone() -> None:
    """Where only the moments of a row are known, the cosine of a mean of rows is not, and is NaN."""
    of = problem([0.4, -1.0, 0.3, 0.9, 0.2], "mlp")
    c1 = SCALARS.index("c1")
    assert np.isfinite(exact(of, build("reinforce"), 3).packed[0, c1])  # 2^15 tuples
    assert np.isnan(exact(of, build("reinforce"), 16).packed[0, c1])


def test_parts_add_up() -> None:
    """Integrating over independent parts one by one gives what the product grid gives, for rebar at K = 2."""
    of = problem([[0.0, 0.7]], target=0.3)
    additive = build("rebar", temperature=0.5, eta=0.6)
    assert additive.facts.additive
    whole = type("Whole", (), {"facts": replaced(additive.facts, additive=False), "rows": additive.rows})()
    a, b = (mean_and_variance(exact(of, estimator, 1), of) for estimator in (additive, whole))
    np.testing.assert_allclose(a[0], b[0], atol=1e-9)
    assert a[1] == pytest.approx(b[1], rel=1e-7)


def replaced(facts: Facts, **changes: Any) -> Facts:
    """Facts with some changed."""
    return Facts(**{**vars(facts), **changes})


def test_inner_draws_average() -> None:
    """gumbel_rao of M inner draws has the mean of one, and the variance by the law of total variance."""
    of = problem([0.7], target=0.3)
    means, variances = zip(
        *(mean_and_variance(exact(of, build("gumbel_rao", inner=M), 1), of) for M in (1, 2, 1000)), strict=True
    )
    np.testing.assert_allclose(means[0], means[2], atol=1e-10)
    within = 2 * (variances[0] - variances[1])
    assert variances[2] == pytest.approx(variances[0] - within * (1 - 1 / 1000), rel=1e-9)


@pytest.mark.parametrize(
    ("of", "name", "N", "reason"),
    [
        (([0.1, 0.2],), "gumbel", 1, "one variable only"),
        (([[0.1, 0.2, 0.0, 0.3, 0.1]],), "gumbel", 1, "at most 4 classes"),
        (([0.0] * 17,), "reinforce", 1, "131072 joint states are more than 65536"),
        (([0.1, 0.2, 0.3],), "rloo", 16, "tuples of joint states"),
        (([0.0] * 21, "mlp"), "reinforce", 1, "exact gradient is not known"),
    ],
)
def test_what_is_not_available_says_why(of: tuple[Any, ...], name: str, N: int, reason: str) -> None:
    """A cell without exact moments has a reason."""
    with pytest.raises(Unavailable, match=reason):
        exact(problem(*of), build(name), N)


def test_moving_averages_have_none() -> None:
    """What looks across replicates has no exact moments."""
    with pytest.raises(Unavailable, match="not a function of z alone"):
        exact(problem([0.1]), build("reinforce", baseline="moving_average"), 1)


@dataclass(frozen=True)
class Wrong:
    """Reads noise that its facts do not mention."""

    facts: ClassVar[Facts] = Facts("relaxation", exact="z")

    def rows(self, draw: Draw) -> Tensor:
        """The noise itself."""
        return draw.x


def test_undeclared_noise_is_an_error() -> None:
    """An estimator that reads noise without saying so gets no exact moments that are wrong, but an error."""
    with pytest.raises(LookupError, match="no noise named 'main'"):
        exact(problem([0.1]), Wrong(), 1)


@pytest.mark.parametrize(
    ("g", "integral"),
    [
        (lambda u, _: torch.log(u), -1.0),
        (lambda _, rest: torch.log(rest), -1.0),
        (lambda u, rest: torch.log(u) * torch.log(rest), 2 - np.pi**2 / 6),
        (lambda _, rest: rest**0.5, 2 / 3),
        (lambda u, rest: (u > 0.3).double() * rest, 0.245),
    ],
)
def test_nodes_integrate(g: Any, integral: float) -> None:
    """Clustered nodes integrate what is singular at the ends, and what jumps at a break, to 1e-12."""
    axis = nodes(0.0, 1.0, torch.tensor([0.3], dtype=torch.float64), 128)
    assert float(axis.weight.sum()) == pytest.approx(1, abs=1e-13)
    assert float((axis.weight * g(axis.u, axis.complement)).sum()) == pytest.approx(integral, abs=1e-12)


def test_lomax_ratios_have_their_law() -> None:
    """P(r₁ > a, r₂ > b) = 1/(1 + a + b) for ratios of exponentials to one of them."""
    axes = [nodes(0.0, 1.0, torch.empty(0), 300)] * 2
    total = 0.0
    for points in product(axes, 10_000):
        r = lomax(points)
        weight = points[0].weight * points[1].weight
        total += float((weight * torch.sigmoid(200 * (r[:, 0] - 0.5)) * torch.sigmoid(200 * (r[:, 1] - 1.2))).sum())
    assert total == pytest.approx(1 / 2.7, abs=2e-3)  # the indicator is smoothed over 1/200


def test_the_engine_knows_no_estimator() -> None:
    """No module of the engine imports an estimator: only the contract in `estimators.base`."""
    for path in Path(estbench.engine.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("estbench.estimators"):
                assert node.module == "estbench.estimators.base", path
