"""Enumeration: the estimates from all possible samples, with their probabilities, in chunks.

Where the order of the samples does not matter, multisets of joint states stand for the tuples that they are made of:
C(S + N − 1, N) estimates in place of S^N, and never more. So it is for means of N independent rows, whose rows are
computed once for each of the S joint states, and for joint estimators whose facts say `symmetric`. Others are given all
tuples, and so are all where there are at most 2^8 of them: making multisets takes a millisecond.

What it costs: M estimates of N samples each, at which f and ∇f are evaluated as often as the facts declare; for means
of rows S samples, and M sums. Allowed are 2^20 joint states at N = 1, 2^16 multisets or tuples at larger N, and in all
2^26 evaluations: that is some seconds. Memory is that of a chunk of 2^18 numbers, whatever M is.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

import torch
from torch import Tensor

from estbench.draws import Draw
from estbench.estimate import estimates
from estbench.estimators.base import Count, Estimator, RowEstimator
from estbench.exact import multisets
from estbench.moments import Floats, merge, moments
from estbench.problem import MAX_STATES, Problem

MAX_MULTISETS = 2**16
MAX_EVALUATIONS = 2**26

_FEW = 2**8  # tuples
_CHUNK = 2**18  # numbers at once
_TRIED, _ALIKE = 64, 1e-9  # estimates whose samples are taken in another order, and how far these may be apart

Weighted = tuple[Tensor, Tensor]
"""Estimates [M, P] and their probabilities [M]."""


def size(problem: Problem, estimator: Estimator, N: int) -> int:
    """The number of estimates that are gone through; not counted beyond `multisets.CAP` for multisets."""
    return multisets.number(problem.n_states, N) if _by_multisets(problem, estimator, N) else problem.n_states**N


def too_many(problem: Problem, estimator: Estimator, N: int) -> str | None:
    """Why there are too many estimates of N samples to go through them all; None: there are not."""
    M, K, D = size(problem, estimator, N), problem.distribution.classes, problem.D
    if N == 1 and M > MAX_STATES:
        return f"{K}^{D} joint states are more than {MAX_STATES}"
    if N > 1 and M > MAX_MULTISETS:
        if not _by_multisets(problem, estimator, N):
            return f"{K}^{D * N} tuples of joint states are more than {MAX_MULTISETS}"
        number = str(M) if M < multisets.CAP else "over 10^15"
        return f"{number} multisets of {N} out of {K}^{D} joint states are more than {MAX_MULTISETS}"
    evaluated = (problem.n_states if isinstance(estimator, RowEstimator) else M) * _evaluations(problem, estimator, N)
    if evaluated > MAX_EVALUATIONS:
        return f"{M} estimates evaluate f or ∇f {evaluated} times in all, more than {MAX_EVALUATIONS}"
    return None


def enumerated(problem: Problem, estimator: Estimator, N: int, true: Tensor) -> Floats:
    """The packed record of all estimates of N samples, merged from those of the chunks, each about its own mean."""
    records = (moments(x.unsqueeze(0), true, w.unsqueeze(0)).numpy() for x, w in _estimates(problem, estimator, N))
    return reduce(merge, records)


def _by_multisets(problem: Problem, estimator: Estimator, N: int) -> bool:
    """Whether the order of the samples does not matter, and there is more than a handful of orders."""
    symmetric = isinstance(estimator, RowEstimator) or estimator.facts.symmetric
    return N > 1 and symmetric and (problem.n_states > _FEW or problem.n_states**N > _FEW)


def _evaluations(problem: Problem, estimator: Estimator, N: int) -> int:
    """How often one estimate evaluates f and ∇f, or one row; once for each of its samples at least.

    What is evaluated once for all estimates of a draw is not counted.
    """
    facts, K = estimator.facts, problem.distribution.classes
    counts = (c.number(problem.D, K) if isinstance(c, Count) else c for c in (facts.f, facts.df) if not _shared(c))
    return max(sum(counts), 1) * (1 if isinstance(estimator, RowEstimator) else N)


def _numbers(problem: Problem, estimator: Estimator, N: int) -> int:
    """The numbers at which that is, about."""
    return _evaluations(problem, estimator, N) * problem.numbers


def _shared(count: int | Count) -> bool:
    return isinstance(count, Count) and count.per_estimate


def _estimates(problem: Problem, estimator: Estimator, N: int) -> Iterator[Weighted]:
    """All estimates and their probabilities, in chunks."""
    if N == 1:
        return _of_states(problem, estimator)
    if not _by_multisets(problem, estimator, N):
        return _of_tuples(problem, estimator, N)
    if isinstance(estimator, RowEstimator):
        return _of_rows(problem, estimator, N)
    return _of_multisets(problem, estimator, N)


def _of_states(problem: Problem, estimator: Estimator) -> Iterator[Weighted]:
    """Estimates of one sample, of every joint state."""
    d = problem.distribution
    for start, stop in _chunks(problem.n_states, _numbers(problem, estimator, 1)):
        z = d.states(start, stop)
        weights = d.log_prob(z).exp()
        yield _fed(problem, estimator, z.unsqueeze(1), weights), weights


def _of_tuples(problem: Problem, estimator: Estimator, N: int) -> Iterator[Weighted]:
    """Estimates of N samples in every order."""
    d, S = problem.distribution, problem.n_states
    states, log_prob = d.states(), d.log_prob(d.states())
    for start, stop in _chunks(S**N, _numbers(problem, estimator, N)):
        index = torch.arange(start, stop).unsqueeze(1) // S ** torch.arange(N) % S  # [M, N]
        weights = log_prob[index].sum(1).exp()
        yield _fed(problem, estimator, states[index], weights), weights


def _of_multisets(problem: Problem, estimator: Estimator, N: int) -> Iterator[Weighted]:
    """Estimates of N samples in one order each.

    Raises ValueError where another order would have made another estimate.
    """
    d, S = problem.distribution, problem.n_states
    states, log_prob = d.states(), d.log_prob(d.states())
    for start, stop in _chunks(multisets.number(S, N), _numbers(problem, estimator, N)):
        if N < S:
            members = multisets.members(S, N, start, stop)
            weights = multisets.log_prob_of_members(members, log_prob).exp()
        else:
            counts = multisets.counts(S, N, start, stop)
            members, weights = multisets.members_of(counts), multisets.log_prob_of_counts(counts, log_prob).exp()
        x = _fed(problem, estimator, states[members], weights)
        if start == 0 or stop == multisets.number(S, N):
            _in_any_order(problem, estimator, states, members, weights, x)
        yield x, weights


def _in_any_order(
    problem: Problem, estimator: Estimator, states: Tensor, members: Tensor, weights: Tensor, found: Tensor
) -> None:
    """Hold the claim that the order does not matter against some estimates, in two orders that generate all others."""
    some = torch.linspace(0, len(members) - 1, min(_TRIED, len(members))).long()
    members, weights, found = members[some], weights[some], found[some]
    exchanged = members.clone()
    exchanged[:, [0, -1]] = members[:, [-1, 0]]
    size = found.nan_to_num(0.0, 0.0, 0.0).abs().max() + problem.size
    for order in (exchanged, members.roll(1, 1)):
        other = _fed(problem, estimator, states[order], weights)
        if not torch.allclose(other, found, rtol=0.0, atol=_ALIKE * float(size), equal_nan=True):
            raise ValueError(
                f"the facts of {type(estimator).__name__} say symmetric=True, but with its samples in another order it "
                "gives another estimate; leave symmetric out"
            )


def _of_rows(problem: Problem, estimator: RowEstimator, N: int) -> Iterator[Weighted]:
    """Means of N rows, from the rows of all joint states, which are few."""
    d, S = problem.distribution, problem.n_states
    log_prob = d.log_prob(d.states())
    rows = torch.cat([x for x, _ in _of_states(problem, estimator)])  # [S, P]
    finite = rows.isfinite().all(-1)
    known = rows.masked_fill(~finite.unsqueeze(-1), 0.0)
    eps = (2 + min(S, N) ** 0.5) * torch.finfo(rows.dtype).eps
    for start, stop in _chunks(multisets.number(S, N), min(S, N) * (problem.parameters + 1)):
        if N < S:
            members = multisets.members(S, N, start, stop)
            weights = multisets.log_prob_of_members(members, log_prob).exp()
            total, size = known[members].sum(1), known.abs()[members].sum(1)
            lost = (~finite)[members].any(1)
        else:
            counts = multisets.counts(S, N, start, stop)
            weights = multisets.log_prob_of_counts(counts, log_prob).exp()
            total, size = (counts.to(rows) @ x for x in (known, known.abs()))
            lost = (counts[:, ~finite] > 0).any(1)
        total.masked_fill_(total.abs() <= eps * size, 0.0)  # what cancels leaves 0, not rounding
        yield total.div_(N).masked_fill_(lost.unsqueeze(-1), torch.nan), weights


def _fed(problem: Problem, estimator: Estimator, z: Tensor, weights: Tensor) -> Tensor:
    """The estimates [M, P] from samples z [M, N, …]."""
    draw = Draw(problem, len(z), z.shape[1], z=z, weights=weights)
    return estimates(estimator, draw, [draw.N])[0]


def _chunks(total: int, numbers: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of chunks of so many estimates, each of so many numbers, that they fit in memory."""
    step = min(max(_CHUNK // numbers, 1), _CHUNK // 4)
    return ((start, min(start + step, total)) for start in range(0, total, step))
