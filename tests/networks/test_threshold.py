"""The threshold network in runs: exact moments against sums, descent, and what a config may say of it."""

from __future__ import annotations

import math
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.integrate import quad

from estbench.config import load, resolve
from estbench.draws import Draw
from estbench.engine.benchmark import Benchmark
from estbench.engine.executors import Execution
from estbench.errors import UsageError
from estbench.estimate import estimates
from estbench.estimators.relaxation.gumbel import Gumbel
from estbench.estimators.straight_through.ste import Ste
from estbench.exact import Unavailable
from estbench.networks.base import Kind
from estbench.networks.coarse import TwoLayer
from estbench.networks.coarse_moments import coarse_moments
from estbench.networks.threshold import CoarseGradient, backward_factor, of_examples, optimal
from estbench.plots import draw
from estbench.plots.angle import angle, of_angles, theta_of
from estbench.trainings.drawn import Place, exact, gradient
from estbench.views import finished, readable
from tests.sizes import at_whole_size, slow

PROBLEM: dict[str, Any] = {
    "kind": "network",
    "network": {"name": "coarse_gradient", "inputs": 5, "v": "optimal"},
    "data": "gaussian",
    "distribution": "bernoulli",
    "dimensions": 3,
    "parameters": "w",
    "training": {"epochs": 0, "batch": 4, "seeds": 1},
    "checkpoints": [0],
    "sweep": {"network.theta": [0.3, 1.7]},
}
TRAINED: dict[str, Any] = PROBLEM | {
    "network": {"name": "coarse_gradient", "inputs": 5, "start": "minimum", "steps": 50},
    "dimensions": 10,
    "data": "population",
    "training": {"estimator": ["exact", "own"], "epochs": 5, "seeds": 2, "optimiser": "sgd", "learning_rate": 0.1},
    "checkpoints": [0, 5],
}
del TRAINED["sweep"]
CONFIG: dict[str, Any] = {
    "name": "coarse",
    "replicates": 32,
    "problems": [PROBLEM, TRAINED],
    "estimators": [f"ste[sample=threshold,proxy={proxy}]" for proxy in ("identity", "relu", "clipped_relu")],
}


def finished_run(folder: Path, config: dict[str, Any] = CONFIG, workers: int = 1) -> Path:
    """The folder of a finished run."""
    for _ in Benchmark.of(config, folder).run(Execution(workers=workers)):
        pass
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    return finished_run(tmp_path_factory.mktemp("coarse") / "run")


def place(theta: float = 1.1, inputs: int = 2, m: int = 1, batch: int = 1, norm: float = 1.4) -> Place:
    """A small network at an angle."""
    network = CoarseGradient(theta=theta, inputs=inputs, norm=norm, seed=3)
    kind = Kind("bernoulli", m)
    return Place(network.build(network.images("gaussian"), kind, [torch.Generator()]), kind, batch)


@pytest.mark.parametrize("proxy", ["clipped_relu", "atan", "identity"])
@pytest.mark.parametrize("theta", [0.4, slow(2.3)])
def test_moments_of_one_unit_against_a_double_integral(proxy: Any, theta: float) -> None:
    """With one unit and two inputs, mean and E‖g‖² are integrals over z; they agree to 1e-9."""
    at = place(theta)
    psi = backward_factor(Ste(proxy=proxy, sample="threshold"))
    found = coarse_moments(at.model.first(), psi, (1.0,))
    v, v_star, size = float(at.model.first().v), float(at.model.first().v_star), float(at.model.first().norm)
    e = at.model.first().across / at.model.first().sin
    kinks = (-1 / size, 0.0, 1 / size)

    def integral(h: Any) -> float:
        def along(x: float) -> float:
            factor = float(psi(torch.tensor([size * x], dtype=torch.float64))) * v
            cut = -x / math.tan(theta)

            def across(y: float) -> float:
                r = v * (x > 0) - v_star * (y > cut)
                return float(h(factor * r, x, y)) * math.exp(-(x * x + y * y) / 2) / (2 * math.pi)

            return sum(
                quad(across, a, b, epsabs=1e-12)[0] for a, b in ((-9, np.clip(cut, -9, 9)), (np.clip(cut, -9, 9), 9))
            )

        ends = [-9.0, *kinks, 9.0]
        return sum(quad(along, a, b, epsabs=1e-11, limit=100)[0] for a, b in pairwise(ends))

    mean = integral(lambda g, x, _: g * x) * at.model.first().w_hat + integral(lambda g, _, y: g * y) * e
    square = integral(lambda g, x, y: g * g * (x * x + y * y))
    assert torch.allclose(found.mean, mean, rtol=0, atol=1e-9)
    assert found.variance == pytest.approx(square - float(mean @ mean), abs=1e-9)


