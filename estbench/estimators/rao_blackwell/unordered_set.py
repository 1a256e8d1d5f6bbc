"""REINFORCE at k states drawn without replacement, each weighted by what the set says of it."""

from __future__ import annotations

from functools import reduce
from itertools import combinations
from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import LINKS, Count, Facts
from estbench.estimators.shared.ranked import MAX_RANKED, Ranked, Space, ranked
from estbench.options import dataclass
from estbench.problem import Problem

NEXT = "unordered_set/next"


@dataclass(frozen=True)
class UnorderedSet:
    """Σ_{c ∈ S} P_c R(S, c) (f(c) − b_c) s(c), S k states drawn without replacement (Kool et al. 2020).

    R(S, c) = p^{∖c}(S∖c)/p(S) is the leave-one-out ratio, p^{∖C}(T) the probability that T is drawn, in any order,
    once the states C are taken out; it makes P_c R(S, c) the probability that c came first, given S. The first state
    is z itself, the others follow from one uniform each, which is the law of the k largest of log P − log e.

    k         all states, where there are no more: the estimate is then exact and nothing is drawn
    space     joint: the states of all variables together; per_variable: for each variable by itself, the others held
    baseline  b_c = Σ_{c′ ∈ S} P_{c′} R_c(c′) f(c′), R_c(c′) the ratio once c is out, R_c(c) = 1, the paper's
              built-in baseline; it needs k ≥ 2 and may raise the variance. Else b_c = 0
    """

    k: Annotated[int, Field(ge=1, le=10)] = 2
    space: Space = "joint"
    baseline: bool = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.baseline and self.k == 1:
            raise ValueError("the baseline at k = 1 is biased; take k of at least 2, or baseline: false")
        return self

    @property
    def facts(self) -> Facts:
        """Unbiased: REINFORCE at the first state, averaged over the orders in which S can have been drawn."""
        k, joint = self.k, self.space == "joint"
        return Facts(
            "Rao-Blackwell",
            links=LINKS,
            general=joint,
            f=Count(f"{k}", lambda D, K: min(k, K**D)) if joint else Count(f"{k} D", lambda D, K: min(k, K) * D),
            max_states=MAX_RANKED if joint else None,
            exact="smooth" if k > 1 else "z",
            noise=(NEXT,) if k > 1 else (),
            sources=("kool2020",),
            identities=("all states: enumerate (joint) or leg (per_variable)", "k=1: reinforce, draw by draw"),
        )

    def breakpoints(self, problem: Problem) -> dict[str, list[Tensor]]:
        """Where a uniform turns from one state to the next, for every set that can have been drawn before it."""
        axes = []
        for c in ranked(problem.independent, self.space):
            for taken in range(1, self.k if self.k < c.M else 1):
                turns = []
                for S in combinations(range(c.M), taken):
                    left = c.log_P[[i for i in range(c.M) if i not in S]].exp().cumsum(0)
                    turns.append(left[:-1] / left[-1] if left[-1] > 0 else left[:0])
                axes.append(torch.cat(turns))
        return {NEXT: axes or [torch.empty(0)]}

    def rows(self, draw: Draw) -> Tensor:
        """Σ_{c ∈ S} P_c R(S, c) (f(c) − b_c) s(c)."""
        g = draw.distribution.logits.new_empty(draw.R, draw.N, *draw.distribution.event_shape)
        tables, more = ranked(draw.distribution, self.space), self.k - 1
        for d, c in enumerate(tables):
            if self.k < c.M:
                v = draw.uniform(NEXT, len(tables) * more) if more else draw.fz.new_empty(draw.R, draw.N, 0)
                S = c.without_replacement(c.of(draw.z), v[..., d * more : (d + 1) * more])
            else:
                S = torch.arange(c.M, device=g.device).view(1, 1, -1)
            g[:, :, c.at] = self._estimate(draw, c, S)
        return g

    def _estimate(self, draw: Draw, c: Ranked, S: Tensor) -> Tensor:
        states, k = S.unbind(-1), S.shape[-1]
        f = [draw.problem.f(c.put(draw, s)) for s in states]
        log_P = c.entries(c.log_P, S).unbind(-1)
        p = leave_out(log_P, c.outside(S).log())
        total, size = torch.zeros(()), torch.zeros(())
        if k == c.M and not self.baseline:  # every state is looked at, and E s = 0: f may be counted from one of them
            f = [draw.problem.difference(v, f[-1]) for v in f]
        for i in range(k):
            signal = f[i]
            if self.baseline:  # Σ_j P_j R_i(j) = 1, P_i for j = i, so f_i − b_i is a mean of differences
                R = [(p[1 << i | 1 << j] - p[1 << i] + log_P[j]).exp() for j in range(k)]
                signal = sum(R[j] * draw.problem.difference(f[i], f[j]) for j in range(k) if j != i)  # type: ignore[assignment]
            weight = (log_P[i] + p[1 << i] - p[0]).exp()
            term = draw.lift(weight * signal) * c.entries(c.score, states[i])
            total, size = total + term, size + term.abs()
        return draw.cancelled(total, size, k)


def leave_out(log_P: tuple[Tensor, ...], log_outside: Tensor) -> list[Tensor]:
    """log p^{∖C}(S∖C) for all 2^k sets C ⊆ S, by bit mask, from log P of the k states of S and log (1 − P(S)).

    p^{∖C}(T) = Σ_{c ∈ T} P_c/(1 − P(C)) p^{∖C∪c}(T∖c), p(∅) = 1: the first state of T, then the rest.
    1 − P(C) is summed from what C leaves; where that is impossible, p^{∖C} = 1, as any order of it counts.
    """
    k = len(log_P)
    p, left = [torch.zeros_like(log_outside)] * 2**k, [log_outside] * 2**k  # left: log(1 − P(C))
    for C in range(2**k - 2, -1, -1):
        T = [c for c in range(k) if not C >> c & 1]
        left[C] = torch.logaddexp(left[C | 1 << T[0]], log_P[T[0]])
        first = reduce(torch.logaddexp, (log_P[c] + p[C | 1 << c] for c in T)) - left[C]
        p[C] = torch.where(left[C] == -torch.inf, 0, first)
    return p
