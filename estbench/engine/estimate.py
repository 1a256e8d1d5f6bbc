"""From an estimator and a draw to gradient estimates of the parameters, for each number of samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeGuard

from torch import Tensor

from estbench.draws import Draw, over_samples
from estbench.estimators.base import Estimator, JointEstimator, Referenced, RowEstimator
from estbench.moments import Floats, moments
from estbench.problem import Problem


def estimates(estimator: Estimator, draw: Draw, samples: Sequence[int]) -> Iterator[Tensor]:
    """Gradient estimates [R, P], one for each N of `samples` (increasing).

    Independent rows are computed once, for the largest N, and averaged over their first N; a joint estimator is asked
    for each N. Raises TypeError and ValueError where an estimator returns something else than it promises.
    """
    project, event = draw.problem.project, draw.distribution.event
    if not _has_rows(estimator):
        if not isinstance(estimator, JointEstimator):
            raise TypeError(f"{type(estimator).__name__} has neither `rows` nor `joint`")
        for N in samples:
            yield project(_checked(estimator.joint(draw, N), (draw.R, *event), draw))
        return
    rows = _checked(estimator.rows(draw), (draw.R, draw.N, *event), draw)
    if draw.N == 1:
        yield project(rows[:, 0])
        return
    total, done = None, 0
    for N in samples:
        piece = over_samples(rows[:, done:N])
        total, done = piece if total is None else total + piece, N
        yield project(total / N)


def truth(problem: Problem, estimator: Estimator) -> Tensor | None:
    """What an estimator is measured against, [P]: the exact gradient, or that of an expectation of its own."""
    return estimator.reference(problem) if isinstance(estimator, Referenced) else problem.true


def weighted_moments(estimator: Estimator, draw: Draw, true: Tensor, pieces: int = 1) -> Floats:
    """Packed moments [pieces, 10 + 3P] from all N samples of a weighted draw, of so many equal parts of its rows."""
    (estimate,) = estimates(estimator, draw, [draw.N])
    assert draw.weights is not None
    packed: Floats = moments(estimate.view(pieces, -1, estimate.shape[-1]), true, draw.weights.view(pieces, -1)).numpy()
    return packed


def _has_rows(estimator: Estimator) -> TypeGuard[RowEstimator]:
    """Whether it is a RowEstimator; `isinstance` would build its facts each time."""
    return hasattr(estimator, "rows")


def _checked(gradient: Tensor, shape: tuple[int, ...], draw: Draw) -> Tensor:
    if not isinstance(gradient, Tensor):
        raise TypeError(f"the estimator returned a {type(gradient).__name__}, not a tensor")
    if gradient.shape != shape:
        raise ValueError(f"the estimator returned shape {list(gradient.shape)}, not {list(shape)}")
    if gradient.dtype != draw.distribution.logits.dtype:
        raise ValueError(f"the estimator returned {gradient.dtype}, not {draw.distribution.logits.dtype}")
    return gradient.detach() if gradient.requires_grad else gradient