@pytest.mark.parametrize("options", [{"proxy": "relu"}, {"proxy": "piecewise_quadratic", "scale": 3.0}, {"slope": 2.0}])
def test_exact_moments_and_samples_agree(options: Any) -> None:
    """At four units, six inputs and a batch of five: mean and variance of 10⁴ batches, within 4.5 standard errors.

    Wrongly refused once in 20 000 runs by chance; an error of 5 % of the variance would be seen.
    """
    at, estimator = place(0.7, 6, 4, 5), Ste(sample="threshold", **options)
    found = exact(at, estimator)
    generators = [torch.Generator().manual_seed(i) for i in (1, 2)]
    g = gradient(at, estimator, 1, 10_000, *generators)
    z = (g.mean(0) - found.mean) / (g.std(0) / 100)
    assert float(z.abs().max()) < 4.5
    square = ((g - g.mean(0)) ** 2).sum(1)
    assert abs(float(square.mean()) - found.variance) < 4.5 * float(square.std()) / 100
    assert found.error < 1e-12


def test_the_estimator_is_the_coarse_gradient() -> None:
    """Rows of the unchanged estimator, pulled back, are Zᵀ (ψ(Z w) ⊙ v)(y − y*) of each example."""
    at = place(1.0, 5, 3)
    g = torch.Generator().manual_seed(7)
    Z = torch.randn(1, 6, 3, 5, generator=g, dtype=torch.float64)
    problem = of_examples(at.model.two_layer(), Z)
    found = estimates(Ste(proxy="clipped_relu", sample="threshold"), Draw(problem, 6, 1), [1])[0]
    net = at.model.first()
    for z, own in zip(Z[0], found, strict=True):
        a = z @ net.w
        r = (a > 0).double() @ net.v - (z @ net.w_star > 0).double() @ net.v_star
        assert torch.allclose(own, z.T @ (((a > 0) & (a < 1)).double() * net.v) * r, rtol=0, atol=1e-13)


@pytest.mark.parametrize("theta", [1e-17, 0.05])
def test_an_example_that_is_labelled_right_has_no_gradient(theta: float) -> None:
    """At v = v* the error is exactly 0 where units and labels agree: rounding of the two sums is no direction."""
    v = (0.1, 0.2, 0.3, 0.7, -0.35, 1.1, 0.123)
    network = CoarseGradient(inputs=5, theta=theta, norm=1.3, v=v, v_star=v)
    model = network.build(network.images("gaussian"), Kind("bernoulli", 7), [torch.Generator()])
    problem = model.examples(1000, torch.Generator().manual_seed(0))
    assert problem.jacobian is not None
    Z = problem.jacobian.J
    right = ((Z @ model.w[0] > 0) == (Z @ model.w_star > 0)).all(-1)
    (g,) = estimates(Ste(sample="threshold"), Draw(problem, 1000, 1), [1])
    assert torch.equal((g == 0).all(-1), right)
    assert bool((model.others(problem)["v"][right] == 0).all())
    assert bool(right.all()) == (theta < 1e-10)


