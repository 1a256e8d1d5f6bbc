"""REINFORCE, the score-function estimator, with the baselines of the literature."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import conv1d

from estbench.draws import MAIN, Draw
from estbench.errors import UsageError
from estbench.estimators.base import LINKS, Facts
from estbench.estimators.shared.least_squares_in_pieces import in_pieces
from estbench.options import dataclass
from estbench.problem import MAX_STATES, Problem

BELONGS = {
    "value": "constant",
    "decay": "moving_average",
    "history": "moving_average",
    "oracle": "optimal",
    "n_fit": "optimal",
}
"""The baseline that each further option is for."""


AVERAGES = "averages f over other replicates, which would be other problems"


@dataclass(frozen=True)
class Reinforce:
    """(f(z) − b) s(z), s = z − p or z − π.

    baseline  none; constant (`value`); mean: E f (oracle); moving_average: of earlier values of f, with weights
              ∝ decay^age over `history` values; optimal: the b of least variance for each variable,
              E[‖s_d‖² f]/E‖s_d‖², by enumeration or, with `oracle: false`, fitted as a ratio of means over n_fit draws
    """

    baseline: Literal["none", "constant", "mean", "moving_average", "optimal"] = "none"
    value: float = 0.0
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.9
    history: Annotated[int, Field(ge=1)] = 44
    oracle: bool = True
    n_fit: Annotated[int, Field(ge=2)] = 4096
    fitted: Annotated[tuple[float, ...] | None, Field(exclude=True)] = None

    @model_validator(mode="after")
    def _no_idle_option(self) -> Self:
        for option, baseline in BELONGS.items():
            if self.baseline != baseline and getattr(self, option) != getattr(type(self), option):
                raise ValueError(f"{option} is for baseline={baseline}, but the baseline is {self.baseline}")
        return self

    @property
    def facts(self) -> Facts:
        """Unbiased with every baseline, as none looks at the sample it is subtracted from."""
        needs_states = self.baseline == "mean" or (self.baseline == "optimal" and self.oracle)
        return Facts(
            "score function",
            links=LINKS,
            general=True,
            f=1,
            exact="none" if self.baseline == "moving_average" else "z",
            unbatchable=AVERAGES if self.baseline == "moving_average" else None,
            max_states=MAX_STATES if needs_states else None,
            within_shard=self.baseline == "moving_average",
            sources=("williams1992", "glynn1990", "bengio2013"),
            identities=("baseline=optimal has no variance for one Bernoulli variable",),
        )

    def rows(self, draw: Draw) -> Tensor:
        """(f(z) − b) s(z)."""
        if self.baseline == "none":
            return draw.lift(draw.fz) * draw.score
        summands = max(draw.problem.D, self.history, 3)  # E f and averages of f round even where f does not
        f, axes = draw.lift(draw.fz), draw.distribution.event_dim
        return draw.problem.difference(f, self._b(draw), summands, trailing=axes) * draw.score

    def _b(self, draw: Draw) -> Tensor:
        if self.baseline == "mean":
            return draw.lift(draw.problem.mean_f.unsqueeze(-1))
        if self.baseline == "moving_average":
            if draw.distribution.batch_shape:
                raise UsageError(f"reinforce[baseline=moving_average] {AVERAGES}; give the logits without batch axes")
            return draw.lift(moving_average(draw.fz, draw.shard, self.decay, self.history))
        if self.baseline == "optimal":
            if self.oracle:
                return draw.distribution.align(draw.problem.optimal_baseline)
            return draw.distribution.per_variable(draw.z.new_tensor(self.fitted or (0.0,)))
        return draw.z.new_tensor(self.value)

    def fit(self, problem: Problem, draw: Draw) -> Self:
        """b_d = Σ ‖s_d‖² f / Σ ‖s_d‖² over the draw, where the optimal baseline is to be fitted."""
        del problem
        if self.baseline != "optimal" or self.oracle:
            return self
        one = top = bottom = draw.distribution.logits.new_zeros((), dtype=torch.float64)
        for i, piece in enumerate(in_pieces(draw, (MAIN,))):
            one = one if i else piece.fz[0, 0].double()
            weights = piece.distribution.over_classes(piece.score.double() ** 2)
            top, bottom = top + (weights * piece.lift(piece.fz - one)).sum((0, 1)), bottom + weights.sum((0, 1))
        b = one + torch.where(bottom > 0, top / bottom, 0.0)  # of equal values it is that value
        return replace(self, fitted=tuple(b.flatten().tolist()))


def moving_average(f: Tensor, shard: int, decay: float, history: int) -> Tensor:
    """Σ_h w_h f of the replicate h places earlier in the shard, w_h ∝ decay^(h − 1), h = 1 … H: [R, N].

    A baseline carried along as state would depend on the order of calls; here every replicate sees the H before it,
    cyclically within its shard, never itself. Replicates are then uncorrelated, not independent; shards are.
    """
    R, N = f.shape
    shard = shard if R % shard == 0 else R
    H = min(history, shard - 1)
    if H == 0:
        return torch.zeros_like(f)
    w = decay ** torch.arange(H - 1, -1, -1, dtype=f.dtype, device=f.device)
    series = f.view(-1, shard, N).transpose(1, 2).reshape(-1, 1, shard)  # [shards · N, 1, n]
    one = series[..., :1].nan_to_num(0.0, 0.0, 0.0)
    around = torch.cat((series[..., -H:], series[..., :-1]), -1) - one  # averages of differences keep their digits
    averaged = one + conv1d(around, (w / w.sum()).view(1, 1, H))
    return averaged.view(-1, N, shard).transpose(1, 2).reshape(R, N)
