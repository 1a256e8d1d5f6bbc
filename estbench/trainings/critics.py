"""The critics of RELAX and LAX in a training: one for each seed, trained along with its logits."""

from __future__ import annotations

import torch
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.control_variate.lax import Lax
from estbench.estimators.control_variate.relax import Relax
from estbench.estimators.shared.critic import Critic, bounded, random_critic

LEARNING_RATE = 0.01
"""Of Adam, as in the toy problem of Grathwohl et al. 2018."""


class SeedCritics(Critic):
    """A critic for each replicate, side by side: W [R, H, P], b and a [R, H], η []."""

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """r and ∇r at x, [R, N, D] or [R, N, D, K]: [R, N] and like x."""
        h = torch.tanh(torch.baddbmm(self.b.unsqueeze(1), bounded(x).flatten(2), self.W.mT))  # [R, N, H]
        a = self.a.unsqueeze(1)
        return (a * h).sum(-1), (a * (1 - h * h) @ self.W).view(x.shape)


class LearningCritic:
    """RELAX or LAX whose critics learn at each step of the training, by one step of Adam on Σ ‖ĝ‖² of the same draw.

    So does the paper (Grathwohl et al. 2018, algorithm 1). An estimate is made with the critic as it was before it saw
    that draw, and so stays unbiased. η is 1 unless it is given.
    """

    def __init__(self, estimator: Relax | Lax, draw: Draw) -> None:
        """The critics to begin with, from uniforms of a draw."""
        self._estimator = estimator
        P = draw.problem.numbers
        uniforms = draw.uniform("critic", estimator.hidden, P + 1, per_replicate=True)
        each = [random_critic(u, 0.0) for u in uniforms]
        W, b, a = (torch.stack([critic[i] for critic in each]).requires_grad_() for i in range(3))
        eta = getattr(estimator, "eta", 0.0)
        self._critics = SeedCritics(W, b, a, W.new_tensor(1.0 if eta == "fitted" else eta))
        self._optimiser = torch.optim.Adam([W, b, a], LEARNING_RATE)

    def estimate(self, draw: Draw) -> Tensor:
        """ĝ of all N samples, [R, P], with the critics as they are."""
        with torch.no_grad():
            return self._estimate(draw)

    def learn(self, draw: Draw) -> Tensor:
        """The same, and then a step of the critics."""
        with torch.enable_grad():
            g = self._estimate(draw)
            self._optimiser.zero_grad()
            torch.autograd.backward(g.square().sum(), inputs=list(self._critics[:3]))
        self._optimiser.step()
        return g.detach()

    def _estimate(self, draw: Draw) -> Tensor:
        return draw.problem.project(self._estimator.estimate(draw, self._critics).mean(1))
