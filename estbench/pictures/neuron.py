"""A stochastic neuron: what it sends forward, and the derivative that an estimator sends back, against its logit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from estbench.distributions import Bernoulli, Categorical
from estbench.draws import Draw
from estbench.estimate import estimates
from estbench.estimators.base import Estimator, Fitted
from estbench.moments import Floats
from estbench.pictures.evaluated import Evaluated
from estbench.plots.style import GREY, LOOKS, key
from estbench.problem import Problem
from estbench.streams import Streams

RANGE = 3.0
POINTS = 97  # an odd number, so that 0 is one of them
FITTED_POINTS = 25  # each of them is fitted, which takes up to half a second
REPLICATES = 2000
COLUMNS = 5
SHARE = 0.02  # of single estimates that may lie outside the picture, at either end


@dataclass(frozen=True)
class Neuron:
    """One panel: its title, an estimator, and the link of the Bernoulli variable."""

    title: str
    estimator: Estimator
    link: str = "sigmoid"


@dataclass(frozen=True)
class Response:
    """At each logit a: one point at which f is evaluated, their mean, p(a), one estimate, their mean, and p′(a).

    error  the standard error of the mean of the estimates
    """

    point: Floats
    mean_point: Floats
    p: Floats
    estimate: Floats
    mean_estimate: Floats
    error: Floats
    slope: Floats


def response(neuron: Neuron, logits: Floats) -> Response:
    """What the neuron does at these logits, for f(z) = z, so that each estimate is one of p′(a) itself.

    The means are over `REPLICATES` replicates, with the same noise at every logit; the single draws have other noise at
    each. Of a categorical estimator z is the first of two classes, with the logits (a, 0).
    """
    columns = [_at(neuron, float(a), i) for i, a in enumerate(logits)]
    return Response(*(np.array(column) for column in zip(*columns, strict=True)))


def _at(neuron: Neuron, a: float, shown: int) -> tuple[float, ...]:
    estimator, f = neuron.estimator, Evaluated()
    distribution = _distribution(neuron, a)
    N = estimator.facts.min_samples
    if isinstance(estimator, Fitted):
        fitting = Problem(distribution, Evaluated())
        estimator = estimator.fit(fitting, Draw(fitting, estimator.n_fit, N, streams=Streams(0, "fit", range(1))))
    problem = Problem(distribution, f)
    draw = Draw(problem, REPLICATES, N, streams=Streams(0, "neuron", range(1)))
    estimate = estimates(estimator, draw, [N])[0, :, 0]
    at = next((first for first in map(_first, f.points) if len(first) == REPLICATES * N), _first(draw.z))
    p, slope = _mean_and_slope(distribution)
    error = float(estimate.std()) / math.sqrt(REPLICATES)
    return (float(at[shown * N]), float(at.mean()), p, float(estimate[shown]), float(estimate.mean()), error, slope)


def _distribution(neuron: Neuron, a: float) -> Bernoulli | Categorical:
    """A variable of two classes at the logit a: the first of these that the estimator serves."""
    variables = Bernoulli([a], neuron.link), Categorical([[a, 0.0]])  # type: ignore[arg-type] # one of its links
    return next(each for each in variables if each.name in neuron.estimator.facts.distributions)


def _first(points: Tensor) -> Tensor:
    """z_1 of samples: their last axis may be the variable, or its classes."""
    return points[..., 0].flatten()


def _mean_and_slope(distribution: Bernoulli | Categorical) -> tuple[float, float]:
    """p(a) and p′(a), the exact gradient of E z_1."""
    problem = Problem(distribution, Evaluated())
    exact = problem.exact_gradient
    assert exact is not None
    return float(problem.mean_f), float(exact[0])


def neurons(name: str, panels: Sequence[Neuron]) -> Figure:
    """The figure: for each panel the forward values above, and the derivative sent backward below."""
    columns = min(len(panels), COLUMNS)
    lines = -(-len(panels) // columns)
    figure = Figure(
        figsize=(max(2.1 * columns, 6.4) + 0.3, 3.6 * lines + 0.95), facecolor="white", layout="constrained"
    )
    blocks = figure.subfigures(lines, 1, squeeze=False)[:, 0]
    for i, block in enumerate(blocks):
        row = panels[i * columns : (i + 1) * columns]
        axes = block.subplots(2, columns, squeeze=False, sharex=True)
        for ax in axes[:, len(row) :].flat:
            ax.set_axis_off()
        for forward, backward, panel in zip(*axes, row, strict=False):
            _draw(forward, backward, panel)
        axes[0, 0].set_ylabel("forward")
        axes[1, 0].set_ylabel("backward factor")
    figure.suptitle(f"{name}: one neuron, f(z) = z", x=0.01, ha="left", size=11, weight="bold")
    _legend(figure)
    return figure


def _draw(forward: Axes, backward: Axes, panel: Neuron) -> None:
    logits = np.linspace(-RANGE, RANGE, FITTED_POINTS if isinstance(panel.estimator, Fitted) else POINTS)
    found = response(panel, logits)
    ours, random = LOOKS[0], LOOKS[4]
    dots: dict[str, Any] = {
        "linestyle": "none",
        "marker": ".",
        "markersize": 3.0,
        "markeredgewidth": 0.0,
        "color": random.colour,
    }
    forward.set_title(panel.title)
    truth: dict[str, Any] = {"color": GREY, "linewidth": 1.0, "dashes": (4, 2)}
    forward.plot(logits, found.p, **truth)
    forward.plot(logits, found.mean_point, color=ours.colour, linewidth=1.6)
    forward.plot(logits, found.point, **dots)
    forward.set_ylim(-0.12, 1.12)
    backward.plot(logits, found.slope, **truth)
    backward.plot(logits, found.mean_estimate, color=ours.colour, linewidth=1.6)
    if np.abs(found.estimate - found.mean_estimate).max() > 1e-9:
        backward.plot(logits, found.estimate, **dots)
    low, high = np.quantile(found.estimate, [SHARE, 1 - SHARE])
    shown = [low, high, *found.mean_estimate, *found.slope, 0.0]
    margin = 0.08 * (max(shown) - min(shown))
    backward.set_ylim(min(shown) - margin, max(shown) + margin)
    backward.set_xlabel("logit a")


def _legend(figure: Figure) -> None:
    keys = [
        key(LOOKS[0].colour, linestyle="-", linewidth=1.6),
        key(LOOKS[4].colour, marker="."),
        key(GREY, linestyle="--", linewidth=1.0),
    ]
    texts = [
        f"mean of {REPLICATES} draws",
        "one draw for each logit",
        "of the Bernoulli neuron, exact: p(a) above, p′(a) below",
    ]
    figure.legend(keys, texts, loc="outside lower left", ncols=3, frameon=False, fontsize=8.5)
