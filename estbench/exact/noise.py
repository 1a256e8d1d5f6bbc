"""The noise of one variable given its class, as it is integrated by quadrature.

It is made of ratios of exponentials, whose law depends neither on the class nor on the logits.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from estbench.draws import MAIN
from estbench.exact.quadrature import lobatto
from estbench.moments import Floats
from estbench.problem import Problem

Rule = tuple[Tensor, Tensor]
"""Noise at M points, [M, 1, …], and the weights of the points, [M], summing to 1."""


def of_variable(stream: str) -> bool:
    """Whether a stream is noise of the variable itself, not uniforms of the estimator's own."""
    return stream == MAIN or stream.startswith("redraw/")


def given_class(problem: Problem, k: int, rows: int) -> Tensor:
    """z of class k, [rows, 1, …]."""
    d = problem.independent
    z = d.replace(torch.zeros(1, 1, *d.event_shape, dtype=torch.float64), 0, k)
    return z.expand(rows, 1, *d.event_shape).contiguous()


def noise(problem: Problem, stream: str, k: int, r: Tensor) -> Tensor:
    """The noise [M, 1, …] of a stream given class k, from ratios r [M, axes] with P(all r_i > a_i) = 1/(1 + Σ a).

    A uniform of the estimator's own is r/(1 + r); what base noise is, the distribution says (`Integrable`).
    """
    r = r.unsqueeze(1)  # [M, 1, axes]
    if of_variable(stream):
        return problem.independent.noise_given(k, r, redraw=stream != MAIN)
    return (r / (1 + r)).clamp(max=1 - 2.0**-53)


def others(classes: int, k: int) -> list[int]:
    """All classes but k, to which the ratios belong in turn."""
    return [i for i in range(classes) if i != k]


def fixed_point(problem: Problem, stream: str, k: int, uniforms: int) -> Rule:
    """One point for a stream that is not integrated over: of the variable, or of so many uniforms."""
    axes = problem.distribution.classes - 1 if of_variable(stream) else uniforms
    return noise(problem, stream, k, torch.ones(1, axes, dtype=torch.float64)), torch.ones(1, dtype=torch.float64)


def edges(problem: Problem, stream: str, k: int, breakpoints: list[Tensor], i: int | None = None) -> Floats:
    """Edges of panels in log r, all other classes against k, or class i alone; also where a uniform has breakpoints.

    Relaxed samples change near r = P(z ≠ k) τ, or π_i τ. As a function of log r smooth noise has no singularity nearer
    to the real axis than π/2.
    """
    d, low = problem.independent, 0.0
    if of_variable(stream):
        low = max(float(d.log_others[0, k] if i is None else d.marginals[0, i].log()), -700.0)
    found = [low - 36, low - 20, low - 12, *np.arange(low - 8, 8, 2), 8, 12, 20, 50]
    points = [b for axis in breakpoints for b in axis.flatten().tolist()]
    if stream == MAIN:
        points += d.noise_turns()
    broken = [math.log(r) for r in _ratios(problem, stream, k, points) if r > 0]
    return np.unique([*found, *(t for t in broken if found[0] < t < found[-1])])


def _ratios(problem: Problem, stream: str, k: int, points: list[float]) -> list[float]:
    """The ratios that belong to uniforms u in (0, 1) of a stream given class k; 0 or less: no such u has that class."""
    inside = [u for u in points if 0 < u < 1]
    if not of_variable(stream):
        return [u / (1 - u) for u in inside]
    return [problem.independent.ratio_of(k, u, redraw=stream != MAIN) for u in inside]


def uniforms(breakpoints: list[Tensor], n: int) -> Rule:
    """Uniforms [M, 1, axes] at n nodes on every piece of each axis between its breakpoints."""
    axes = []
    for points in breakpoints:
        ends = np.unique([0.0, *(b for b in points.flatten().tolist() if 0 < b < 1), 1.0])
        axes.append([a.ravel() for a in lobatto(ends[:-1], ends[1:], n)])
    u, w = (np.stack([a.ravel() for a in np.meshgrid(*of, indexing="ij")], -1) for of in zip(*axes, strict=True))
    return torch.from_numpy(u).unsqueeze(1), torch.from_numpy(w.prod(-1))