def test_exact_moments_of_drawn_units_are_not_known() -> None:
    """Estimators that draw their units are sampled alone."""
    with pytest.raises(Unavailable, match=r"ste\[sample=threshold\]"):
        exact(place(), Gumbel(temperature=0.5))
    with pytest.raises(Unavailable):
        exact(place(), Ste())


def test_the_best_v_of_an_angle() -> None:
    """With v: optimal the gradient of v is 0, at the angle that was given, and at π."""
    for theta in (0.4, 2.0):
        network = CoarseGradient(theta=theta, v="optimal")
        model = network.build(network.images("population"), Kind("bernoulli", 10), [torch.Generator()])
        assert float(model.two_layer().theta) == pytest.approx(theta, abs=1e-12)
        assert float(model.two_layer().gradient_v().norm()) < 1e-14
    v_star = torch.tensor([1.0, -2.0], dtype=torch.float64)
    w = torch.tensor([1.0, 0.0], dtype=torch.float64)
    assert float(TwoLayer(optimal(v_star, math.pi), -w, v_star, w).gradient_v().norm()) < 1e-14


@pytest.mark.slow
def test_exact_and_sampled_rows_agree(run: Path, tmp_path: Path) -> None:
    """All cells are done, exact and sampled ones do not exclude each other, and nothing claims to be unbiased."""
    more = finished_run(tmp_path / "more", CONFIG | {"replicates": 640, "problems": [PROBLEM]})
    frame, swept = (pd.read_csv(folder / "results.csv") for folder in (run, more))
    for each in (frame, swept):
        assert set(each.status) == {"ok"}
        assert not each.declared_unbiased.any()
        assert not each["flags"].fillna("").str.contains("exact_disagrees").any()
    both = swept[swept.method == "exact"].merge(
        swept[swept.method == "monte_carlo"], on=["problem", "label"], suffixes=("", "_mc")
    )
    inside = both.variance_low_mc.le(both.variance) & both.variance.le(both.variance_high_mc)
    assert len(inside) == 6
    assert inside.sum() >= 4


def test_identity_leaves_the_minimum_and_relu_stays(run: Path) -> None:
    """Next to the minimum at w = −w*: ReLU and clipped ReLU end there in each seed, the identity in none."""
    frame = pd.read_csv(run / "training.csv")
    network = CoarseGradient(start="minimum", inputs=5)
    model = network.build(network.images("population"), Kind("bernoulli", 10), [torch.Generator()])
    net = model.two_layer()
    least = float(TwoLayer(optimal(net.v_star[0], math.pi), -net.w_star[0], net.v_star[0], net.w_star[0]).loss())
    end = frame[(frame.checkpoint == 5) & frame.network.str.contains("minimum")].set_index("trained_by")
    assert set(end["data"]) == {"train"}
    for name in ("relu", "clipped_relu"):
        row = end.loc[f"ste[proxy={name},sample=threshold]"]
        assert row.loss_q05 == pytest.approx(least, abs=1e-3)
        assert row.loss_q95 == pytest.approx(least, abs=1e-3)
    assert end.loc["ste[proxy=identity,sample=threshold]"].loss_q05 > least + 0.02
    assert end.loc["exact"].share_worse == 0


@pytest.mark.slow
@pytest.mark.parametrize("data", ["gaussian", "population"])
def test_relu_and_clipped_relu_learn_from_random_starts(data: str, tmp_path: Path) -> None:
    """From ten random starts the median loss falls below 1 % of what it was, by batches and by mean gradients."""
    own = {"estimator": "own", "epochs": 10, "batch": 50, "seeds": 10, "optimiser": "sgd", "learning_rate": 0.05}
    network = {"name": "coarse_gradient", "inputs": 5, "start": "random", "steps": 60}
    problem = TRAINED | {"network": network, "data": data, "training": own, "checkpoints": [0, 10]}
    frame = pd.read_csv(
        finished_run(
            tmp_path / data,
            CONFIG | {"problems": [problem], "estimators": CONFIG["estimators"][1:], "methods": "exact"},
        )
        / "training.csv"
    )
    start, end = (frame[frame.checkpoint == at].set_index("trained_by").loss_q50 for at in (0, 10))
    assert (end < 0.01 * start).all()


