"""The exact gradient, by a sum over all joint states, as an estimator without bias or variance."""

from __future__ import annotations

import torch
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import LINKS, Count, Facts
from estbench.options import dataclass


@dataclass(frozen=True)
class Enumerate:
    """Σ_z P(z) f(z) s(z) over all joint states z."""

    @property
    def facts(self) -> Facts:
        """Exact, at the price of every state."""
        return Facts(
            "Rao-Blackwell",
            links=LINKS,
            general=True,
            f=Count("K^D", lambda D, K: K**D, per_estimate=True),
            max_states=2**16,
            symmetric=True,
        )

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """Σ_z P(z) (f(z) − f(z₁)) s(z), the same for every replicate; any one value may be taken off, as E s = 0."""
        del samples
        d, M, total = draw.distribution, draw.problem.n_states, torch.zeros(())
        chunk = max(1, 2**18 // d.logits.numel())  # states at once: more leave the cache
        centre: Tensor | None = None
        for start in range(0, M, chunk):
            z = d.states(start, min(start + chunk, M))
            f = draw.problem.f(z.expand(*d.batch_shape, *z.shape))  # [M], or [R, M]
            centre = f[..., :1] if centre is None else centre
            weight = d.log_prob(z).exp() * draw.problem.difference(f, centre)
            total = total + (weight.unsqueeze(-2) @ d.score(z).flatten(-d.event_dim)).squeeze(-2)  # [P], or [R, P]
        return total.view(-1, *d.event_shape).expand(draw.R, *d.event_shape)
