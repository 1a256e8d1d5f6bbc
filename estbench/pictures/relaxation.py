"""A relaxation: samples and mean at several temperatures, beside the distribution that they tend to."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from estbench.distributions import Bernoulli, Categorical
from estbench.draws import Draw
from estbench.estimate import estimates
from estbench.estimators.base import Estimator
from estbench.pictures.evaluated import Evaluated
from estbench.plots.style import GREY
from estbench.problem import Problem
from estbench.streams import Streams

TEMPERATURES = (0.1, 0.5, 1.0, 2.0, 10.0)
VARIABLES = (Categorical(np.log([[0.1, 0.2, 0.3, 0.4]])), Bernoulli([np.log(0.7 / 0.3)]))
"""One variable each: the first that an estimator serves is drawn."""

REPLICATES = 20_000
SHOWN = 10  # samples
COLOURS = ("#0072B2", "#56B4E9", "#E69F00", "#D55E00")  # of classes; dark and light in turn, for print in grey


def evaluated(estimator: Estimator) -> tuple[Tensor, Tensor, Tensor]:
    """(relaxed samples, samples z of the same noise), [R, K] each, and the probabilities of the K classes.

    The relaxed samples are the first points at which the estimator evaluates f or ∇f.
    """
    f = Evaluated()
    variable = next(each for each in VARIABLES if each.name in estimator.facts.distributions)
    N = estimator.facts.min_samples
    draw = Draw(Problem(variable, f), REPLICATES, N, streams=Streams(1, "relaxation", range(1)))
    estimates(estimator, draw, [N])
    points = (t.reshape(-1, *variable.event_shape)[: REPLICATES * N] for t in (f.points[0], draw.z))
    y, z = (variable.class_weights(each)[:, 0] for each in points)
    return y, z, variable.marginals[0]


def relaxation(name: str, variants: Mapping[float | None, Estimator]) -> Figure:
    """The figure: a column for the discrete samples and one for each temperature; means above, samples below."""
    found = {tau: evaluated(estimator) for tau, estimator in variants.items()}
    _, z, probabilities = next(iter(found.values()))
    columns = [("discrete, τ → 0", z), *((f"τ = {tau:g}", y) for tau, (y, _, _) in found.items())]
    figure = Figure(figsize=(1.45 * len(columns) + 0.9, 4.4), facecolor="white", layout="constrained")
    axes = figure.subplots(2, len(columns), squeeze=False, sharey="row", height_ratios=(1, 1.25))
    for (above, below), (title, points) in zip(axes.T, columns, strict=True):
        above.set_title(title)
        _mean(above, points, probabilities)
        _samples(below, points[:SHOWN])
    axes[0, 0].set_ylabel("mean")
    axes[1, 0].set_ylabel(f"{SHOWN} samples")
    figure.suptitle(f"{name}: relaxed samples", x=0.01, ha="left", size=11, weight="bold")
    figure.supxlabel(
        f"above: mean of {REPLICATES} samples, line: probability of the class; below: a bar for each sample, cut into "
        "its classes",
        size=8.5,
        x=0.01,
        ha="left",
        color="#555555",
    )
    return figure


def _mean(ax: Axes, points: Tensor, probabilities: Tensor) -> None:
    K = points.shape[-1]
    ax.bar(range(K), points.mean(0).tolist(), color=COLOURS[-K:], width=0.75)
    for k, p in enumerate(probabilities.tolist()):
        ax.plot([k - 0.45, k + 0.45], [p, p], color="#000000", linewidth=1.4)
    ax.set_xticks(range(K), [str(k) for k in range(K)])
    ax.set_xlabel("class")


def _samples(ax: Axes, points: Tensor) -> None:
    K, left = points.shape[-1], torch.zeros(len(points), dtype=points.dtype)
    for k in range(K):
        ax.barh(range(len(points)), points[:, k].tolist(), left=left.tolist(), color=COLOURS[k - K], height=0.8)
        left = left + points[:, k]
    ax.set_xlim(0, 1)
    ax.set_yticks([])
    ax.set_xticks([0, 1])
    ax.spines["left"].set_visible(False)
    ax.tick_params(colors=GREY)
