"""From an estimator and a draw to gradient estimates of the parameters, for each number of samples."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeGuard, cast

import torch
from torch import Tensor

from estbench.draws import Draw, leave_no_rounding, over_samples
from estbench.estimators.base import Estimator, JointEstimator, Referenced, RowEstimator
from estbench.isolation import exit_if_forked
from estbench.moments import Floats, power_sums
from estbench.problem import Problem


def estimates(estimator: Estimator, draw: Draw, samples: Sequence[int]) -> Tensor:
    """Gradient estimates [R, P] for each N of `samples` (increasing): [samples, R, P].

    Independent rows are computed once, for the largest N, and averaged over their first N; a joint estimator is asked
    for each N. Raises TypeError and ValueError where an estimator returns something else than it promises.
    """
    project, event = draw.problem.project, draw.distribution.event_shape
    if not has_rows(estimator):
        joint = _joint(estimator).joint
        return torch.stack([project(_checked(joint(draw, N), (draw.R, *event), draw)) for N in samples])
    rows = _checked(estimator.rows(draw), (draw.R, draw.N, *event), draw)
    if draw.N == 1:
        return project(rows.squeeze(1)).unsqueeze(0)
    steps = [N - done for done, N in pairwise((0, *samples))]
    pieces = torch.split(rows[:, : samples[-1]], steps, 1)
    sums = torch.stack([over_samples(piece) for piece in pieces]).cumsum_(0)
    if draw.problem.zero_rounding:
        leave_no_rounding(sums, rows, samples)
    N = torch.tensor(samples, device=sums.device).view(-1, *[1] * (sums.ndim - 1))
    return project(sums.div_(N))


def estimate(estimator: Estimator, draw: Draw) -> Tensor:
    """The estimate of `estimates` from all N samples, in the logits: [R, *event]."""
    event = draw.distribution.event_shape
    if not has_rows(estimator):
        return _checked(_joint(estimator).joint(draw, draw.N), (draw.R, *event), draw)
    rows = _checked(estimator.rows(draw), (draw.R, draw.N, *event), draw)
    if draw.N == 1:
        return rows.squeeze(1)
    return draw.total(rows).div_(draw.N)


def truth(problem: Problem, estimator: Estimator) -> Tensor | None:
    """What an estimator is measured against, [P]: the exact gradient, or that of an expectation of its own.

    TypeError, ValueError and FloatingPointError where its own is no such gradient.
    """
    if not isinstance(estimator, Referenced):
        return problem.exact_gradient
    g: object = estimator.reference(problem)
    if not isinstance(g, Tensor):
        raise TypeError(f"reference must return a tensor, got {type(g).__name__}")
    if g.shape != (problem.parameters,):
        raise ValueError(f"reference must return one number a parameter, [{problem.parameters}], got {list(g.shape)}")
    g = g.detach().to(problem.distribution.logits)
    if not bool(g.isfinite().all()):
        raise FloatingPointError("the gradient of its own that an estimator is measured against is not finite")
    return g


def weighted_sums(estimator: Estimator, draw: Draw, true: Tensor, shift: Tensor, pieces: int = 1) -> Floats:
    """`power_sums` [pieces, 8 + 3P] from all N samples of a weighted draw, of so many equal parts of its rows."""
    (estimate,) = estimates(estimator, draw, [draw.N])
    assert draw.weights is not None
    x, weights = estimate.view(pieces, -1, estimate.shape[-1]), draw.weights.view(pieces, -1)
    sums: Floats = power_sums(x, true, weights, shift).numpy()
    return sums


def has_rows(estimator: Estimator) -> TypeGuard[RowEstimator]:
    """Whether it is a RowEstimator; `isinstance` would build its facts each time."""
    return hasattr(estimator, "rows")


def _joint(estimator: Estimator) -> JointEstimator:
    if not hasattr(estimator, "joint"):
        raise TypeError(f"{type(estimator).__name__} has neither `rows` nor `joint`")
    return cast(JointEstimator, estimator)


def _checked(gradient: Tensor, shape: tuple[int, ...], draw: Draw) -> Tensor:
    exit_if_forked()
    if not isinstance(gradient, Tensor):
        raise TypeError(f"the estimator returned a {type(gradient).__name__}, not a tensor")
    if type(gradient) is not Tensor:
        gradient = gradient.as_subclass(Tensor)
    if gradient.shape != shape:
        raise ValueError(f"the estimator returned shape {list(gradient.shape)}, not {list(shape)}")
    if gradient.dtype != draw.distribution.logits.dtype:
        raise ValueError(f"the estimator returned {gradient.dtype}, not {draw.distribution.logits.dtype}")
    return gradient.detach() if gradient.requires_grad else gradient
