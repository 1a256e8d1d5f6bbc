"""Exact moments at many logits at once: each entry of a batch of logits is a problem of its own.

The unchanged estimator is fed, for each entry, all joint states, or for N samples all tuples of joint states, with
their probabilities there. It is for estimators that depend on the samples alone; those that read noise of their own are
integrated at one vector of logits at a time (see `integration`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from estbench.draws import Draw
from estbench.errors import UsageError
from estbench.estimators.base import Count, Estimator, JointEstimator, RowEstimator
from estbench.exact.result import Unavailable
from estbench.problem import Problem

MAX_EVALUATIONS = 2**25
"""Numbers of all samples of all entries, times the evaluations that each takes: some seconds."""

_CHUNK = 2**20  # numbers at once


@dataclass(frozen=True, eq=False)
class BatchMoments:
    """Exact moments of an estimator at R vectors of logits.

    mean      E ĝ, [R, P]
    variance  Var ĝ of each coordinate, [R, P]
    cosine    E cos(ĝ, g), 0 where ĝ = 0, [R]; NaN where g = 0, and for means of rows with N > 1, which it does not
              follow for from one row

    What is 0 but for rounding is 0, as `Problem.difference` has it.
    """

    mean: Tensor
    variance: Tensor
    cosine: Tensor


def batch_moments(problem: Problem, estimator: Estimator, samples: int) -> BatchMoments:
    """The exact moments at each entry of a batch of logits [R, …], in float64.

    `Unavailable`, with the reason, for estimators that read noise beside z, and where there are too many tuples.
    UsageError where the logits have not exactly one batch axis.
    """
    d = problem.distribution
    if len(d.batch_shape) != 1:
        raise UsageError(f"expected logits with one batch axis, got batch axes {list(d.batch_shape)}")
    if (reason := why_not_batched(problem, estimator, samples, d.batch_shape[0])) is not None:
        raise Unavailable(reason)
    oracle = problem.oracle
    step = max(1, _CHUNK // _numbers(problem, estimator, samples))
    true = oracle.exact_gradient
    if true is None:
        true = torch.full((*d.batch_shape, problem.parameters), torch.nan, dtype=torch.float64)
    found = [_moments(*each) for each in _weighted(oracle, estimator, samples, true, step)]
    mean, variance, cosine = (torch.cat(parts) for parts in zip(*found, strict=True))
    if samples > 1 and isinstance(estimator, RowEstimator):
        variance, cosine = variance / samples, torch.full_like(cosine, torch.nan)
    return BatchMoments(mean, variance, cosine)


def why_not_batched(problem: Problem, estimator: Estimator, samples: int, entries: int) -> str | None:
    """Why there are no exact moments at a batch of so many vectors of logits; None: there are."""
    facts, d = estimator.facts, problem.distribution
    if facts.unbatchable is not None:
        return facts.unbatchable
    if facts.exact != "z" or facts.noise:
        return "exact moments at many logits: of estimators that depend on the samples alone"
    if problem.route == "none":
        return f"the exact gradient is not known: {d.classes}^{problem.D} joint states"
    if d.n_states > MAX_EVALUATIONS or (each := _numbers(problem, estimator, samples)) * entries > MAX_EVALUATIONS:
        number = "" if d.n_states > MAX_EVALUATIONS else f"{each * entries} "
        return f"{number}numbers in all samples there can be, at {entries} logits, are more than {MAX_EVALUATIONS}"
    return None


def _numbers(problem: Problem, estimator: Estimator, samples: int) -> int:
    """The numbers in the samples of one entry, times the evaluations of f and ∇f for each."""
    K, facts = problem.distribution.classes, estimator.facts
    counts = (c.number(problem.D, K) if isinstance(c, Count) else c for c in (facts.f, facts.df))
    of_samples = problem.n_states if isinstance(estimator, RowEstimator) else samples * problem.n_states**samples
    return of_samples * problem.numbers * max(1, sum(counts))


def _weighted(
    problem: Problem, estimator: Estimator, samples: int, true: Tensor, step: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Estimates [R, M, P], their probabilities [R, M], and the gradients [R, P], of some entries at a time."""
    states = problem.distribution.states()  # [S, D(, K)]
    S = len(states)
    tuples = torch.cartesian_prod(*[torch.arange(S)] * samples).view(-1, samples)  # [M, N]
    for at in (slice(i, i + step) for i in range(0, len(true), step)):
        here = problem.at(problem.distribution.logits[at])
        d, R = here.distribution, len(true[at])
        log_prob = d.log_prob(states.expand(R, *states.shape))  # [R, S]
        with torch.no_grad():
            if isinstance(estimator, RowEstimator):
                rows = estimator.rows(Draw(here, R, S, z=states.expand(R, *states.shape).contiguous()))
                yield here.project(rows), log_prob.exp(), true[at]
                continue
            assert isinstance(estimator, JointEstimator)
            M = len(tuples)
            repeated = _repeated(here, M)
            z = states[tuples].repeat(R, *[1] * states.ndim)  # [R M, N, D(, K)]
            joint = estimator.joint(Draw(repeated, R * M, samples, z=z), samples)
            yield here.project(joint).view(R, M, -1), log_prob[:, tuples].sum(-1).exp(), true[at]


def _repeated(problem: Problem, times: int) -> Problem:
    """The same with each entry of the batch so many times; `size` is known, and takes no evaluations of f again."""
    made = problem.at(problem.distribution.logits.repeat_interleave(times, 0))
    if problem.zero_rounding and isinstance(problem.size, Tensor):
        vars(made)["size"] = problem.size.repeat_interleave(times, 0)
    return made


def _moments(x: Tensor, P: Tensor, true: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean [R, P], variance [R, P] and mean cosine [R] of estimates x [R, M, P] of probabilities P [R, M]."""
    mean = torch.einsum("rm,rmp->rp", P, x)
    variance = torch.einsum("rm,rmp->rp", P, (x - mean.unsqueeze(1)).square_())
    lengths = torch.linalg.vector_norm(x, dim=-1)
    along = torch.einsum("rmp,rp->rm", x, true / torch.linalg.vector_norm(true, dim=-1, keepdim=True))
    return mean, variance, (P * torch.where(lengths > 0, along / lengths, 0.0 * along)).sum(-1)