@pytest.mark.slow
@at_whole_size
def test_workers_and_interruptions_change_no_byte(run: Path, tmp_path: Path) -> None:
    """Two workers, and a run that is cut off in the middle and taken up again, give the same tables."""
    cut = tmp_path / "cut"
    shutil.copytree(run, cut)
    lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (cut / "journal.jsonl").write_bytes(b"".join(lines[: len(lines) // 2]))
    for other in (finished_run(tmp_path / "two", workers=2), finished_run(cut)):
        for name in ("results.csv", "training.csv"):
            assert (other / name).read_bytes() == (run / name).read_bytes()


def test_the_figure_over_the_angle(run: Path, tmp_path: Path) -> None:
    """It has an axis of the two angles, a line for each proxy, and is drawn for the swept problems alone."""
    frame = pd.read_csv(run / "results.csv")
    assert [path.name.endswith("angle.png") for path in draw(frame, tmp_path, ["angle"], level=0.95)] == [True]
    rows = finished(readable(frame))
    figure = angle(rows[rows["network"].str.contains("optimal")], 0.95)
    assert figure is not None
    assert [ax.get_title() for ax in figure.axes] == ["cosine of the mean", "mean cosine"]
    assert {"0.3", "1.7"} <= {text.get_text() for text in figure.axes[0].texts}
    assert angle(rows[rows["network"].str.contains("minimum")], 0.95) is None
    assert math.isnan(theta_of("vae[theta=1,start=given]"))
    assert of_angles("coarse_gradient[theta=0.3] D=3") == of_angles("coarse_gradient[theta=1.7] D=3")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": "digits"}, "data: gaussian .* or population"),
        ({"distribution": "categorical", "categories": 3}, "it has bernoulli variables alone"),
        ({"parameters": "v"}, "parameters: w, got v"),
        ({"parameters": "encoder"}, "parameters: w, got encoder"),
        ({"network": {"name": "coarse_gradient", "v": [1.0]}}, "v has 1 numbers; it needs one for each of 3 units"),
        ({"network": {"name": "coarse_gradient", "start": "random", "theta": 2.0}}, "has v and theta of its own"),
        (
            {"network": {"name": "coarse_gradient", "start": "minimum", "v_star": [1.0, 1.0, 1.0]}},
            "spurious local minimum",
        ),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    """Errors name the key and say what is allowed."""
    problem = {key: item for key, item in PROBLEM.items() if key != "sweep"}
    with pytest.raises(UsageError, match=message):
        load(CONFIG | {"problems": [problem | change]})


def test_the_config_survives_being_written_out() -> None:
    """What is resolved is read again as the same config; more than sixteen units are allowed."""
    config = load(CONFIG | {"problems": [PROBLEM | {"dimensions": 40}, TRAINED]})
    assert load(resolve(config)) == config


def test_other_estimators_need_batches(tmp_path: Path) -> None:
    """Mean gradients of a proxy without a closed form are refused with what to do; by batches they work."""
    own = TRAINED["training"] | {"estimator": "own", "epochs": 1, "batch": 3}
    estimators = {"estimators": ["ste[sample=threshold,proxy=atan]", "rloo"], "samples": 2, "methods": "monte_carlo"}
    for data, status in (("population", "failed"), ("gaussian", "ok")):
        problem = TRAINED | {"data": data, "training": own, "checkpoints": [0, 1]}
        frame = pd.read_csv(
            finished_run(tmp_path / data, CONFIG | estimators | {"problems": [problem]}) / "results.csv"
        )
        assert set(frame[frame.checkpoint == 1].status) == {status}
        assert set(frame[frame.checkpoint == 0].status) == {"ok"}
        if status == "failed":
            assert frame[frame.checkpoint == 1].reason.str.contains("others take data: gaussian").all()
