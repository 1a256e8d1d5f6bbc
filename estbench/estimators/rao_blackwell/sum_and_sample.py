"""Sum and sample: the likeliest states are summed over, and one of the others is sampled."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import LINKS, Count, Facts
from estbench.estimators.shared.ranked import MAX_RANKED, Space, ranked
from estbench.options import dataclass
from estbench.problem import Problem

REST = "sum_and_sample/rest"


@dataclass(frozen=True)
class SumAndSample:
    """Σ_{c ∈ S} P_c f(c) s(c) + (1 − P(S)) f(z) s(z), z ~ P(· | ∉ S), S the k likeliest states (Liu et al. 2019).

    top    k; all states, where there are no more: the estimate is then exact and nothing is drawn
    space  joint: the states of all variables together, and one uniform draws z; per_variable: for each variable by
           itself, the others held at a plain sample
    """

    top: Annotated[int, Field(ge=1)] = 1
    space: Space = "joint"

    @property
    def facts(self) -> Facts:
        """Unbiased: a Rao-Blackwellisation of REINFORCE over whether its sample falls in S."""
        n, joint = self.top + 1, self.space == "joint"
        return Facts(
            "Rao-Blackwell",
            links=LINKS,
            general=joint,
            f=Count(f"{n}", lambda D, K: min(n, K**D)) if joint else Count(f"{n} D", lambda D, K: min(n, K) * D),
            max_states=MAX_RANKED if joint else None,
            exact="smooth",
            noise=(REST,),
            sources=("liu2019",),
            identities=("all states: enumerate (joint) or leg (per_variable)", "per_variable, top=K−1: leg"),
        )

    def breakpoints(self, problem: Problem) -> dict[str, list[Tensor]]:
        """Where one uniform turns from one state of the rest to the next."""
        C = [c.below[: max(1, c.M - self.top + 1)] for c in ranked(problem.independent, self.space)]
        return {REST: [c[1:-1] / c[-1] for c in C]}

    def rows(self, draw: Draw) -> Tensor:
        """Σ_{c ∈ S} P_c f(c) s(c) + (1 − P(S)) f(z) s(z)."""
        f, g = draw.problem.f, draw.distribution.logits.new_empty(draw.R, draw.N, *draw.distribution.event_shape)
        tables = ranked(draw.distribution, self.space)
        for d, c in enumerate(tables):
            S = torch.arange(max(0, c.M - self.top), c.M, device=g.device).view(1, 1, -1)
            top = S.shape[-1]
            terms = [(c.entries(c.log_P, i).exp(), i) for i in S.unbind(-1)]
            if top < c.M:
                v = draw.uniform(REST, len(tables))[..., d].double()
                terms.append((c.outside(S), c.next(S, v)))
            values = [f(c.put(draw, i)) for _, i in terms]
            if top >= c.M - 1:  # every state is looked at, and E s = 0: f may be counted from that of the likeliest
                values = [draw.problem.difference(v, values[top - 1]) for v in values]
            scored = zip(values, terms, strict=True)
            g[:, :, c.at] = sum(draw.lift(P * v) * c.entries(c.score, i) for v, (P, i) in scored)
        return g
