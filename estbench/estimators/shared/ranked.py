"""The states of some variables in ascending order of probability, and draws from them without replacement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from estbench.distributions import Distribution, Independent
from estbench.distributions.tables import table
from estbench.draws import Draw

Space = Literal["joint", "per_variable"]
MAX_RANKED = 2**16


@dataclass(frozen=True, eq=False)
class Ranked:
    """The M states of the variables `at`, from the least likely to the likeliest; probabilities in float64.

    Summed from the smallest, probabilities keep their digits: what is left beside a state of P ≈ 1 is never 1 − P.

    at      which variables: a slice of 0 … D − 1
    distribution  of these variables alone
    states  [M, variables(, K)]
    score   ∂ log P/∂ logits of those variables, like states
    rank    the place of each state of `Distribution.states`, [M]
    log_P   [M]
    below   C_i = Σ_{j < i} P_j, [M + 1]

    Of batched logits all tables have the axis R first; `entries` looks states up in a table.
    """

    at: slice
    distribution: Distribution
    states: Tensor
    score: Tensor
    rank: Tensor
    log_P: Tensor
    below: Tensor

    @property
    def M(self) -> int:
        """The number of states."""
        return self.log_P.shape[-1]

    def entries(self, table: Tensor, i: Tensor) -> Tensor:
        """The entries i, [R or 1, …], of a table [M, …], or of each replicate's own, [R, M, …]."""
        if self.log_P.ndim == 1:
            return table[i]
        replicate = torch.arange(len(table), device=i.device).view(-1, *[1] * (i.ndim - 1))
        return table[replicate, i]

    def of(self, z: Tensor) -> Tensor:
        """The state that samples [R, N, D(, K)] are in: [R, N]."""
        digits = self.distribution.numbers(z[:, :, self.at])
        powers = self.distribution.classes ** torch.arange(digits.shape[-1] - 1, -1, -1)
        return self.entries(self.rank, (digits @ powers.to(digits)).long())

    def put(self, draw: Draw, i: Tensor) -> Tensor:
        """The samples with the variables `at` in state i ([R, N], or [1, 1] for all): [R, N, D(, K)]."""
        c, shape = self.entries(self.states, i), (draw.R, draw.N, *draw.distribution.event_shape)
        if c.shape[2:] == shape[2:]:
            return c.expand(shape)  # every variable is set: z need not be drawn
        z = draw.z.clone()
        z[:, :, self.at] = c
        return z

    def outside(self, S: Tensor) -> Tensor:
        """Σ_{i ∉ S} P_i of ascending S [..., k], as the sum of what lies between its members: [...]."""
        before, after = self.entries(self.below, S), self.entries(self.below, S + 1)
        last = self.below[..., -1:].view(-1, *[1] * (before.ndim - 1)).expand(*before.shape[:-1], 1)
        ends, starts = torch.cat((before, last), -1), torch.cat((torch.zeros_like(last), after), -1)
        return (ends - starts).sum(-1)

    def next(self, S: Tensor, v: Tensor) -> Tensor:
        """One more state, drawn from P given that it is not in ascending S [..., k], by inverse CDF of v [...].

        Where all others are impossible it is the first of these.
        """
        left = self.outside(S)
        t = v * left
        for s in S.unbind(-1):
            C, after = self.entries(self.below, s), self.entries(self.below, s + 1)
            t = t + (t >= C) * (after - C)  # over what is in S
        found = torch.searchsorted(self.below[..., 1:].contiguous(), t, right=True).clamp_(max=self.M - 1)
        first = (torch.arange(S.shape[-1], device=S.device) == S).long().cumprod(-1).sum(-1)
        return torch.where(left > 0, found, first)

    def without_replacement(self, first: Tensor, v: Tensor) -> Tensor:
        """`first` [...] and as many states more as v [..., k − 1] has uniforms, all different, ascending: [..., k]."""
        S = first.unsqueeze(-1)
        for u in v.double().unbind(-1):
            S = torch.cat((S, self.next(S, u).unsqueeze(-1)), -1).sort(-1).values
        return S


@table
def ranked(distribution: Independent, space: Space) -> tuple[Ranked, ...]:
    """The states of all variables jointly (one table), or of each variable by itself (D tables)."""
    D = distribution.n_variables
    if space == "joint":
        return (_ranked(distribution, slice(0, D)),)
    return tuple(_ranked(distribution.only(at), at) for at in (slice(d, d + 1) for d in range(D)))


def _ranked(distribution: Distribution, at: slice) -> Ranked:
    """The table of a distribution of the variables `at` alone."""
    double = distribution.with_logits(distribution.logits.double().cpu())
    log_P, order = double.log_prob(double.states()).sort()
    below = torch.cat((torch.zeros_like(log_P[..., :1]), log_P.exp().cumsum(-1)), -1)
    states = distribution.states()[order.to(distribution.logits.device)]
    tables = (order.argsort(), log_P, below)
    twin = distribution.with_logits(distribution.logits)  # the distribution itself keeps this table: a cycle
    return Ranked(at, twin, states, distribution.score(states), *(t.to(states.device) for t in tables))
