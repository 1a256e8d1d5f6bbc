"""Pictures of estimators: what is drawn is what the estimator computes, and every estimator can be drawn."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from estbench import catalogue
from estbench.cli.app import app
from estbench.errors import UsageError
from estbench.estimators.base import Estimator, Fitted
from estbench.estimators.relaxation.gumbel import Gumbel
from estbench.estimators.relaxation.hard_concrete import HardConcrete
from estbench.estimators.shared.proxies import PROXIES
from estbench.estimators.straight_through.ste import Ste
from estbench.pictures import neuron, picture
from estbench.pictures.neuron import Neuron, response
from estbench.pictures.relaxation import REPLICATES, evaluated
from tests.sizes import slow

Z = 5.5
"""Standard errors that a mean may be off: of 1 000 means of nearly normal numbers one is further off in 26 000 runs."""

LOGITS = np.array([-1.5, -0.25, 0.0, 0.5, 2.0])


@pytest.mark.parametrize("link", ["sigmoid", "hard_sigmoid", "probit"])
def test_the_default_straight_through_factor_is_the_slope_of_the_link(link: str) -> None:
    """Of `ste` every single estimate of the derivative of E z is p′(a), and the points are z itself."""
    found = response(Neuron("", Ste(), link), LOGITS)
    assert np.allclose(found.estimate, found.slope, rtol=0, atol=1e-15)
    assert set(found.point) <= {0.0, 1.0}
    assert (np.abs(found.mean_point - found.p) <= Z * np.sqrt(found.p * (1 - found.p) / neuron.REPLICATES)).all()


@pytest.mark.parametrize("proxy", sorted(PROXIES))
def test_a_threshold_sends_its_sign_forward_and_its_proxy_back(proxy: str) -> None:
    """The forward values are 1[a > 0], and the factor is symmetric, or is that of a ReLU."""
    found = response(Neuron("", Ste(proxy=proxy, sample="threshold")), np.array([-0.5, 0.5]))  # type: ignore[arg-type]
    assert found.point.tolist() == found.mean_point.tolist() == [0.0, 1.0]
    assert np.allclose(found.estimate, found.mean_estimate, rtol=1e-12, atol=0)
    left, right = found.estimate
    assert (left, right) == (0.0, 1.0) if "relu" in proxy else left == pytest.approx(right, abs=1e-15)


def test_the_derivative_of_an_unbiased_estimator_is_drawn_around_the_exact_one() -> None:
    """The mean of `reinforce` is p′(a) within 5.5 standard errors, which are those of f s(z): p (1 − p)² − p′²."""
    found = response(Neuron("", catalogue.ESTIMATORS["reinforce"]()), LOGITS)
    error = np.sqrt((found.p * (1 - found.p) ** 2 - found.slope**2) / neuron.REPLICATES)
    assert (np.abs(found.mean_estimate - found.slope) <= Z * error).all()
    assert np.allclose(found.error, error, rtol=0.25, atol=0)


def test_a_relaxation_tends_to_its_distribution() -> None:
    """At τ = .001 the points of `gumbel` are the samples; at τ = 1 000 they are nearly uniform; each sums to 1.

    A point is 0.01 away from its sample only where the largest noisy logit leads by less than t = τ log 297, with
    probability 1 − Σ σ(logit p − t). At τ = 1 000 it is off by a fourth of the range of these logits over τ, which is
    over 40 less than once in 10¹² runs.
    """
    tau = 1e-3
    y, z, p = evaluated(Gumbel(temperature=tau))
    assert p.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])
    near = 1 - float(torch.sigmoid(p.logit() - tau * math.log(297)).sum())
    assert float(((y - z).abs().amax(1) > 0.01).double().mean()) < near + Z * (near / REPLICATES) ** 0.5
    assert bool(((z.mean(0) - p).abs() <= Z * (p * (1 - p) / REPLICATES).sqrt()).all())
    y, _, _ = evaluated(Gumbel(temperature=1e3))
    assert torch.allclose(y, torch.full_like(y, 0.25), rtol=0, atol=0.01)
    assert torch.allclose(y.sum(1), torch.ones(len(y)).double())


def test_a_relaxation_of_bernoulli_variables_is_drawn_at_its_own_points() -> None:
    """The points of `hard_concrete` have mass at 0 and at 1; at 1 it is σ(φ − τ log((1 − γ)/(ζ − 1)))."""
    one = HardConcrete()
    y, _, p = evaluated(one)
    assert y.shape == (REPLICATES, 2)
    assert p.tolist() == pytest.approx([0.3, 0.7])
    for end, sign in ((1, 1), (0, -1)):
        logit = math.log(p[1] / p[0])
        reach = math.log((1 - one.gamma) / (one.zeta - 1))  # γ and 1 − ζ are the same: both ends are alike
        mass = 1 / (1 + math.exp(-(sign * logit - one.temperature * reach)))
        share = float((y[:, 1] == end).double().mean())
        assert abs(share - mass) <= Z * (mass * (1 - mass) / REPLICATES) ** 0.5


@pytest.mark.parametrize("name", [n for n, kind in catalogue.ESTIMATORS.items() if not isinstance(kind(), Fitted)])
def test_every_estimator_responds(name: str) -> None:
    """All that is drawn of any estimator is finite, and the mean of an unbiased one is the exact derivative.

    It may be off by 5.5 standard errors, and by rounding where every estimate is the same.
    """
    estimator: Estimator = catalogue.ESTIMATORS[name]()
    found = response(Neuron("", estimator), np.array([-1.0, 0.5]))
    assert all(np.isfinite(part).all() for part in vars(found).values())
    if estimator.facts.unbiased:
        assert (np.abs(found.mean_estimate - found.slope) <= Z * found.error + 1e-12).all()


@pytest.mark.parametrize("ending", ["png", *map(slow, ("svg", "pdf"))])
def test_files_of_each_type(ending: str, tmp_path: Path) -> None:
    """png, svg and pdf are written."""
    assert picture("ste[proxy=identity]", tmp_path / f"a.{ending}").stat().st_size > 5000


def test_what_no_picture_is_made_of(tmp_path: Path) -> None:
    """Another ending, or a name that is no estimator, is refused."""
    with pytest.raises(UsageError, match=r"ends in \.png, \.svg, \.pdf"):
        picture("ste", tmp_path / "a.gif")
    with pytest.raises(UsageError, match="'quadratic' is none of them"):
        picture("quadratic", tmp_path / "b.png")


def test_show_draws(tmp_path: Path) -> None:
    """`estbench show gumbel --figure FILE` prints the file, in which there is a picture with six columns."""
    done = CliRunner().invoke(app, ["show", "gumbel", "--figure", str(tmp_path / "g.png")])
    assert (done.exit_code, done.stdout.strip()) == (0, str(tmp_path / "g.png"))
    with Image.open(tmp_path / "g.png") as opened:
        assert opened.width > 1200
