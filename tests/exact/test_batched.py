"""Exact moments at many logits at once, and the curl of mean estimates."""

from __future__ import annotations

import pytest
import torch

from estbench import catalogue
from estbench.config.choice import read_estimator
from estbench.errors import UsageError
from estbench.exact import Unavailable, exact
from estbench.exact.batched import batch_moments
from estbench.exact.curl import curl
from estbench.intervals import exact_metrics
from estbench.moments import Moments
from estbench.objectives.mlp import Mlp
from estbench.objectives.product import Product
from estbench.objectives.quadratic import Quadratic
from estbench.problem import Problem, make


def estimator(selector: str) -> object:
    """The estimator of a selector."""
    return catalogue.estimator(read_estimator(selector).specs(())[0])


def spread(shape: tuple[int, ...]) -> torch.Tensor:
    """Logits between -2 and 2."""
    n = torch.tensor(shape).prod()
    return torch.linspace(-2, 2, int(n), dtype=torch.float64).sin().mul(2).view(shape)


def problems() -> dict[str, Problem]:
    """Four vectors of logits of each kind of variable."""
    return {
        "bernoulli": make(Mlp(), spread((4, 2)), "bernoulli"),
        "categorical": make(Quadratic(), spread((4, 2, 3)), "categorical"),
    }


@pytest.mark.parametrize("kind", ["bernoulli", "categorical"])
@pytest.mark.parametrize(
    ("selector", "N"),
    [("reinforce", 1), ("ste", 1), ("ste", 3), ("rloo", 2), ("leg", 1), ("reinmax", 2)],
)
def test_each_entry_has_the_moments_it_has_alone(kind: str, selector: str, N: int) -> None:
    """Mean, variance and mean cosine at an entry of a batch are those of the engine at these logits alone: 1e-12."""
    problem, one = problems()[kind], estimator(selector)
    found = batch_moments(problem, one, N)  # type: ignore[arg-type]
    for i, logits in enumerate(problem.distribution.logits):
        alone = problem.at(logits)
        packed = exact(alone, one, N).packed  # type: ignore[arg-type]
        moments = Moments.unpack(packed, alone.exact_gradient.numpy())  # type: ignore[union-attr]
        metrics = exact_metrics(moments)
        mean = torch.from_numpy(moments.s1.sum(0) / moments.n.sum())
        assert (found.mean[i] - mean).abs().max() < 1e-12
        assert float(found.variance[i].sum()) == pytest.approx(metrics["variance"], rel=1e-11, abs=1e-14)
        if N == 1 or selector == "rloo":
            assert float(found.cosine[i]) == pytest.approx(metrics["cosine"], rel=1e-11, abs=1e-14)
        else:
            assert found.cosine[i].isnan()


def test_what_cannot_be_enumerated_is_said() -> None:
    """Noise beside z, too many tuples, and logits without a batch are refused, each with its reason."""
    with pytest.raises(Unavailable, match="depend on the samples alone"):
        batch_moments(problems()["bernoulli"], estimator("gumbel"), 1)  # type: ignore[arg-type]
    with pytest.raises(Unavailable, match="more than"):
        batch_moments(make(Mlp(), spread((1000, 8)), "bernoulli"), estimator("rloo"), 2)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="one batch axis"):
        batch_moments(make(Mlp(), spread((3,)), "bernoulli"), estimator("ste"), 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["bernoulli", "categorical"])
@pytest.mark.parametrize(("selector", "N"), [("reinforce", 1), ("rloo", 2), ("leg", 1), ("muprop", 1)])
def test_a_gradient_has_no_curl(kind: str, selector: str, N: int) -> None:
    """The mean of an unbiased estimator is a gradient: its Jacobian is symmetric, to 1e-7."""
    assert float(curl(problems()[kind], estimator(selector), N).max()) < 1e-7  # type: ignore[arg-type]


def test_straight_through_has_curl_where_variables_are_coupled_and_none_where_they_are_not() -> None:
    """∂E ĝ_d/∂φ_e = σ′_d σ′_e E[Δ_e ∂_d f], computed here by hand, is not symmetric for an mlp; a product's is."""
    problem, ste = problems()["bernoulli"], estimator("ste")
    found = curl(problem, ste)  # type: ignore[arg-type]
    assert float(found.min()) > 1e-3
    phi = problem.distribution.logits[1]
    p = phi.sigmoid()
    slope = p * (1 - p)
    df = {(i, j): problem.at(phi).df(torch.tensor([[[i, j]]]).double()).flatten() for i in (0, 1) for j in (0, 1)}
    mixed = torch.zeros(2, 2, dtype=torch.float64)
    for i in (0, 1):
        mixed[0, 1] += (p[0] if i else 1 - p[0]) * (df[i, 1][0] - df[i, 0][0])
        mixed[1, 0] += (p[1] if i else 1 - p[1]) * (df[1, i][1] - df[0, i][1])
        for d, moved in ((0, slope[0] * (1 - 2 * p[0])), (1, slope[1] * (1 - 2 * p[1]))):
            for j in (0, 1):
                P = (p[0] if i else 1 - p[0]) * (p[1] if j else 1 - p[1])
                mixed[d, d] += P * df[i, j][d] * moved / slope[d] ** 2
    mixed[0, 0] += (p[1] * (df[1, 1][0] - df[0, 1][0])) + (1 - p[1]) * (df[1, 0][0] - df[0, 0][0])
    mixed[1, 1] += (p[0] * (df[1, 1][1] - df[1, 0][1])) + (1 - p[0]) * (df[0, 1][1] - df[0, 0][1])
    J = slope.outer(slope) * mixed
    assert float(found[1]) == pytest.approx(float((J - J.T).norm() / (J + J.T).norm()), rel=1e-6)
    coupled = make(Product(), spread((4, 3)), "bernoulli")
    assert float(curl(coupled, ste).max()) < 1e-7  # type: ignore[arg-type]


@pytest.mark.parametrize("target", [0.1, 0.3])
def test_rounding_is_no_direction(target: float) -> None:
    """Sums of five equal terms in another order differ by rounding: rloo is 0 there, as in the engine, not ±1e-17."""
    problem, rloo = make(Quadratic(target=target), spread((2, 5)), "bernoulli"), estimator("rloo")
    found = batch_moments(problem, rloo, 2)  # type: ignore[arg-type]
    for i, logits in enumerate(problem.distribution.logits):
        alone = problem.at(logits)
        moments = Moments.unpack(exact(alone, rloo, 2).packed, alone.exact_gradient.numpy())  # type: ignore[arg-type, union-attr]
        assert float(found.cosine[i]) == pytest.approx(float(exact_metrics(moments)["cosine"]), rel=1e-12)
